"""The rules of the pages' parts, run by node. Skipped where there is none."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

NODE = shutil.which("node")
TESTS = Path(__file__).with_name("rules.test.mjs")


@pytest.mark.skipif(NODE is None, reason="there is no node")
@pytest.mark.timeout(120)
def test_the_rules_of_the_parts() -> None:
    assert NODE is not None
    ended = subprocess.run(
        [NODE, "--test", str(TESTS)], capture_output=True, text=True, timeout=100, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "\n# pass 11\n" in ended.stdout, ended.stdout

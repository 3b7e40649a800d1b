"""What the pages' scripts do without a browser, run by node: signing in, live updates, a request and its 30 seconds,
and what the console asks of the API.

Skipped where there is no node.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

NODE = shutil.which("node")
HERE = Path(__file__).parent
LEAST = {
    "asyncapi": 3,
    "console": 19,
    "console_start": 1,
    "live": 27,
    "order": 12,
    "portal": 1,
    "portal_try": 5,
    "push": 7,
    "sentences": 3,
    "session": 15,
}
"""So many tests each file has at least: one that runs none has not passed."""


@pytest.mark.skipif(NODE is None, reason="there is no node")
@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", LEAST)
def test_the_scripts_of_the_pages(name: str) -> None:
    assert NODE is not None
    ended = subprocess.run(
        [NODE, "--test", str(HERE / f"{name}.test.mjs")],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    passed = re.search(r"^# pass (\d+)$", ended.stdout, re.MULTILINE)
    assert passed is not None, ended.stdout
    assert int(passed[1]) >= LEAST[name], ended.stdout

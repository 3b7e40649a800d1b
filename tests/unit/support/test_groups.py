"""Tests that belong together are run by one worker, in one piece, under their own names."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
FILES = ("tests/unit/support/test_ports.py", "tests/unit/registry/test_registry.py")


def test_a_files_tests_go_to_one_worker() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-v",
            "-n",
            "2",
            "--dist",
            "loadgroup",
            "-p",
            "no:cacheprovider",
            *FILES,
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    ran = re.findall(r"^\[(gw\d)\] \[ *\d+%\] PASSED (\S+?)::\S+", done.stdout, re.MULTILINE)
    assert {file for _worker, file in ran} == set(FILES)
    assert len(set(ran)) == len(FILES), "a file was spread over workers"
    assert {worker for worker, _file in ran} == {"gw0", "gw1"}

"""Packages of npm that a test uses and nobody needs otherwise."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

SECONDS = 100


def installed(folder: Path, package: str) -> Path:
    """Install a package (`name@version`) without running any of its scripts, and return the folder `node_modules`.
    Skips the test where npm is not there, or gives nothing.
    """
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    quiet = ("--silent", "--no-fund", "--no-audit", "--ignore-scripts")
    asked = ("npm", "install", *quiet, "--prefix", folder, package)
    try:
        done = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        pytest.skip("no index of npm packages answers")
    modules = folder / "node_modules"
    if done.returncode or not (modules / package.rpartition("@")[0]).is_dir():
        pytest.skip(f"{package} cannot be installed from npm")
    return modules

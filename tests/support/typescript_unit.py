"""The unit of examples/unit-typescript, built once for a whole run where Node.js and npm packages are there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.run import locked, run_folder

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "examples" / "unit-typescript"
LEAST_NODE = 20
NPM_SECONDS = 100
BUILD_SECONDS = 100
INSTALL = ("npm", "install", "--silent", "--no-fund", "--no-audit", "--ignore-scripts", "--no-package-lock")
OWN_FILES = ("src", "test", "package.json", "tsconfig.json", "buf.gen.yaml")


def built_unit() -> Path:
    """The folder with the built unit, `node_modules` and all. Skips the test where it cannot be built here."""
    with locked("unit-typescript"):
        folder, verdict = run_folder() / "unit-typescript", run_folder() / "unit-typescript.verdict"
        if not verdict.exists():
            verdict.write_text(_build(folder), encoding="utf-8")
        reason = verdict.read_text(encoding="utf-8")
    if reason:
        pytest.skip(reason)
    return folder


def _build(folder: Path) -> str:
    """Why it cannot be, or nothing. What is wrong with the unit itself raises."""
    node = shutil.which("node")
    if node is None or shutil.which("npm") is None:
        return "Node.js with npm is not installed"
    found = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    version = re.match(r"v(\d+)\.", found)
    if version is None or int(version[1]) < LEAST_NODE:
        return f"Node.js {LEAST_NODE} or newer is needed, not {found.strip()}"
    folder.mkdir()
    for name in OWN_FILES:
        source = SOURCE / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
    try:
        done = subprocess.run(
            INSTALL, cwd=folder, capture_output=True, text=True, check=False, timeout=NPM_SECONDS
        )
    except subprocess.TimeoutExpired:
        return "no index of npm packages answers"
    if done.returncode:
        return "the unit's packages cannot be installed from npm"
    buf = Path(sys.executable).with_name("buf")
    environment = {**os.environ, "BUF": str(buf), "PROTO": str(ROOT)}
    built = subprocess.run(
        ("npm", "run", "build"),
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=BUILD_SECONDS,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return ""

"""Node and npm, which are optional: what needs them is skipped with a word where they are not, or can fetch nothing."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.run import locked, run_folder
from tools import npm_packages, packages

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).resolve().parents[2]
OLDEST = 20
INSTALL_SECONDS = 100


def need_node() -> None:
    """Skip the test where there is no Node that the packages are for, or no npm."""
    node = shutil.which("node")
    if node is None or shutil.which("npm") is None:
        pytest.skip("node and npm are not installed")
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=True, timeout=30).stdout
    if int(said.removeprefix("v").partition(".")[0]) < OLDEST:
        pytest.skip(f"node is older than {OLDEST}: {said.strip()}")


def development_modules(package: str) -> Path:
    """Return the development tools of a package (its folder's name below packages/)."""
    need_node()
    with locked("npm-development"):  # once, and not by all who need it
        try:
            return npm_packages.development_modules(ROOT / "packages" / package)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
            pytest.skip("npm cannot install the packages' tools here")


def working_copy(package: str, folder: Path) -> Path:
    """Return a copy of a package's folder with its development tools, in which files may be made."""
    modules = development_modules(package)
    copy = folder / package
    shutil.copytree(ROOT / "packages" / package, copy, ignore=shutil.ignore_patterns("node_modules", "dist"))
    (copy / "node_modules").symlink_to(modules)
    return copy


def built_package(name: str) -> Path:
    """Return the tarball that `make packages` makes of a package for npm, made once in a run."""
    (package,) = (each for each in packages.PACKAGES if each.name == name)
    development_modules(Path(package.folder).name)
    out = run_folder() / package.folder.replace("/", "-")
    with locked(out.name):
        found = list(out.glob("*.tgz"))
        return found[0] if found else packages.build_packages(out, [package])[0]


def install(folder: Path, wanted: Sequence[str | Path]) -> None:
    """Install packages into an empty folder as a user does, with nothing that runs at installation."""
    (folder / "package.json").write_text('{"private": true, "type": "module"}\n')
    words = ["npm", "install", "--silent", "--no-fund", "--no-audit", "--ignore-scripts", "--prefer-offline"]
    try:
        done = subprocess.run(
            [*words, *map(str, wanted)],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=INSTALL_SECONDS,
        )
    except subprocess.TimeoutExpired:
        pytest.skip("no index of npm packages answers")
    if any(word in done.stderr for word in ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ENOTCACHED")):
        pytest.skip("no index of npm packages can be reached")
    assert done.returncode == 0, done.stdout + done.stderr

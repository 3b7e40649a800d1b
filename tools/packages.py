"""Build the packages for integrators into out/packages/: the same bytes each time.

usage: python -m tools.packages [--out FOLDER] [NAME ...], from the root

Each package is a line of PACKAGES. It is built in a copy of its folder, so that nothing left there by a developer gets
in, with the contract's version, the time of SOURCE_DATE_EPOCH (where it is not set: 2020-01-01) and what `make tools`
has installed: nothing is fetched but the tools of npm packages, once for each lock. A package whose commands are not on
this machine is left out, and said so.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tools.contract_version import contract_version
from tools.npm_packages import typescript_package
from tools.stub_packages import connect_stubs, python_stubs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "out" / "packages"
BIN = Path(sys.executable).parent
EPOCH = "1577836800"
_LEFT_BEHIND = shutil.ignore_patterns(
    "__pycache__", "*.pyc", ".*_cache", "node_modules", "dist", "build", "*.egg-info", ".venv"
)


@dataclass(frozen=True)
class Build:
    """One package being built: the copy of its folder, where what is made goes, the version, and the environment that
    every command is given.
    """

    folder: Path
    out: Path
    version: str
    environment: dict[str, str]

    def run(self, *words: str, cwd: Path | None = None) -> None:
        """Run a command in the copy. Raise CalledProcessError where it fails."""
        subprocess.run(words, cwd=cwd or self.folder, env=self.environment, check=True)


@dataclass(frozen=True)
class Package:
    """A package: its name where it is published, its folder from the root, what builds it into `Build.out`, and the
    commands that this needs from the machine.
    """

    name: str
    folder: str
    build: Callable[[Build], None]
    needs: Sequence[str] = field(default=())

    def missing(self) -> list[str]:
        """Return the commands that are not on this machine."""
        return [command for command in self.needs if shutil.which(command) is None]


def python_package(build: Build) -> None:
    """Build sdist and wheel with the backend that `make tools` has installed."""
    build.run(
        str(BIN / "uv"),
        "build",
        "--quiet",
        "--offline",
        "--no-build-isolation",
        f"--python={sys.executable}",
        f"--out-dir={build.out}",
        "--no-create-gitignore",
    )


def python_stub_package(build: Build) -> None:
    """Generate the modules, and build them as python_package does."""
    python_stubs(build)
    python_package(build)


PACKAGES: tuple[Package, ...] = (
    Package("ecarus-doors", "packages/python", python_package),
    Package("@ecarus/doors", "packages/typescript", typescript_package, needs=("node", "npm")),
    Package("ecarus-doors-grpc", "packages/grpc-python", python_stub_package),
    Package("@ecarus/doors-grpc", "packages/grpc-typescript", connect_stubs, needs=("node", "npm")),
)
"""All packages, in the order in which they are built."""


def build_packages(out: Path, packages: Sequence[Package] = PACKAGES, *, root: Path = ROOT) -> list[Path]:
    """Build all packages whose commands there are into `out`, in place of what was there of them. Return the files."""
    out.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {
        "SOURCE_DATE_EPOCH": os.environ.get("SOURCE_DATE_EPOCH", EPOCH),
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        "TZ": "UTC",
    }
    environment.pop("PYTHONPATH", None)
    made: list[Path] = []
    for package in packages:
        if missing := package.missing():
            print(
                f"left out {package.name}: there is no {', '.join(missing)} on this machine", file=sys.stderr
            )
            continue
        with tempfile.TemporaryDirectory() as scratch:
            copy, fresh = Path(scratch) / "package", Path(scratch) / "out"
            fresh.mkdir()
            shutil.copytree(root / package.folder, copy, ignore=_LEFT_BEHIND)
            _same_modes(copy)
            package.build(Build(copy, fresh, contract_version(root), environment))
            files = sorted(path for path in fresh.iterdir() if path.is_file())
            made += [Path(shutil.copy2(file, out / file.name)) for file in files]
    return made


def _same_modes(folder: Path) -> None:
    """Give every file the same mode, whatever the umask of whoever cloned."""
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)


def main(words: Sequence[str] | None = None) -> int:
    """Do what the command line asks; the exit status."""
    parser = argparse.ArgumentParser(description="Build the packages for integrators.")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("names", nargs="*", metavar="NAME", help="these packages only")
    asked = parser.parse_args(words)
    if unknown := set(asked.names) - {package.name for package in PACKAGES}:
        parser.error(f"no such package: {', '.join(sorted(unknown))}")
    chosen = [package for package in PACKAGES if not asked.names or package.name in asked.names]
    for file in build_packages(asked.out.absolute(), chosen):
        print(file)
    return 0


if __name__ == "__main__":
    sys.exit(main())

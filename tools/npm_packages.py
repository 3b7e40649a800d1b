"""How packages for Node and browsers are built: with the tools that each one's lock names, and npm.

usage: python -m tools.npm_packages, from the root: write the types of packages/typescript from the documents in gen/
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tools.packages import Build

ROOT = Path(__file__).resolve().parent.parent
CLIENT = ROOT / "packages" / "typescript"
INSTALLED = Path(sys.prefix) / "npm"
"""Where what the locks name is installed, once for each lock, beside what `make tools` installs."""
INSTALL_SECONDS = 240
_NAMING = ("package.json", "package-lock.json", ".npmrc")


def development_modules(folder: Path, environment: Mapping[str, str] | None = None) -> Path:
    """Return the `node_modules` that the lock of a package's folder names; nothing of it runs at installation. What is
    neither there yet nor in npm's cache is fetched: raise CalledProcessError or TimeoutExpired where that fails.
    """
    named = b"".join((folder / name).read_bytes() for name in _NAMING)
    place = INSTALLED / hashlib.sha256(named).hexdigest()[:20]
    if not place.is_dir():
        INSTALLED.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=INSTALLED) as scratch:
            fresh = Path(scratch) / "fresh"
            fresh.mkdir()
            for name in _NAMING:
                shutil.copy(folder / name, fresh / name)
            subprocess.run(
                ["npm", "ci", "--ignore-scripts", "--prefer-offline", "--silent"],  # noqa: S607  # the machine's own
                cwd=fresh,
                env=environment,
                check=True,
                timeout=INSTALL_SECONDS,
            )
            try:
                fresh.rename(place)
            except OSError:
                if not place.is_dir():  # else another process was first
                    raise
    return place / "node_modules"


def typescript_package(build: Build) -> None:
    """Compile it, and pack what its package.json lists."""
    compiled(build)
    packed(build)


def compiled(build: Build) -> None:
    """Make `dist` of a package in TypeScript."""
    (build.folder / "node_modules").symlink_to(development_modules(build.folder, build.environment))
    build.run("node_modules/.bin/tsc", "--project", "tsconfig.json")


def packed(build: Build) -> None:
    """Write its tarball, under the contract's version and without what only its development needs."""
    about = build.folder / "package.json"
    said = json.loads(about.read_text(encoding="utf-8"))
    shipped = {name: value for name, value in said.items() if name not in {"devDependencies", "scripts"}}
    shipped["version"] = build.version
    about.write_text(json.dumps(shipped, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    for path in (build.folder / "dist").rglob(
        "*"
    ):  # npm packs the modes that the umask of whoever builds gave
        path.chmod(0o755 if path.is_dir() else 0o644)
    build.run("npm", "pack", "--silent", "--ignore-scripts", f"--pack-destination={build.out}")


def write_types() -> None:
    """Write the types of the OpenAPI and the AsyncAPI document into the client's sources."""
    modules = CLIENT / "node_modules"
    if not modules.exists():
        modules.symlink_to(development_modules(CLIENT))
    subprocess.run(["node", "types.mjs"], cwd=CLIENT, check=True)  # noqa: S607  # the machine's own


if __name__ == "__main__":
    write_types()

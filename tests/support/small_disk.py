"""A file system of a few megabytes that a test can fill, and empty again."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class SmallDisk:
    """A mounted file system of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    def fill(self, but_bytes: int = 0) -> None:
        """Leave no byte, or these."""
        with self._ballast.open("ab", buffering=0) as ballast:
            for size in (65_536, 4_096, 1):
                try:
                    while True:
                        ballast.write(b"x" * size)
                except OSError as full:
                    if full.errno != errno.ENOSPC:
                        raise
            if but_bytes:
                ballast.truncate(ballast.tell() - but_bytes)

    def free(self) -> None:
        """Give back all that `fill` took."""
        self._ballast.unlink()


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int = 4) -> Iterator[SmallDisk]:
    """Mount one at `folder`, which is made; skip the test where that is not allowed."""
    folder.mkdir()
    size = f"size={megabytes}m,mode=0777"
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(folder)], check=False, capture_output=True
    )
    if os.geteuid() != 0 or mount.returncode != 0:
        pytest.skip("only root may mount the small file system that is filled here")
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True, capture_output=True)

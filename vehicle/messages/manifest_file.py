"""The key manifest a car adopted last, in a file: 32 bytes of the root that endorsed it, then the manifest.

A damaged file stops the start. The factory's manifest would do to go on with, but it may accept keys that
a later one revoked, and whoever can damage a file must not be able to bring those back. A power cut does
not damage it: it is written beside the old one and renamed over it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from protocol.faults import MessageRefusedError
from protocol.keys import KEY_BYTES
from protocol.manifest import Trust

if TYPE_CHECKING:
    from pathlib import Path


class ManifestDamagedError(RuntimeError):
    """What the car accepted last is unreadable, so it must not start; the text names the file."""


class ManifestStore:
    """Where one car keeps it. `factory` is what the car was made with."""

    def __init__(self, path: Path, factory: Trust) -> None:
        self._path = path
        self._factory = factory

    def load(self) -> Trust:
        """Return what was kept, whether or not its time is up; the factory's before the first. Raises
        ManifestDamagedError.
        """
        try:
            kept = self._path.read_bytes()
        except FileNotFoundError:
            return self._factory
        try:
            return Trust.restore(kept[:KEY_BYTES], kept[KEY_BYTES:])
        except (MessageRefusedError, ValueError) as error:  # ValueError: the root is cut short
            raise ManifestDamagedError(f"{self._path.name} is damaged: have a workshop renew it") from error

    def save(self, endorsed_by: bytes, endorsed: bytes) -> None:
        """Replace it. On the disk when it returns."""
        fresh = self._path.with_suffix(".new")
        with fresh.open("wb") as stream:
            stream.write(endorsed_by + endorsed)
            stream.flush()
            os.fsync(stream.fileno())
        fresh.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)

"""The folder that stays from run to run: one run at a time, and what earlier ones asked for is told from noise."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

MOST_HASHES = 20_000
"""Of earlier runs: what a unit may still answer for days."""
_HASH_BYTES = 32


class BenchTakenError(Exception):
    """Another run works in the folder; the text names it."""


class BenchLock:
    """Keeps other runs out of `folder`, until `release` or the end of the process. Raises BenchTakenError."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._file = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._file)
            raise BenchTakenError(
                f"another run works in {folder}: wait for its end, or give this one its own --work"
            ) from error

    def release(self) -> None:
        """Let others in."""
        os.close(self._file)


class IssuedHashes:
    """The request hashes of what was ever ordered from this bench, in a file.

    A unit goes on saying what no broker confirmed: in the next run it may answer an order of the last.
    """

    def __init__(self, path: Path) -> None:
        kept = path.read_bytes() if path.exists() else b""
        whole = len(kept) - len(kept) % _HASH_BYTES  # a run that was killed may have left half a hash
        kept = kept[max(0, whole - MOST_HASHES * _HASH_BYTES) : whole]
        self._earlier = {kept[at : at + _HASH_BYTES] for at in range(0, len(kept), _HASH_BYTES)}
        path.write_bytes(kept)
        self._path = path

    def add(self, request_hash: bytes) -> None:
        """Ordered in this run."""
        with self._path.open("ab") as file:
            file.write(request_hash)

    def is_earlier(self, request_hash: bytes) -> bool:
        """Return whether it was ordered in an earlier run."""
        return request_hash in self._earlier

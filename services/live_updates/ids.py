"""The ids of updates as readers see them: a position in the log, sealed.

A position counts all updates of all vehicles: who sees two of them knows how much the whole fleet did in between. So an
id is one block of AES under a key that all replicas have: it stands for one position, everywhere the same, and tells
nothing. It is no secret and proves nothing; a made-up one is a place that the log does not have.
"""

from __future__ import annotations

import base64
import hashlib
import re
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self

KEY_BYTES = 32
_MIN_SECRET_BYTES = 32
_FORM = re.compile(r"[A-Za-z0-9_-]{21}[AQgw]")
_HALF = 8


class UpdateIdKeyError(Exception):
    """The file does not hold a key for ids."""


class UpdateIds:
    """Seals and opens positions under a key of 32 bytes: when the log was created, and a number within it."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise UpdateIdKeyError(f"the key of update ids has {KEY_BYTES} bytes, and not {len(key)}")
        # One block of its own each, so no mode that chains them is wanted.
        cipher = Cipher(algorithms.AES(key), modes.ECB())  # noqa: S305  # one block is a permutation, not a message
        self._seal = cipher.encryptor()
        self._open = cipher.decryptor()

    @classmethod
    def read(cls, file: Path) -> Self:
        """With a key made of the secret in `file`. Raises UpdateIdKeyError."""
        secret = file.read_bytes().strip()
        if len(secret) < _MIN_SECRET_BYTES:
            raise UpdateIdKeyError(f"DOORS_UPDATE_ID_KEY holds fewer than {_MIN_SECRET_BYTES} bytes")
        return cls(hashlib.sha256(b"update ids\0" + secret).digest())

    def sealed(self, created: int, sequence: int) -> str:
        """Return the id of the update with this number in the log that was created then, microseconds since 1970."""
        block = created.to_bytes(_HALF, "big") + sequence.to_bytes(_HALF, "big")
        return base64.urlsafe_b64encode(self._seal.update(block)).decode().rstrip("=")

    def opened(self, event_id: str) -> tuple[int, int] | None:
        """Return what an id was made of; None of what has not the form of one."""
        if not _FORM.fullmatch(event_id):
            return None
        block = self._open.update(base64.urlsafe_b64decode(event_id + "=="))
        return int.from_bytes(block[:_HALF], "big"), int.from_bytes(block[_HALF:], "big")

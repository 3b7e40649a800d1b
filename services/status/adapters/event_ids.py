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

from services.status.domain.updates import UNKNOWN_PLACE, LogPosition, base36

if TYPE_CHECKING:
    from pathlib import Path

KEY_BYTES = 32
_MIN_SECRET_BYTES = 32
_FORM = re.compile(r"[A-Za-z0-9_-]{21}[AQgw]")
_HALF = 8


class EventIdKeyError(Exception):
    """The file does not hold a key for ids."""


class EventIds:
    """Seals and opens positions under a key of 32 bytes."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise EventIdKeyError(f"the key of update ids has {KEY_BYTES} bytes, and not {len(key)}")
        # One block of its own each, so no mode that chains them is wanted.
        cipher = Cipher(algorithms.AES(key), modes.ECB())  # noqa: S305  # one block is a permutation, not a message
        self._seal = cipher.encryptor()
        self._open = cipher.decryptor()

    @classmethod
    def read(cls, file: Path) -> EventIds:
        """With a key made of the secret in `file`. Raises EventIdKeyError."""
        secret = file.read_bytes().strip()
        if len(secret) < _MIN_SECRET_BYTES:
            raise EventIdKeyError(f"DOORS_UPDATE_ID_KEY holds fewer than {_MIN_SECRET_BYTES} bytes")
        return cls(hashlib.sha256(b"update ids\0" + secret).digest())

    def id_of(self, position: LogPosition) -> str:
        """Return the id of the update at `position`."""
        block = int(position.epoch, 36).to_bytes(_HALF, "big") + position.sequence.to_bytes(_HALF, "big")
        return base64.urlsafe_b64encode(self._seal.update(block)).decode().rstrip("=")

    def position_of(self, event_id: str) -> LogPosition:
        """Return the place an id stands for; UNKNOWN_PLACE for what no stream of ours has sent in this form.

        A browser sends whatever id it saw last, for ever: refusing it would end its stream for good, and tell nobody.
        """
        if not _FORM.fullmatch(event_id):
            return UNKNOWN_PLACE
        block = self._open.update(base64.urlsafe_b64decode(event_id + "=="))
        epoch, sequence = (int.from_bytes(half, "big") for half in (block[:_HALF], block[_HALF:]))
        return LogPosition(base36(epoch), sequence)

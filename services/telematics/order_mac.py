"""A stamp under an order as it was accepted: whoever can write into a service's database cannot make one.

The service that takes an order in stamps it with a key that it shares with the signer, before the order is kept;
the signer signs no order without.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING

from ecarus.remotecontrol.access.v1.order_signing_service_pb2 import RequestedOrder

if TYPE_CHECKING:
    from pathlib import Path

LEAST_KEY_CHARACTERS = 32


class MacKeyError(ValueError):
    """The file holds no key; the text names it."""


class OrderMac:
    """Makes and checks stamps: HMAC-SHA256 over the order's serialized message without its stamp."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    @classmethod
    def read(cls, path: Path) -> OrderMac:
        """With the key in this file. Raises MacKeyError when it is shorter than LEAST_KEY_CHARACTERS."""
        key = path.read_bytes().strip()
        if len(key) < LEAST_KEY_CHARACTERS:
            raise MacKeyError(f"{path} holds fewer than {LEAST_KEY_CHARACTERS} characters")
        return cls(key)

    def of(self, order: RequestedOrder) -> bytes:
        """Return the stamp that belongs under this order, whatever stands there."""
        bare = RequestedOrder()
        bare.CopyFrom(order)
        bare.mac = b""
        return hmac.digest(self._key, bare.SerializeToString(deterministic=True), hashlib.sha256)

    def fits(self, order: RequestedOrder) -> bool:
        """Return whether the stamp under it is the one that belongs there."""
        return hmac.compare_digest(order.mac, self.of(order))

"""Who sends a Web Push (RFC 8292): a token for each push service, signed with the application server's key."""

from __future__ import annotations

import base64
from collections import OrderedDict
from typing import TYPE_CHECKING

import jwt
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

    from services.platform.clock import Clock

VALID_SECONDS = 43_200
"""At most 24 hours (section 2)."""
RENEW_SECONDS = 3_600
"""So long before its end a token is made anew."""
_MAX_ORIGINS = 64


def application_server_key(key: EllipticCurvePrivateKey) -> str:
    """Return what a browser subscribes under (`applicationServerKey`): the public point, base64url."""
    point = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return base64.urlsafe_b64encode(point).decode().rstrip("=")


class VapidHeaders:
    """Makes the Authorization header for each origin, and keeps it for as long as it is good."""

    def __init__(self, key: EllipticCurvePrivateKey, contact: str, clock: Clock) -> None:
        self._key = key
        self._contact = contact
        self._clock = clock
        self._public = application_server_key(key)
        self._made: OrderedDict[str, tuple[float, str]] = OrderedDict()

    def for_origin(self, origin: str) -> str:
        """Return the header's value for `https://host[:port]`."""
        now = self._clock.seconds()
        ends, value = self._made.get(origin, (0.0, ""))
        if ends - RENEW_SECONDS <= now:
            ends = now + VALID_SECONDS
            claims = {"aud": origin, "exp": int(ends), "sub": self._contact}
            value = f"vapid t={jwt.encode(claims, self._key, algorithm='ES256')}, k={self._public}"
            self._made[origin] = (ends, value)
            while len(self._made) > _MAX_ORIGINS:
                self._made.popitem(last=False)
        self._made.move_to_end(origin)
        return value

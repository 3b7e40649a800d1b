"""Encryption of a Web Push message for its subscription (RFC 8291), in the coding aes128gcm (RFC 8188).

With the primitives of `cryptography`: the two RFCs are forty lines, and the libraries there are bring HTTP clients of
their own or come without types and wheels.
"""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_PLAINTEXT_BYTES = 3_993
"""So that the message has the 4,096 bytes that every push service takes (RFC 8291, section 4)."""
POINT_BYTES, AUTH_BYTES, SALT_BYTES = 65, 16, 16
_RECORD_SIZE = 4_096
_LAST_RECORD = b"\x02"


class SubscriptionKeyError(ValueError):
    """A subscription's keys are none: `p256dh` is no point of P-256, or `auth` not 16 bytes."""


def encrypt(
    plaintext: bytes,
    p256dh: bytes,
    auth: bytes,
    *,
    sender: ec.EllipticCurvePrivateKey | None = None,
    salt: Callable[[int], bytes] = os.urandom,
) -> bytes:
    """Return the message: header and one record. `sender` and `salt` are new for each message; tests name them.

    Raises SubscriptionKeyError, and ValueError for more than MAX_PLAINTEXT_BYTES.
    """
    if len(plaintext) > MAX_PLAINTEXT_BYTES:
        raise ValueError(f"at most {MAX_PLAINTEXT_BYTES} bytes fit into one message")
    if len(p256dh) != POINT_BYTES or len(auth) != AUTH_BYTES:
        raise SubscriptionKeyError("p256dh has 65 bytes, and auth 16")
    try:
        receiver = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), p256dh)
    except ValueError as error:
        raise SubscriptionKeyError("p256dh is no point of P-256") from error
    ours = sender or ec.generate_private_key(ec.SECP256R1())
    our_point = ours.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    secret = ours.exchange(ec.ECDH(), receiver)
    ikm = _hkdf(auth, b"WebPush: info\x00" + p256dh + our_point, 32, secret)
    salted = salt(SALT_BYTES)
    key = _hkdf(salted, b"Content-Encoding: aes128gcm\x00", 16, ikm)
    nonce = _hkdf(salted, b"Content-Encoding: nonce\x00", 12, ikm)
    header = salted + struct.pack("!LB", _RECORD_SIZE, len(our_point)) + our_point
    return header + AESGCM(key).encrypt(nonce, plaintext + _LAST_RECORD, None)


def _hkdf(salt: bytes, info: bytes, length: int, secret: bytes) -> bytes:
    return HKDF(SHA256(), length, salt, info).derive(secret)

"""A car's public keys as its maker hands them over: a PEM file with an Ed25519 and an X25519 key."""

from __future__ import annotations

import re

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from protocol.keys import SealKey
from services.enrolment.domain import PublicKeys

_BLOCK = re.compile(rb"-----BEGIN [A-Z ]+-----.+?-----END [A-Z ]+-----", re.DOTALL)
_FIELD = 2**255 - 19
_LOW_255_BITS = 2**255 - 1


class NotPublicKeysError(ValueError):
    """Not the public keys of a car; the text says why, and holds nothing of them."""


def read_public_keys(pem: bytes) -> PublicKeys:
    """Return the two keys, in either order. Raises NotPublicKeysError, also for keys with which nothing
    can be kept safe.
    """
    if b"PRIVATE KEY" in pem:
        raise NotPublicKeysError(
            "this holds a private key, which must not leave the car: make the car new ones"
        )
    try:
        keys = [load_pem_public_key(block) for block in _BLOCK.findall(pem)]
    except (ValueError, UnsupportedAlgorithm) as error:
        raise NotPublicKeysError("not a PEM file of public keys") from error
    verify = [key.public_bytes_raw() for key in keys if isinstance(key, Ed25519PublicKey)]
    seal = [key.public_bytes_raw() for key in keys if isinstance(key, X25519PublicKey)]
    if len(keys) != 2 or len(verify) != 1 or len(seal) != 1:  # noqa: PLR2004  # one of each
        raise NotPublicKeysError("not one Ed25519 and one X25519 public key (PEM) and nothing else")
    try:
        SealKey.checked(seal[0])
        SealKey.checked(_as_montgomery(verify[0]))
    except ValueError as error:
        raise NotPublicKeysError("a key of small order: everybody knows what is made with it") from error
    return PublicKeys(verify[0], seal[0])


def _as_montgomery(edwards: bytes) -> bytes:
    """Return the same point on the curve of X25519 (RFC 7748, section 4.1), where points of small order are found out.

    Under such a key a signature that anybody can write down fits every message.
    """
    y = (int.from_bytes(edwards, "little") & _LOW_255_BITS) % _FIELD
    u = (1 + y) * pow(1 - y, _FIELD - 2, _FIELD) % _FIELD
    return u.to_bytes(32, "little")

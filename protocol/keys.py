"""Keys and their ids.

A key's id is the first 8 bytes of SHA-256 over its 32 public bytes: nobody chooses it, and the same
key has the same id everywhere.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY_BYTES = 32
KEY_ID_BYTES = 8


def key_id(public_bytes: bytes) -> bytes:
    """Return the id of a public key, from its 32 bytes."""
    return hashlib.sha256(public_bytes).digest()[:KEY_ID_BYTES]


class Signer(Protocol):
    """Whoever holds a signing key. It may live in another process or in hardware."""

    @property
    def key_id(self) -> bytes:
        """The id of the public half."""

    def sign(self, data: bytes) -> bytes:
        """Return the Ed25519 signature (RFC 8032), 64 bytes."""


class KeySigner:
    """A signer with its key in memory."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public_bytes = key.public_key().public_bytes_raw()
        self._key_id = key_id(self.public_bytes)

    @property
    def key_id(self) -> bytes:
        """The id of the public half."""
        return self._key_id

    def sign(self, data: bytes) -> bytes:
        """Return the Ed25519 signature (RFC 8032), 64 bytes."""
        return self._key.sign(data)


@dataclass(frozen=True, slots=True)
class SealKey:
    """A public X25519 key and its id."""

    key: X25519PublicKey
    key_id: bytes

    @classmethod
    def of(cls, public_bytes: bytes) -> SealKey:
        """From 32 bytes. Raises ValueError for another length."""
        return cls(X25519PublicKey.from_public_bytes(public_bytes), key_id(public_bytes))

    @classmethod
    def checked(cls, public_bytes: bytes) -> SealKey:
        """Return the same for bytes that somebody else chose: also raises ValueError for a point of small order, with
        which nothing can be agreed (RFC 7748, section 6.1). Enrol no other keys.
        """
        key = cls.of(public_bytes)
        X25519PrivateKey.generate().exchange(key.key)
        return key


class OpenKeys:
    """The private X25519 keys somebody opens with, by id. More than one while keys are rotated."""

    def __init__(self, *keys: X25519PrivateKey) -> None:
        self._keys: Mapping[bytes, X25519PrivateKey] = {
            key_id(key.public_key().public_bytes_raw()): key for key in keys
        }

    def find(self, of_id: bytes) -> X25519PrivateKey | None:
        """Return the key with this id."""
        return self._keys.get(of_id)


@dataclass(frozen=True, slots=True)
class VehicleKeys:
    """What the cloud enrolled for a vehicle."""

    verify_key: Ed25519PublicKey
    verify_key_id: bytes
    seal_key: SealKey

    @classmethod
    def of(cls, verify_bytes: bytes, seal_bytes: bytes) -> VehicleKeys:
        """From the two enrolled public keys, Ed25519 and X25519, 32 bytes each. Raises ValueError."""
        return cls(
            Ed25519PublicKey.from_public_bytes(verify_bytes), key_id(verify_bytes), SealKey.of(seal_bytes)
        )

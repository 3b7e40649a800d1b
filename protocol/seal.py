"""Sealing: HPKE base mode (RFC 9180), DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM.

    0x01 | 0x01 | receiver's key id (8) | encapsulated key (32) | ciphertext and tag

It hides; it proves nothing about who sealed. The proof is the signature inside.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from protocol.faults import Fault, MessageRefusedError
from protocol.keys import KEY_ID_BYTES

if TYPE_CHECKING:
    from protocol.keys import OpenKeys, SealKey

PROTOCOL_VERSION = 1
MAX_SEALED_BYTES = 16 * 1024

HEAD = bytes((PROTOCOL_VERSION, 1))
_PREFIX_BYTES = len(HEAD) + KEY_ID_BYTES
_LEAST_BYTES = _PREFIX_BYTES + 32 + 16
_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


class Direction(IntEnum):
    """Who may open it."""

    TO_VEHICLE = 1
    TO_CLOUD = 2


def seal(envelope: bytes, receiver: SealKey, direction: Direction, vin: str) -> bytes:
    """Return the sealed envelope, at most MAX_SEALED_BYTES. Raises ValueError when it would be longer."""
    ciphertext = _SUITE.encrypt(envelope, receiver.key, info(direction, vin, receiver.key_id))
    sealed = b"".join((HEAD, receiver.key_id, ciphertext))
    if len(sealed) > MAX_SEALED_BYTES:
        raise ValueError(f"{len(sealed)} bytes sealed; at most {MAX_SEALED_BYTES}")
    return sealed


def unseal(data: bytes, keys: OpenKeys, direction: Direction, vin: str) -> bytes:
    """Return the envelope. Raises MessageRefusedError: TOO_LARGE, MALFORMED, NOT_FOR_US."""
    if len(data) > MAX_SEALED_BYTES:
        raise MessageRefusedError(Fault.TOO_LARGE, f"{len(data)} bytes; at most {MAX_SEALED_BYTES}")
    if len(data) < _LEAST_BYTES or data[: len(HEAD)] != HEAD:
        raise MessageRefusedError(Fault.MALFORMED, "not a sealed message of this version")
    of_id = data[len(HEAD) : _PREFIX_BYTES]
    key = keys.find(of_id)
    if key is None:
        raise MessageRefusedError(Fault.NOT_FOR_US, "sealed to another key")
    try:
        return _SUITE.decrypt(data[_PREFIX_BYTES:], key, info(direction, vin, of_id))
    except InvalidTag as error:
        raise MessageRefusedError(Fault.NOT_FOR_US, "it does not open") from error


def info(direction: Direction, vin: str, of_id: bytes) -> bytes:
    """Return HPKE's info: all parts of fixed length, so that no two contexts share one."""
    return b"".join((b"rdc-seal", bytes((PROTOCOL_VERSION, direction)), vin.encode("ascii"), of_id))

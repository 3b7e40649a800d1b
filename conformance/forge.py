"""Orders as no cloud sends them: right in everything but what is named."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from ecarus.remotecontrol.vehicle.v1 import session_pb2

from protocol import cose
from protocol.domains import ORDER_FIELDS, ORDER_TYPES, Domain, subject_of
from protocol.keys import KeySigner, SealKey
from protocol.order import request_hash
from protocol.seal import HEAD, Direction, info

if TYPE_CHECKING:
    from collections.abc import Iterator

    from protocol.keys import Signer

_UNKNOWN_FIELD = b"\xfa\xff\x03"  # field 8191, length-delimited
_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


@dataclass(frozen=True, slots=True)
class Mutation:
    """What is wrong with an order; None is right. `left_millis`: how long it is still valid by the unit's clock.
    `payload` is signed in its place, `extra` after it.
    """

    signer: Signer | None = None
    epoch: bytes | None = None
    counter: int | None = None
    left_millis: int | None = None
    role: session_pb2.Role.ValueType = session_pb2.ROLE_OWNER
    vin: str | None = None
    subject: bytes | None = None
    content_type: str | None = None
    unsigned: bool = False
    payload: bytes | None = None
    extra: bytes = b""
    receiver: SealKey | None = None
    direction: Direction = Direction.TO_VEHICLE


UNCHANGED = Mutation()


@dataclass(frozen=True, slots=True)
class Forgery:
    """An envelope, sealed, and the hash by which an answer would name it."""

    envelope: bytes
    data: bytes
    request_hash: bytes


def sealed_order(
    message: session_pb2.SignedOrder, domain: Domain, signer: Signer, receiver: SealKey, mutation: Mutation
) -> Forgery:
    """Return the order in `message`, which is right, for its unit's subject of `domain`."""
    vin = message.vin
    twisted = session_pb2.SignedOrder()
    twisted.CopyFrom(message)
    twisted.role = mutation.role
    if mutation.vin is not None:
        twisted.vin = mutation.vin
    if mutation.epoch is not None:
        twisted.epoch = mutation.epoch
    if mutation.counter is not None:
        twisted.counter = mutation.counter
    envelope = payload = (
        twisted.SerializeToString() if mutation.payload is None else mutation.payload
    ) + mutation.extra
    if not mutation.unsigned:
        field = message.WhichOneof("order")
        own_type = next(ORDER_TYPES[one] for one, name in ORDER_FIELDS.items() if name == field)
        envelope = cose.sign(
            mutation.signer or signer,
            mutation.content_type or own_type,
            mutation.subject or subject_of(vin, domain),
            payload,
        )
    data = seal_anything(envelope, mutation.receiver or receiver, mutation.direction, vin)
    return Forgery(envelope, data, request_hash(envelope))


def seal_anything(envelope: bytes, receiver: SealKey, direction: Direction, vin: str) -> bytes:
    """As protocol.seal, of any length."""
    ciphertext = _SUITE.encrypt(envelope, receiver.key, info(direction, vin, receiver.key_id))
    return b"".join((HEAD, receiver.key_id, ciphertext))


def unknown_field(length: int) -> bytes:
    """Return a protobuf field that no message of today has, holding so many bytes."""
    return _UNKNOWN_FIELD + _varint(length) + bytes(length)


def _varint(value: int) -> bytes:
    low, rest = value & 0x7F, value >> 7
    return bytes((low | 0x80,)) + _varint(rest) if rest else bytes((low,))


def stranger() -> KeySigner:
    """Return a signing key that no manifest names."""
    return KeySigner(Ed25519PrivateKey.generate())


def stranger_to_seal_to() -> SealKey:
    """Return a key that the unit does not have."""
    return SealKey.of(X25519PrivateKey.generate().public_key().public_bytes_raw())


class Impostor:
    """Signs with one key and says that it was another."""

    def __init__(self, signer: Signer, claimed_key_id: bytes) -> None:
        self._signer = signer
        self._claimed = claimed_key_id

    @property
    def key_id(self) -> bytes:
        """Whose key it says it was."""
        return self._claimed

    def sign(self, data: bytes) -> bytes:
        """With the key it has."""
        return self._signer.sign(data)


def flips(data: bytes, count: int, spare: range = range(0)) -> Iterator[bytes]:
    """`count` copies with one bit wrong, spread evenly over all bytes but those of `spare`."""
    places = [place for place in range(len(data)) if place not in spare]
    for nth in range(count):
        place = places[nth * (len(places) - 1) // max(1, count - 1)]
        flipped = bytearray(data)
        flipped[place] ^= 1 << nth % 8
        yield bytes(flipped)

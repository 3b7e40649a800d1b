"""A vehicle's signed answer, checked by whoever has its public key and nothing else: no session, no seal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ecarus.remotecontrol.vehicle.v1 import session_pb2
from google.protobuf.message import DecodeError

from protocol import cose
from protocol.domains import ANSWER_FIELDS, ContentType, Domain, subject_of
from protocol.faults import Fault, MessageRefusedError
from protocol.keys import key_id

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

_DOMAINS = (Domain.RECEIVED, Domain.RESULT, Domain.CANCELLED, Domain.CONFIGURED)


@dataclass(frozen=True, slots=True)
class ProvenAnswer:
    """What a vehicle signed, and where it belongs."""

    domain: Domain
    message: session_pb2.SignedAnswer


def read_answer(envelope: bytes) -> session_pb2.SignedAnswer:
    """Return what the envelope says, whoever signed it. Raises MessageRefusedError."""
    try:
        return session_pb2.SignedAnswer.FromString(cose.decode(envelope).payload)
    except DecodeError as error:
        raise MessageRefusedError(Fault.MALFORMED, "not an answer") from error


def prove_answer(envelope: bytes, key: Ed25519PublicKey) -> ProvenAnswer:
    """Return what the vehicle with this key signed. Raises MessageRefusedError."""
    signed = cose.decode(envelope)
    if signed.key_id != key_id(key.public_bytes_raw()):
        raise MessageRefusedError(Fault.UNKNOWN_KEY, "signed by another key")
    message = read_answer(envelope)
    for domain in _DOMAINS:
        if signed.content_type not in {ANSWER_FIELDS[domain][1], ContentType.FAULT}:
            continue
        try:
            cose.verify(signed, key, subject_of(message.vin, domain))
        except MessageRefusedError:
            continue
        return ProvenAnswer(domain, message)
    raise MessageRefusedError(Fault.BAD_SIGNATURE, "the signature does not fit")

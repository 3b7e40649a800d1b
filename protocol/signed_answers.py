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
from protocol.subjects import is_vin

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

REFUSED = "refused"
"""The member of SignedAnswer that a refusal (ContentType.FAULT) fills."""


@dataclass(frozen=True, slots=True)
class ProvenAnswer:
    """What a vehicle signed, and where it belongs."""

    domain: Domain
    message: session_pb2.SignedAnswer


def read_answer(envelope: bytes) -> session_pb2.SignedAnswer:
    """Return what the envelope says, whoever signed it. Raises MessageRefusedError."""
    return _message_in(cose.decode(envelope))


def parse_answer(signed: cose.SignedEnvelope, domain: Domain) -> session_pb2.SignedAnswer:
    """Return the answer in an envelope of this domain, whose signature has been verified.

    Raises MessageRefusedError where it is not the one answer that its content type says.
    """
    field, content_type = ANSWER_FIELDS[domain]
    if signed.content_type == ContentType.FAULT:
        field = REFUSED
    elif signed.content_type != content_type:
        raise MessageRefusedError(Fault.WRONG_TYPE, f"does not belong to {domain.value}")
    message = _message_in(signed)
    if message.WhichOneof("answer") != field:
        raise MessageRefusedError(Fault.WRONG_TYPE, "another answer than its content type says")
    return message


def prove_answer(envelope: bytes, key: Ed25519PublicKey) -> ProvenAnswer:
    """Return what the vehicle with this key signed. Raises MessageRefusedError."""
    signed = cose.decode(envelope)
    if signed.key_id != key_id(key.public_bytes_raw()):
        raise MessageRefusedError(Fault.UNKNOWN_KEY, "signed by another key")
    vin = _message_in(signed).vin
    if not is_vin(vin):
        raise MessageRefusedError(Fault.MALFORMED, "of no vehicle")
    for domain in ANSWER_FIELDS:
        try:
            cose.verify(signed, key, subject_of(vin, domain))
        except MessageRefusedError:
            continue
        return ProvenAnswer(domain, parse_answer(signed, domain))
    raise MessageRefusedError(Fault.BAD_SIGNATURE, "the signature does not fit")


def _message_in(signed: cose.SignedEnvelope) -> session_pb2.SignedAnswer:
    try:
        return session_pb2.SignedAnswer.FromString(signed.payload)
    except DecodeError as error:
        raise MessageRefusedError(Fault.MALFORMED, "not an answer") from error

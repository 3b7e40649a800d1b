"""What the signer signs. It alone holds the key; who asks for a signature gets an envelope, and seals it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ecarus.remotecontrol.vehicle.v1 import session_pb2

from protocol import cose
from protocol.domains import ORDER_FIELDS, ORDER_TYPES, ContentType, Domain, subject_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from protocol.keys import Signer

_DOMAIN_OF_FIELD = {field: domain for domain, field in ORDER_FIELDS.items()}


def sign_order(signer: Signer, message: session_pb2.SignedOrder) -> bytes:
    """Return the envelope of an order, for the domain of the order in it. Raises ValueError when it holds none."""
    field = message.WhichOneof("order")
    if field is None:
        raise ValueError("no order to sign")
    domain = _DOMAIN_OF_FIELD[field]
    subject = subject_of(message.vin, domain)
    return cose.sign(signer, ORDER_TYPES[domain], subject, message.SerializeToString())


def sign_session_request(
    signer: Signer,
    vin: str,
    challenge: bytes,
    refused: Iterable[session_pb2.RefusedReport] = (),
    *,
    self_check: bool = False,
) -> bytes:
    """Return the envelope of a session request, for Domain.CHALLENGE. `refused`: what the vehicle is told besides;
    `self_check`: it is asked to check itself.
    """
    request = session_pb2.SessionRequest(vin=vin, challenge=challenge, refused=refused, self_check=self_check)
    subject = subject_of(vin, Domain.CHALLENGE)
    return cose.sign(signer, ContentType.CHALLENGE, subject, request.SerializeToString())

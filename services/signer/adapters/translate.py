"""Between the contract's messages and this service's words; and the envelope that is signed."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from ecarus.remotecontrol.access.v1 import order_signing_service_pb2 as contract
from ecarus.remotecontrol.vehicle.v1 import command_pb2, session_pb2

from protocol.domains import MAX_COUNTER
from protocol.session import EPOCH_BYTES
from protocol.signing import sign_order
from protocol.subjects import is_vin
from services.platform import errors
from services.platform.capability import EMERGENCY
from services.platform.errors import Refusal
from services.platform.policy import SPIFFE
from services.platform.times import time_of
from services.signer.domain import (
    CLOCK_SKEW,
    AuthorizationEvidence,
    OrderKind,
    SigningOutcome,
    SigningRequest,
)
from services.signer.usecases import AccessUnavailableError, EvidencedOrder, SigningResult

if TYPE_CHECKING:
    from collections.abc import Iterable

    from google.protobuf.timestamp_pb2 import Timestamp

    from protocol.keys import Signer
    from services.platform.capability import Capability, CapabilityVerifier
    from services.telematics.order_mac import OrderMac

_VERDICTS = {
    SigningOutcome.SIGNED: contract.SIGNING_VERDICT_SIGNED,
    SigningOutcome.NOT_ALLOWED: contract.SIGNING_VERDICT_NOT_ALLOWED,
    SigningOutcome.NOT_PROVEN: contract.SIGNING_VERDICT_NOT_PROVEN,
    SigningOutcome.TOO_OLD: contract.SIGNING_VERDICT_TOO_OLD,
}
_MILLISECOND = timedelta(milliseconds=1)
_MODES_OF = {
    "door.unlock": {
        command_pb2.DOOR_ACTION_MODE_UNSPECIFIED,
        command_pb2.DOOR_ACTION_MODE_NORMAL,
        command_pb2.DOOR_ACTION_MODE_EMERGENCY,
    },
    "door.lock": {
        command_pb2.DOOR_ACTION_MODE_UNSPECIFIED,
        command_pb2.DOOR_ACTION_MODE_NORMAL,
        command_pb2.DOOR_ACTION_MODE_SECURE,
    },
}
_DOOR_ACTIONS = {
    command_pb2.DOOR_ACTION_UNLOCK: "door.unlock",
    command_pb2.DOOR_ACTION_LOCK: "door.lock",
}


_SIGNED_FOR = {SPIFFE + "room/command": {"door", "cancel"}, SPIFFE + "room/config": {"config"}}
"""Which orders a service may have signed: each has the stamp's key, and none is to speak for another."""


def request_of(
    order: contract.OrderToSign, peer: str, verifier: CapabilityVerifier, mac: OrderMac
) -> EvidencedOrder[contract.OrderToSign]:
    """Return one order to be decided. What is not well-formed, or not stamped by the service that took it in, has
    no proof.
    """
    if (
        len(order.epoch) != EPOCH_BYTES
        or not 1 <= order.counter <= MAX_COUNTER
        or not 1 <= order.expires_at_millis <= MAX_COUNTER
    ):
        return EvidencedOrder(order, None, None)
    decided = requested_of(order.requested, peer, verifier, mac)
    return EvidencedOrder(order, decided.signing_request, decided.proof)


def requested_of(
    requested: contract.RequestedOrder, peer: str, verifier: CapabilityVerifier, mac: OrderMac
) -> EvidencedOrder[contract.RequestedOrder]:
    """Return the same without its place in a session."""
    if requested.WhichOneof("order") not in _SIGNED_FOR.get(peer, ()) or not mac.fits(requested):
        return EvidencedOrder(requested, None, None)
    try:
        if requested.HasField("superseded_by"):
            signing_request, capability = _superseding(requested, mac)
        elif requested.HasField("withdraws"):
            signing_request, capability = _withdrawal(requested, mac)
        else:
            signing_request, capability = _signing_request(requested), requested.capability
        return EvidencedOrder(requested, signing_request, _proof(verifier.proven(capability)))
    except (MalformedOrderError, Refusal):
        return EvidencedOrder(requested, None, None)


def answer_message(answer: SigningResult) -> contract.SigningAnswer:
    """Return the answer as it is told."""
    return contract.SigningAnswer(verdict=_VERDICTS[answer.verdict], envelope=answer.envelope)


def review_message(verdicts: Iterable[SigningOutcome]) -> contract.ReviewOrdersResponse:
    """Return the verdicts as they are told."""
    return contract.ReviewOrdersResponse(verdicts=[_VERDICTS[verdict] for verdict in verdicts])


def refusal_of(error: Exception) -> Refusal | None:
    """Return how a refusal of this service is told; None for what is not one."""
    if isinstance(error, AccessUnavailableError):
        return Refusal(
            errors.DEPENDENCY_UNAVAILABLE,
            "Whether the right still exists cannot be asked for now; nothing was signed. Try again shortly.",
            may_have_succeeded=False,
            retry_after_seconds=1,
        )
    return None


class Ed25519OrderSigner:
    """usecases.OrderSigner with the key. Orders say `manifest_version`, where the key is listed."""

    def __init__(self, signer: Signer, manifest_version: int) -> None:
        self._signer = signer
        self._manifest_version = manifest_version

    def sign(self, order: contract.OrderToSign, role: int, shortened_by: timedelta = timedelta()) -> bytes:
        """Return the envelope of this order, given in this role, with its end so much earlier than it came."""
        requested = order.requested
        cut_millis = math.ceil(shortened_by / _MILLISECOND)
        message = session_pb2.SignedOrder(
            vin=requested.vin,
            epoch=order.epoch,
            counter=order.counter,
            expires_at_millis=max(0, order.expires_at_millis - cut_millis),
            manifest_version=self._manifest_version,
            role=session_pb2.Role.ValueType(role),  # the two enums share their numbers
        )
        match requested.WhichOneof("order"):
            case "door":
                message.door.CopyFrom(requested.door)
                if cut_millis:
                    ends = requested.door.expires_at.ToDatetime() - shortened_by
                    message.door.expires_at.FromDatetime(ends)
            case "cancel":
                message.cancel.CopyFrom(requested.cancel)
            case "config":
                message.config.CopyFrom(requested.config)
        return sign_order(self._signer, message)


class MalformedOrderError(ValueError):
    """Not an order that could be signed."""


def _signing_request(requested: contract.RequestedOrder) -> SigningRequest:
    if not is_vin(requested.vin):
        raise MalformedOrderError
    asked_at = _time(requested.asked_at)
    match requested.WhichOneof("order"):
        case "door":
            door = requested.door
            action = _DOOR_ACTIONS.get(door.action)
            if action is None or door.mode not in _MODES_OF[action]:
                raise MalformedOrderError
            return SigningRequest(
                OrderKind.DOORS,
                requested.vin,
                action,
                asked_at,
                door.subject,
                door.actor,
                _time(door.expires_at),
                emergency=door.mode == command_pb2.DOOR_ACTION_MODE_EMERGENCY,
            )
        case "cancel":
            return SigningRequest(OrderKind.CANCELLATION, requested.vin, "door.cancel", asked_at)
        case "config":
            return SigningRequest(OrderKind.SETTINGS, requested.vin, "door.config.write", asked_at)
        case _:
            raise MalformedOrderError


def _withdrawal(requested: contract.RequestedOrder, mac: OrderMac) -> tuple[SigningRequest, str]:
    """Return the order that the cloud takes back, as it was asked for, and the capability that proves that it was."""
    cancelled = requested.withdraws
    if (
        requested.capability
        or not requested.HasField("cancel")
        or not _stamped_for(cancelled, requested.vin, mac)
        or cancelled.door.command_id != requested.cancel.command_id
    ):
        raise MalformedOrderError
    return replace(_signing_request(cancelled), cancelled_at=_time(requested.asked_at)), cancelled.capability


def _superseding(requested: contract.RequestedOrder, mac: OrderMac) -> tuple[SigningRequest, str]:
    """Return the cancellation of an unlock for which a lock stands, which came no earlier, and the lock's
    capability.
    """
    unlock, _ = _withdrawal(requested, mac)
    lock = requested.superseded_by
    if not _stamped_for(lock, requested.vin, mac):
        raise MalformedOrderError
    proving = _signing_request(lock)
    if (
        (unlock.action, proving.action) != ("door.unlock", "door.lock")
        or proving.asked_at != _time(requested.asked_at)
        or proving.asked_at < unlock.asked_at - CLOCK_SKEW
    ):
        raise MalformedOrderError
    return replace(proving, kind=OrderKind.CANCELLATION, expires_at=None), lock.capability


def _stamped_for(order: contract.RequestedOrder, vin: str, mac: OrderMac) -> bool:
    """Return whether it moves doors of this vehicle, as a person asked for it and its service stamped it."""
    return (
        not order.HasField("withdraws")
        and not order.HasField("superseded_by")
        and order.HasField("door")
        and order.vin == vin
        and mac.fits(order)
    )


def _proof(capability: Capability) -> AuthorizationEvidence:
    return AuthorizationEvidence(
        capability.subject,
        capability.actor,
        capability.resource,
        capability.actions,
        datetime.fromtimestamp(capability.issued_at, UTC),
        datetime.fromtimestamp(capability.expires_at, UTC),
        emergency=capability.mode == EMERGENCY,
        credential=capability.credential,
    )


def _time(timestamp: Timestamp) -> datetime:
    try:
        return time_of(timestamp)
    except ValueError as error:
        raise MalformedOrderError from error

"""Orders: what the cloud tells a vehicle, before it is signed and after it was verified."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from ecarus.remotecontrol.vehicle.v1 import command_pb2, session_pb2
from google.protobuf.message import DecodeError

from protocol.domains import ORDER_FIELDS, Domain
from protocol.faults import Fault, MessageRefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping

VehicleCommand = command_pb2.DoorCommand | command_pb2.CancelCommand | command_pb2.ApplyConfig

MAX_ID_CHARACTERS = 128

_DOMAINS: Mapping[type[VehicleCommand], Domain] = {
    command_pb2.DoorCommand: Domain.COMMAND,
    command_pb2.CancelCommand: Domain.CANCEL,
    command_pb2.ApplyConfig: Domain.CONFIG,
}
_EVERYBODY = frozenset({session_pb2.ROLE_OWNER, session_pb2.ROLE_SHARED_USER, session_pb2.ROLE_DIGITAL_KEY})
ROLES: Mapping[Domain, frozenset[session_pb2.Role.ValueType]] = {
    Domain.COMMAND: _EVERYBODY,
    Domain.CANCEL: _EVERYBODY,
    Domain.CONFIG: frozenset({session_pb2.ROLE_OWNER}),
}
"""Whose orders a vehicle takes. The cloud's policy is finer; this stands even when that fails."""


def domain_of(order: VehicleCommand) -> Domain:
    """Return the domain an order belongs to."""
    return _DOMAINS[type(order)]


def order_id(order: VehicleCommand) -> str:
    """Return what makes it the same order when it comes again: command id, cancel id, settings version."""
    match order:
        case command_pb2.DoorCommand():
            return order.command_id
        case command_pb2.CancelCommand():
            return order.cancel_id
        case command_pb2.ApplyConfig():
            return str(order.version)


def command_id(order: VehicleCommand) -> str:
    """Return the command it gives or withdraws; empty for settings."""
    return "" if isinstance(order, command_pb2.ApplyConfig) else order.command_id


def request_hash(envelope: bytes) -> bytes:
    """Return what an answer names its request by: SHA-256 over the signed envelope, before it is sealed."""
    return hashlib.sha256(envelope).digest()


def parse(payload: bytes, domain: Domain) -> tuple[session_pb2.SignedOrder, VehicleCommand]:
    """Return the signed message and the order in it. Raises MessageRefusedError: MALFORMED, WRONG_TYPE."""
    try:
        signed = session_pb2.SignedOrder.FromString(payload)
    except DecodeError as error:
        raise MessageRefusedError(Fault.MALFORMED, "not an order") from error
    field = ORDER_FIELDS[domain]
    if signed.WhichOneof("order") != field:
        raise MessageRefusedError(Fault.WRONG_TYPE, f"an order that does not belong to {domain.value}")
    order: VehicleCommand = getattr(signed, field)
    if not all(1 <= len(one) <= MAX_ID_CHARACTERS for one in _ids(order)):
        raise MessageRefusedError(Fault.MALFORMED, "an order whose id is missing or too long")
    return signed, order


def _ids(order: VehicleCommand) -> tuple[str, ...]:
    """Return a cancellation that names no command would be answered for none."""
    if isinstance(order, command_pb2.CancelCommand):
        return order.cancel_id, order.command_id
    return (order_id(order),)

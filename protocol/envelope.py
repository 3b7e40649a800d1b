"""Packing and unpacking the envelope that every message between cloud and vehicle travels in.

`unpack` believes nothing: size, version, type, VIN and payload are each checked, and every way in
which bytes can be wrong raises the one exception EnvelopeRefused.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ecarus.remotecontrol.vehicle.v1 import command_pb2, report_pb2
from ecarus.remotecontrol.vehicle.v1.envelope_pb2 import Envelope, MessageType
from google.protobuf.message import DecodeError

if TYPE_CHECKING:
    from google.protobuf.message import Message

VERSION = 1
MAX_BYTES = 64 * 1024
MAX_MESSAGE_ID = 128

PAYLOADS: dict[int, type[Message]] = {
    MessageType.MESSAGE_TYPE_DOOR_COMMAND: command_pb2.DoorCommand,
    MessageType.MESSAGE_TYPE_CANCEL_COMMAND: command_pb2.CancelCommand,
    MessageType.MESSAGE_TYPE_APPLY_CONFIG: command_pb2.ApplyConfig,
    MessageType.MESSAGE_TYPE_HELLO: report_pb2.Hello,
    MessageType.MESSAGE_TYPE_COMMAND_RECEIVED: report_pb2.CommandReceived,
    MessageType.MESSAGE_TYPE_COMMAND_RESULT: report_pb2.CommandResult,
    MessageType.MESSAGE_TYPE_CANCEL_RESULT: report_pb2.CancelResult,
    MessageType.MESSAGE_TYPE_STATUS_REPORT: report_pb2.StatusReport,
    MessageType.MESSAGE_TYPE_CONFIG_REPORT: report_pb2.ConfigReport,
    MessageType.MESSAGE_TYPE_DIAGNOSTICS_REPORT: report_pb2.DiagnosticsReport,
}
_TYPE_OF = {payload: number for number, payload in PAYLOADS.items()}


class EnvelopeRefused(ValueError):
    """These bytes are not a message for us; the text says why."""


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What an envelope held. `payload` is an instance of the class that PAYLOADS gives for its type."""

    vin: str
    message_id: str
    sent_at: datetime
    payload: Message


def pack(vin: str, message_id: str, payload: Message, sent_at: datetime) -> bytes:
    """The bytes to publish. `payload` is one of PAYLOADS' messages."""
    envelope = Envelope(
        version=VERSION,
        type=_TYPE_OF[type(payload)],  # type: ignore[arg-type]  # the table's keys are the enum's numbers
        vin=vin,
        message_id=message_id,
        payload=payload.SerializeToString(deterministic=True),
    )
    envelope.sent_at.FromDatetime(sent_at)
    return envelope.SerializeToString()


def unpack(data: bytes, *, vin: str, expect: type[Message] | None = None) -> Unpacked:
    """What `data` holds, when it came on a subject of `vin`.

    Raises EnvelopeRefused when it is too large, not an envelope, of an unknown version or type, for
    another VIN, without a message id, or not of the class `expect`.
    """
    if len(data) > MAX_BYTES:
        raise EnvelopeRefused(f"{len(data)} bytes; at most {MAX_BYTES}")
    try:
        envelope = Envelope.FromString(data)
    except DecodeError as error:
        raise EnvelopeRefused("not an envelope") from error
    if envelope.version != VERSION:
        raise EnvelopeRefused(f"version {envelope.version}, not {VERSION}")
    if envelope.vin != vin:
        raise EnvelopeRefused("for another vehicle than its subject's")
    if not 1 <= len(envelope.message_id) <= MAX_MESSAGE_ID:
        raise EnvelopeRefused("message id missing or too long")
    kind = PAYLOADS.get(envelope.type)
    if kind is None:
        raise EnvelopeRefused(f"unknown message type {envelope.type}")
    if expect is not None and kind is not expect:
        raise EnvelopeRefused(f"{kind.DESCRIPTOR.name} where {expect.DESCRIPTOR.name} belongs")
    try:
        payload = kind.FromString(envelope.payload)
        sent_at = envelope.sent_at.ToDatetime(tzinfo=UTC)
    except (DecodeError, ValueError, OverflowError) as error:
        raise EnvelopeRefused(f"not a {kind.DESCRIPTOR.name}") from error
    return Unpacked(envelope.vin, envelope.message_id, sent_at, payload)

"""What a native gRPC request says that access depends on, as the room behind will read it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ecarus.remotecontrol.door.v1 import door_command_pb2, door_command_service_pb2
from google.protobuf.message import DecodeError

from services.runtime import errors
from services.runtime.errors import Refusal, Violation

if TYPE_CHECKING:
    from google.protobuf.message import Message

_PREFIX_BYTES = 5


@dataclass(frozen=True, slots=True)
class Said:
    """The `vin` as it was written, and whether an unlock is to be an emergency's."""

    vin: str
    emergency: bool


def said_in(body: bytes, request: type[Message]) -> Said:
    """What the one message in `body` says (a compression flag, four bytes of length, the message).

    Raises Refusal INVALID_REQUEST when there is not exactly one uncompressed message of this type.
    """
    if len(body) < _PREFIX_BYTES or len(body) != _PREFIX_BYTES + int.from_bytes(body[1:_PREFIX_BYTES], "big"):
        raise _refused("exactly one message is required")
    if body[0] != 0:
        raise _refused("compressed messages are not accepted; switch compression off")
    try:
        message = request.FromString(body[_PREFIX_BYTES:])
    except DecodeError:
        raise _refused(f"is not a {request.DESCRIPTOR.name}") from None
    emergency = (
        isinstance(message, door_command_service_pb2.UnlockDoorsRequest)
        and message.unlock.unlock_mode == door_command_pb2.UnlockMode.EMERGENCY
    )
    return Said(message.vin, emergency)  # type: ignore[attr-defined]  # every door request has it: routes come from those


def _refused(why: str) -> Refusal:
    return Refusal(
        errors.INVALID_REQUEST, "The message could not be read.", violations=[Violation("(message)", why)]
    )

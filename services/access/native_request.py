"""The VIN in a native gRPC request, as the room behind will read it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError

from services.runtime import errors
from services.runtime.errors import Refusal, Violation

if TYPE_CHECKING:
    from google.protobuf.message import Message

_PREFIX_BYTES = 5


def vin_of(body: bytes, request: type[Message]) -> str:
    """The `vin` of the one message in `body` (a compression flag, four bytes of length, the message).

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
    vin: str = message.vin  # type: ignore[attr-defined]  # every door request has it: routes come from those
    return vin


def _refused(why: str) -> Refusal:
    return Refusal(
        errors.INVALID_REQUEST, "The message could not be read.", violations=[Violation("(message)", why)]
    )

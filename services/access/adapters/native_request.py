"""What a native gRPC request says that access depends on, as the service behind will read it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ecarus.remotecontrol.door.v1 import door_command_pb2, door_command_service_pb2
from google.protobuf.message import DecodeError

from services.platform import errors
from services.platform.errors import Refusal, Violation
from services.platform.validation import violations_of

if TYPE_CHECKING:
    from google.protobuf.message import Message

_PREFIX_BYTES = 5
_MAX_REMEMBERED = 512


@dataclass(frozen=True, slots=True)
class NativeClaims:
    """The `vin` as it was written, whether an unlock is to be an emergency's, and what it is to do, where anything."""

    vin: str
    emergency: bool
    order: Message | None = None


class SoundOrders:
    """Judges what messages are to do by the contract's rules, and remembers what was sound: most say one of a few."""

    def __init__(self, most: int = 4_096) -> None:
        self._most = most
        self._known: dict[tuple[type[Message], bytes], None] = {}

    def check(self, order: Message) -> None:
        """Raise Refusal INVALID_REQUEST, naming the fields, unless it is sound."""
        key = (type(order), order.SerializeToString())
        if key in self._known:
            self._known[key] = self._known.pop(key)  # the last is the one used last
            return
        violations = violations_of(order, None)
        if violations:
            raise Refusal(
                errors.INVALID_REQUEST,
                "The request has fields that are not valid; correct them and send it again.",
                violations=violations,
            )
        if len(key[1]) <= _MAX_REMEMBERED:
            if len(self._known) >= self._most:
                del self._known[next(iter(self._known))]
            self._known[key] = None


def said_in(body: bytes, request: type[Message], order_field: str = "") -> NativeClaims:
    """Return what the one message in `body` says (a compression flag, four bytes of length, the message).

    `order_field` is its field that says what to do. Raises Refusal INVALID_REQUEST when there is not exactly one
    uncompressed message of this type.
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
    order = getattr(message, order_field) if order_field else None
    # What is about people names no vehicle: routes.py sees to it that nothing else goes without.
    return NativeClaims(getattr(message, "vin", ""), emergency, order)


def _refused(why: str) -> Refusal:
    return Refusal(
        errors.INVALID_REQUEST, "The message could not be read.", violations=[Violation("(message)", why)]
    )

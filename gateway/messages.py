"""The messages of the WebSocket, as docs/api.md has them: one JSON object in each text message."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from services.platform import strict_json

TYPES = frozenset({"DOOR_STATUS_UPDATE", "COMMAND_STATUS_UPDATE", "SYSTEM_ALERT"})
MOST_VEHICLES = 100
"""In one message."""
REQUEST_ID = r"[A-Za-z0-9._-]{1,64}"
EVENT_ID = r"[\x21-\x7e]{1,128}"
VIN = r"[A-HJ-NPR-Z0-9]{17}"
"""As it is told; in a client's message letters may be small."""
_REQUEST_ID, _EVENT_ID, _VIN = (re.compile(pattern) for pattern in (REQUEST_ID, EVENT_ID, VIN))


class MessageError(Exception):
    """A message that is none; the text says why, for its sender. `request_id` is the message's, where it has one."""

    def __init__(self, why: str, request_id: str = "") -> None:
        super().__init__(why)
        self.request_id = request_id


@dataclass(frozen=True, slots=True)
class WantedVehicle:
    """A vehicle somebody wants to be told of, from after `last_event_id` where there is one."""

    vin: str
    last_event_id: str | None = None


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Tell me of these vehicles, and of each what is of these types."""

    request_id: str
    vehicles: tuple[WantedVehicle, ...]
    types: frozenset[str]


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """Tell me of these vehicles no more."""

    request_id: str
    vins: tuple[str, ...]


def read(text: str) -> Subscribe | Unsubscribe:
    """Return what a client's message asks for. Raises MessageError."""
    try:
        document = strict_json.members(text.encode())
    except strict_json.NotStrictJsonError as error:
        raise MessageError("a message is one JSON object, with no member twice") from error
    request_id = document.pop("requestId", "")
    if request_id != "" and not (isinstance(request_id, str) and _REQUEST_ID.fullmatch(request_id)):
        raise MessageError("requestId is 1-64 of A-Z a-z 0-9 . _ -")
    try:
        action = document.pop("action", None)
        if action == "subscribe":
            return _subscribe(request_id, document)
        if action == "unsubscribe":
            return _unsubscribe(request_id, document)
    except MessageError as error:
        raise MessageError(str(error), request_id) from None
    raise MessageError("action is subscribe or unsubscribe", request_id)


def _subscribe(request_id: str, document: dict[str, Any]) -> Subscribe:
    vehicles = tuple(_vehicle(each) for each in _list(document, "vehicles"))
    types = document.pop("types", None)
    if types is None:
        types = TYPES
    elif not (isinstance(types, list) and types and all(isinstance(t, str) and t in TYPES for t in types)):
        raise MessageError(f"types is a list of {', '.join(sorted(TYPES))}")
    _nothing_more(document)
    if len({each.vin for each in vehicles}) < len(vehicles):
        raise MessageError("vehicles names one twice")
    return Subscribe(request_id, vehicles, frozenset(types))


def _unsubscribe(request_id: str, document: dict[str, Any]) -> Unsubscribe:
    vins = tuple(_vin(each) for each in _list(document, "vins"))
    _nothing_more(document)
    return Unsubscribe(request_id, vins)


def _vehicle(member: Any) -> WantedVehicle:
    if not isinstance(member, dict):
        raise MessageError("each of vehicles is an object with vin, and perhaps lastEventId")
    vin = _vin(member.pop("vin", None))
    last = member.pop("lastEventId", None)
    if last is not None and not (isinstance(last, str) and _EVENT_ID.fullmatch(last)):
        raise MessageError("lastEventId is the eventId or id of a message")
    _nothing_more(member)
    return WantedVehicle(vin, last)


def _vin(written: Any) -> str:
    if isinstance(written, str) and written.isascii() and _VIN.fullmatch(written.upper()):
        return written.upper()
    raise MessageError("a vin is 17 of A-Z 0-9, without I, O and Q")


def _list(document: dict[str, Any], name: str) -> list[Any]:
    listed = document.pop(name, None)
    if not isinstance(listed, list) or not 1 <= len(listed) <= MOST_VEHICLES:
        raise MessageError(f"{name} is a list of 1 to {MOST_VEHICLES}")
    return listed


def _nothing_more(document: dict[str, Any]) -> None:
    if document:
        raise MessageError(f"there is no member {next(iter(document))[:64]!a}")


def subscribed(request_id: str, vin: str, event_id: str) -> bytes:
    """Return that updates of this vehicle follow, from after this id."""
    return _message("SUBSCRIBED", request_id, vin=vin, **({"eventId": event_id} if event_id else {}))


def unsubscribed(request_id: str, vin: str) -> bytes:
    """Return that nothing more is told of this vehicle."""
    return _message("UNSUBSCRIBED", request_id, vin=vin)


def refused(request_id: str, vin: str, code: str, detail: str, retry_after_seconds: int) -> bytes:
    """Return why this vehicle is not told of."""
    return _message("REFUSED", request_id, vin=vin, code=code, detail=detail, **_later(retry_after_seconds))


def ended(vin: str, code: str, detail: str, retry_after_seconds: int) -> bytes:
    """Return why nothing more is told of this vehicle."""
    return _message("ENDED", "", vin=vin, code=code, detail=detail, **_later(retry_after_seconds))


def _later(retry_after_seconds: int) -> dict[str, int]:
    return {"retryAfterSeconds": retry_after_seconds} if retry_after_seconds else {}


def not_understood(error: MessageError) -> bytes:
    """Return why a message was not taken."""
    return _message("ERROR", error.request_id, code="INVALID_REQUEST", detail=f"Not understood: {error}.")


def event(event_id: str, document: str) -> bytes:
    """Return an update: what Server-Sent Events have as `data`, with its id as the first member."""
    return f'{{"id":"{event_id}",{document[1:]}'.encode()


def _message(kind: str, request_id: str, **members: Any) -> bytes:
    named = {"requestId": request_id} if request_id else {}
    return json.dumps({"type": kind, **named, **members}, separators=(",", ":")).encode()

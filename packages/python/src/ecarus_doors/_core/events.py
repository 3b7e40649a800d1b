"""Server-Sent Events, as the WHATWG's HTML standard defines them, and what the stream of a vehicle says in them."""

from __future__ import annotations

import codecs
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ecarus_doors.errors import InvalidAnswerError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LONGEST_EVENT = 1 << 20
"""Characters."""
STREAM_OPENED = "STREAM_OPENED"
_LINE_END = re.compile(r"\r\n|\n|\r")
_SENDABLE_ID = re.compile(r"[ -~]*")
"""What can be sent back in a header: with another id the place stays where it was."""
_ENDS = re.compile(r"the stream ends: (?P<code>[A-Z_]+)(?:: (?P<detail>.*))?")


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """What a stream said at once: an event, a comment (`comment`, and no `data`), or how long to wait (`retry`,
    seconds).
    """

    event: str = ""
    data: str = ""
    id: str | None = None
    comment: str | None = None
    retry: float | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """A live update of a vehicle. `type` is DOOR_STATUS_UPDATE, COMMAND_STATUS_UPDATE, SYSTEM_ALERT, or a word of later
    versions; `data` as in the API's page; `id` where it can be resumed after it.
    """

    id: str
    type: str
    vin: str
    timestamp: str
    data: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the event as it came, with its id."""
        return {
            "id": self.id,
            "type": self.type,
            "vin": self.vin,
            "timestamp": self.timestamp,
            "data": dict(self.data),
        }


@dataclass(frozen=True, slots=True)
class StreamEnd:
    """Why nothing more comes: `code` is the API's word (ACTION_NOT_GRANTED, ACCOUNT_LOCKED, TOKEN_EXPIRED ...)."""

    code: str
    detail: str


class EventParser:
    """Bytes in, events out, however they are cut into pieces. An event past LONGEST_EVENT raises InvalidAnswerError."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._rest: list[str] = []
        """The pieces of the line that is not whole yet: joined once, and not searched again with each that comes."""
        self._size = 0
        """Characters that are kept: of `_rest`, and of the event's lines so far with their ends."""
        self._is_begun = False
        self._is_after_cr = False
        self._event = ""
        self._id: str | None = None
        self._data: list[str] = []

    def feed(self, piece: bytes) -> Iterator[ServerSentEvent]:
        """Yield what is whole now."""
        text = self._decoder.decode(piece)
        if not text:
            return
        if not self._is_begun:
            text = text.removeprefix("\ufeff")
            self._is_begun = True
        if self._is_after_cr:
            text = text.removeprefix("\n")  # the second half of a CRLF
        self._is_after_cr = text.endswith("\r")
        first, *more = _LINE_END.split(text)
        self._keep(first)
        if more:
            *lines, rest = more
            whole, self._rest = "".join(self._rest), []
            self._size -= len(whole)
            for line in (whole, *lines):
                yield from self._line(line)
            self._keep(rest)
        if self._size > LONGEST_EVENT:
            raise InvalidAnswerError(f"an event of more than {LONGEST_EVENT} characters")

    def _keep(self, text: str) -> None:
        if text:
            self._rest.append(text)
            self._size += len(text)

    def _line(self, line: str) -> Iterator[ServerSentEvent]:
        self._size += len(line) + 1
        if not line:
            yield from self._dispatch()
            return
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not name:
            self._size -= len(line) + 1
            yield ServerSentEvent(comment=value)
        elif name == "event":
            self._event = value
        elif name == "data":
            self._data.append(value)
        elif name == "id" and _SENDABLE_ID.fullmatch(value):
            self._id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            yield ServerSentEvent(retry=int(value[:9]) / 1000)

    def _dispatch(self) -> Iterator[ServerSentEvent]:
        event, data = self._event, self._data
        self._event, self._data, self._size = "", [], 0
        if data or event:
            yield ServerSentEvent(event=event or "message", data="\n".join(data), id=self._id)


def end_of(comment: str) -> StreamEnd | None:
    """Return why the stream ends, where a comment says so."""
    found = _ENDS.fullmatch(comment.strip())
    return StreamEnd(found["code"], (found["detail"] or "").strip()) if found else None


def update_of(sent: ServerSentEvent) -> Event:
    """Return a sent event as an update. Raise InvalidAnswerError where it is none."""
    try:
        told = json.loads(sent.data)
    except (ValueError, RecursionError) as error:
        raise InvalidAnswerError("an event whose data is no JSON") from error
    if not isinstance(told, dict):
        raise InvalidAnswerError("an event whose data is no object")
    data = told.get("data")
    return Event(
        id=sent.id or "",
        type=str(told.get("type") or sent.event),
        vin=str(told.get("vin", "")),
        timestamp=str(told.get("timestamp", "")),
        data=data if isinstance(data, dict) else {},
    )

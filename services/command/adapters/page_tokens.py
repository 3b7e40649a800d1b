"""Page tokens of the history: where the next page begins, and of which list.

A token gives no right and holds no secret: it only says what the page before showed. So it is not signed; one that
was made up shows its maker entries that are theirs to see anyway.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from services.command.domain.history import HistoryPosition
from services.platform import errors
from services.platform.errors import Refusal, Violation
from services.platform.times import microseconds, moment

if TYPE_CHECKING:
    from datetime import datetime

    from ecarus.remotecontrol.door.v1 import door_command_service_pb2 as service_pb2

    from services.command.domain.history import HistoryPage

_VERSION = "1"
_DIGITS = re.compile("[0-9]{1,18}")
_FIELDS = 5
_FILTERS: tuple[Literal["period", "action", "exclude_action", "status", "source"], ...] = (
    "period",
    "action",
    "exclude_action",
    "status",
    "source",
)
_LATEST_US = 253_402_300_799_999_999
"""The last microsecond of the year 9999."""


@dataclass(frozen=True, slots=True)
class PagePosition:
    """The list's moment, and the last entry that was shown of it."""

    as_of: datetime
    after: HistoryPosition


def token_for(page: HistoryPage, request: service_pb2.ListCommandHistoryRequest) -> str | None:
    """Return the token of the page after this one; None where nothing comes after it."""
    if page.last is None or not page.has_more:
        return None
    words = (
        _VERSION,
        _list_of(request),
        str(microseconds(page.as_of)),
        str(microseconds(page.last.requested_at)),
        page.last.entry_id,
    )
    return base64.urlsafe_b64encode(" ".join(words).encode()).rstrip(b"=").decode()


def place_of(request: service_pb2.ListCommandHistoryRequest) -> PagePosition | None:
    """Return where the token of a request points to; None without one. Raises Refusal."""
    if not request.HasField("page_token"):
        return None
    if request.HasField("offset") or request.HasField("as_of"):
        raise _refused("says where to go on by itself; leave out offset and asOf")
    try:
        text = base64.b64decode(_padded(request.page_token), altchars=b"-_", validate=True).decode("ascii")
        version, of_list, as_of, requested_at, entry_id = text.split(" ", _FIELDS - 1)
        place = PagePosition(_moment(as_of), HistoryPosition(_moment(requested_at), entry_id))
    except (binascii.Error, ValueError):
        raise _refused("is not a token of this list; begin with the first page") from None
    if version != _VERSION or not entry_id.isprintable():
        raise _refused("is not a token of this list; begin with the first page")
    if of_list != _list_of(request):
        raise _refused("is of a list with other filters; send it with the ones of the page that it came with")
    return place


def _list_of(request: service_pb2.ListCommandHistoryRequest) -> str:
    """Return the same for all pages of one list."""
    words = (str(getattr(request, name)) if request.HasField(name) else "" for name in _FILTERS)
    return hashlib.sha256("\0".join((request.vin, *words)).encode()).hexdigest()[:16]


def _padded(token: str) -> bytes:
    return token.encode() + b"=" * (-len(token) % 4)


def _moment(digits: str) -> datetime:
    if not _DIGITS.fullmatch(digits) or int(digits) > _LATEST_US:
        raise ValueError("a time that is none")
    return moment(int(digits))


def _refused(reason: str) -> Refusal:
    return Refusal(
        errors.INVALID_REQUEST,
        "The page token cannot be used; see errors.",
        violations=[Violation("pageToken", reason)],
    )

"""Something that happened and that people are told of: a notice. Which there are, for whom, and how long it is news."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

LATE = timedelta(seconds=30)
"""The window of a command: what is told after it says from when it is."""


class NoticeKind(StrEnum):
    """What a person may turn off, all but SECURITY."""

    DOOR_RESULT = "DOOR_RESULT"
    SECURITY = "SECURITY"
    LEFT_OPEN = "LEFT_OPEN"
    LEFT_UNLOCKED = "LEFT_UNLOCKED"
    DIAGNOSTICS = "DIAGNOSTICS"


class Audience(StrEnum):
    """Who is told, of those who have a right on the vehicle when it is told."""

    REQUESTER = "REQUESTER"
    """Whoever the command was given for."""
    OWNERS = "OWNERS"
    READERS = "READERS"
    """Who may read the doors' status."""
    DIAGNOSTICS_READERS = "DIAGNOSTICS_READERS"
    PERSON = "PERSON"
    """The one that it names."""


CAN_WAIT = frozenset({NoticeKind.LEFT_OPEN, NoticeKind.LEFT_UNLOCKED, NoticeKind.DIAGNOSTICS})
"""What quiet hours hold back."""
NEWS_FOR: Mapping[NoticeKind, timedelta] = {
    NoticeKind.DOOR_RESULT: timedelta(minutes=10),
    NoticeKind.SECURITY: timedelta(days=3),
    NoticeKind.LEFT_OPEN: timedelta(hours=12),
    NoticeKind.LEFT_UNLOCKED: timedelta(hours=12),
    NoticeKind.DIAGNOSTICS: timedelta(days=1),
}
"""How long each is worth telling. All are shorter than what is known of them is kept (KEEP_NOTICES)."""
KEEP_FORMER_DEVICES = timedelta(days=1)
"""So long a device that was removed is tried to be told of it."""
KEEP_SHOWN = timedelta(days=90)
"""So long it is known that a device shows a condition that lasts."""
KEEP_NOTICES = timedelta(days=7)
"""So long an event is recognised when it comes again; the broker keeps live updates for a day."""


@dataclass(frozen=True, slots=True)
class Notice:
    """One notice. `event_id` is the event's own, the same however often it comes. `text` names what is said in the
    catalogue, `facts` what it is filled with. `about` tells conditions of a vehicle apart: what has the same takes the
    place of what was shown. With `is_resolved` the condition has ended.
    """

    event_id: str
    vin: str
    kind: NoticeKind
    text: str
    audience: Audience
    occurred_at: datetime
    about: str
    facts: Mapping[str, str] = field(default_factory=dict)
    command_id: str = ""
    person: str = ""
    is_resolved: bool = False
    is_urgent: bool = False

    @property
    def expires_at(self) -> datetime:
        """From when on it is no news."""
        return self.occurred_at + NEWS_FOR[self.kind]


def event_id_of(*parts: str) -> str:
    """Return a name of 40 characters for what these parts name together."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:40]


def push_id_of(event_id: str, device: str) -> str:
    """Return the id under which a device is sent this: the same each time."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{event_id}/{device}"))


def collapse_of(device: str, vin: str, about: str) -> str:
    """Return by what a device recognises what takes the place of what. `device` is our own random id of it, which
    nobody else knows: a VIN could be guessed from a plain hash of it.
    """
    return hashlib.sha256("\0".join((device, vin, about)).encode()).hexdigest()[:32]

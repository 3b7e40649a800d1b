"""The layout of the message broker: which subjects there are, and which stream keeps what.

Vehicles publish below `vehicle.<VIN>.evt` and are commanded below `vehicle.<VIN>.cmd`. Status
reports are many, so the broker maps them to eight partitions by VIN (see STATUS_MAPPING): one
stream syncs every message to disk and carries about 5,000 a second, eight carry about 14,000.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

VEHICLE_COMMANDS = "VEHICLE_COMMANDS"
VEHICLE_EVENTS = "VEHICLE_EVENTS"
DOOR_UPDATES = "DOOR_UPDATES"
ROOM_EVENTS = "ROOM_EVENTS"

STATUS_PARTITIONS = 8
STATUS_MAPPING = (
    "vehicle.*.evt.status",
    f"vehicle_status.{{{{partition({STATUS_PARTITIONS},1)}}}}.{{{{wildcard(1)}}}}",
)
"""Source and destination of the broker's subject mapping, as its configuration spells them."""

STATUS_CHECKS_SUBJECT = "room.status.checked"
GRANT_REVOKED_SUBJECT = "room.access.revoked"

_VIN = re.compile(r"[A-HJ-NPR-Z0-9]{17}")


class Event(StrEnum):
    """The last word of a vehicle's event subject."""

    HELLO = "hello"
    RECEIVED = "received"
    RESULT = "result"
    CANCEL = "cancel"
    STATUS = "status"
    CONFIG = "config"
    DIAGNOSTICS = "diagnostics"


class Command(StrEnum):
    """The last word of a vehicle's command subject."""

    DOOR = "door"
    CANCEL = "cancel"
    CONFIG = "config"


@dataclass(frozen=True, slots=True)
class Stream:
    """A JetStream stream. `max_age_seconds` 0 keeps until acknowledged or expired by its own TTL."""

    name: str
    subjects: tuple[str, ...]
    work_queue: bool = False
    max_age_seconds: int = 0
    duplicate_window_seconds: int = 120
    message_ttl: bool = False


STREAMS = {
    stream.name: stream
    for stream in (
        Stream(VEHICLE_COMMANDS, ("vehicle.*.cmd.*",), work_queue=True, message_ttl=True),
        Stream(
            VEHICLE_EVENTS,
            tuple(f"vehicle.*.evt.{event.value}" for event in Event if event is not Event.STATUS),
            max_age_seconds=7 * 86_400,
        ),
        Stream(DOOR_UPDATES, ("door.update.*",), max_age_seconds=86_400, duplicate_window_seconds=600),
        Stream(ROOM_EVENTS, ("room.>",), max_age_seconds=86_400, duplicate_window_seconds=600),
        *(
            Stream(f"VEHICLE_STATUS_{n}", (f"vehicle_status.{n}.*",), max_age_seconds=86_400)
            for n in range(STATUS_PARTITIONS)
        ),
    )
}


def status_stream(partition: int) -> Stream:
    """The stream of one status partition, 0 to STATUS_PARTITIONS - 1."""
    return STREAMS[f"VEHICLE_STATUS_{partition}"]


def event_subject(vin: str, event: Event) -> str:
    """Where the vehicle publishes this event."""
    return f"vehicle.{vin}.evt.{event.value}"


def command_subject(vin: str, command: Command) -> str:
    """Where the vehicle is told this."""
    return f"vehicle.{vin}.cmd.{command.value}"


def update_subject(vin: str) -> str:
    """Where live updates of a vehicle are published between services."""
    return f"door.update.{vin}"


def condition_subject(vin: str) -> str:
    """Where the status service hints at what stands in a command's way. Core NATS, never stored."""
    return f"hint.condition.{vin}"


def vin_of(subject: str) -> str:
    """The VIN in a `vehicle.<VIN>...`, `vehicle_status.<n>.<VIN>` or `door.update.<VIN>` subject.

    Raises ValueError when there is none.
    """
    words = subject.split(".")
    index = 1 if words[0] == "vehicle" else 2
    if len(words) > index and _VIN.fullmatch(words[index]):
        return words[index]
    raise ValueError(f"no VIN in subject {subject!r}")

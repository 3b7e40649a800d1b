"""The subjects of the message broker: who publishes what where.

Vehicles publish below `vehicle.<VIN>.evt` and are commanded below `vehicle.<VIN>.cmd`. Status
reports are many, so the broker maps them to eight partitions by VIN (see STATUS_MAPPING): one
stream syncs every message to disk and carries about 5,000 a second, eight carry about 14,000.

A vehicle on MQTT uses the same words as topics (`vehicle/<VIN>/evt/hello`). The broker files what is
published there with QoS 1 below `$MQTT.msgs`, confirms it once it is stored, and serves MQTT sessions from
the stream MQTT_MESSAGES. So VEHICLE_MQTT_EVENTS takes events from there, and VEHICLE_COMMANDS passes a copy of
every command on to there (docs/decisions/0012-mqtt-vehicles.md).
"""

from __future__ import annotations

import re
from enum import StrEnum

STATUS_PARTITIONS = 8
STATUS_MAPPING = (
    "vehicle.*.evt.status",
    f"vehicle_status.{{{{partition({STATUS_PARTITIONS},1)}}}}.{{{{wildcard(1)}}}}",
)
"""Source and destination of the broker's subject mapping, as its configuration spells them."""

STATUS_CHECKS_SUBJECT = "room.status.checked"
GRANT_REVOKED_SUBJECT = "room.access.revoked"
ACCESS_CHANGED_SUBJECT = "room.access.changed"
"""Whose access to a vehicle has changed, and how."""
SETTINGS_WITHDRAWN_SUBJECT = "room.config.withdrawn"
VEHICLE_KEYS_CHANGED_SUBJECT = "room.enrolment.changed"
VERDICTS_SUBJECT = "room.status.verdicts"
VEHICLE_ADMITTED_SUBJECT = "admitted.vehicle"
"""Between replicas of the enrolment service, never stored."""
PROOFS_SEEN_SUBJECT = "seen.proofs"
"""Between replicas of the access service, never stored: the proofs of possession that one of them has seen."""
COMMAND_AWAITED_SUBJECT = "awaited.command"
COMMAND_ENDED_SUBJECT = "ended.command"
"""Between replicas of the command service, never stored: somebody waits for a command's end, and it has ended."""
UNSTAMPED_ORIGIN = "update"
"""What stands for the service in the subject of a live update before the broker has put its name there."""
KEPT_UPDATES = "door.*.*"
"""Where all live updates are kept, whoever published them."""
SHOWN_RESULTS_SUBJECT = "hint.shown"
"""Where the status service says which results' doors are shown by now. Core NATS, never stored."""

_FNV_BASIS = 2_166_136_261
_FNV_PRIME = 16_777_619
_KEPT_UPDATE = re.compile(r"door\.([^.]+)\.[^.]+")
VIN_PATTERN = "[A-HJ-NPR-Z0-9]{17}"
"""The one form of a VIN outside of the contract: 17 digits and capital letters without I, O and Q (ISO 3779)."""
_VIN = re.compile(VIN_PATTERN)


class EventKind(StrEnum):
    """The last word of a vehicle's event subject."""

    HELLO = "hello"
    RECEIVED = "received"
    RESULT = "result"
    CANCEL = "cancel"
    STATUS = "status"
    CONFIG = "config"
    DIAGNOSTICS = "diagnostics"


class CommandKind(StrEnum):
    """The last word of a vehicle's command subject."""

    DOOR = "door"
    CANCEL = "cancel"
    CONFIG = "config"
    SESSION = "session"
    KEYS = "keys"


def event_subject(vin: str, event: EventKind) -> str:
    """Return where the vehicle publishes this event."""
    return f"vehicle.{vin}.evt.{event.value}"


def status_subject(vin: str) -> str:
    """Return where the broker puts the vehicle's status reports: `STATUS_MAPPING`, as nats-server computes it
    (FNV-1a).
    """
    digest = _FNV_BASIS
    for byte in vin.encode():
        digest = ((digest ^ byte) * _FNV_PRIME) & 0xFFFFFFFF
    return f"vehicle_status.{digest % STATUS_PARTITIONS}.{vin}"


def command_subject(vin: str, command: CommandKind) -> str:
    """Return where the vehicle is told this."""
    return f"vehicle.{vin}.cmd.{command.value}"


def mqtt_queue_subject(subject: str) -> str:
    """Return where a message for `subject` is put to wait for MQTT sessions that subscribed to it with QoS 1."""
    return f"$MQTT.msgs.{subject}"


def mqtt_topic(subject: str) -> str:
    """Return the subject as MQTT spells it."""
    return subject.replace(".", "/")


def presence_subject(vin: str) -> str:
    """Return where a vehicle on MQTT says that it is there, and the broker that it is lost. Never stored."""
    return f"vehicle.{vin}.presence"


def update_subject(vin: str) -> str:
    """Return where a service publishes live updates of a vehicle. The broker keeps them at `kept_update_subject`."""
    return f"door.{UNSTAMPED_ORIGIN}.{vin}"


def kept_update_subject(service: str, vin: str) -> str:
    """Return where the broker keeps the live updates of a vehicle that this service has published.

    The broker puts the name in by the account that the message comes from: no service can name another.
    """
    return f"door.{service}.{vin}"


def origin_of_update(subject: str) -> str:
    """Return which service published what is kept at this subject, UNSTAMPED_ORIGIN where the broker did not say so,
    and nothing where the subject is no live update's.
    """
    found = _KEPT_UPDATE.fullmatch(subject)
    return found[1] if found else ""


def advisory_subject(vin: str) -> str:
    """Return where the status service advisory states at what stands in a command's way. Core NATS, never stored."""
    return f"hint.condition.{vin}"


def refused_subject(vin: str) -> str:
    """Return where services advisory state at what they did not take of a vehicle's messages. Core NATS, never
    stored.
    """
    return f"hint.refused.{vin}"


def is_vin(text: str) -> bool:
    """Return whether it has the form of a VIN: 17 characters, digits and capital letters without I, O and Q."""
    return _VIN.fullmatch(text) is not None


def vin_of(subject: str) -> str:
    """Return the VIN in a `vehicle.<VIN>...`, `vehicle_status.<n>.<VIN>` or `door.<service>.<VIN>` subject.

    Raises ValueError when there is none.
    """
    words = subject.split(".")
    index = 1 if words[0] == "vehicle" else 2
    if len(words) > index and is_vin(words[index]):
        return words[index]
    raise ValueError(f"no VIN in subject {subject!r}")

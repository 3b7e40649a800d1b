"""The layout of the message broker: which subjects there are, and which stream keeps what.

Vehicles publish below `vehicle.<VIN>.evt` and are commanded below `vehicle.<VIN>.cmd`. Status
reports are many, so the broker maps them to eight partitions by VIN (see STATUS_MAPPING): one
stream syncs every message to disk and carries about 5,000 a second, eight carry about 14,000.

A vehicle on MQTT uses the same words as topics (`vehicle/<VIN>/evt/hello`). The broker files what is
published there with QoS 1 below `$MQTT.msgs`, confirms it once it is stored, and serves MQTT sessions from
the stream MQTT_MESSAGES. So VEHICLE_EVENTS takes events from there, and VEHICLE_COMMANDS passes a copy of
every command on to there (docs/decisions/0012-mqtt-vehicles.md).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

VEHICLE_COMMANDS = "VEHICLE_COMMANDS"
VEHICLE_EVENTS = "VEHICLE_EVENTS"
DOOR_UPDATES = "DOOR_UPDATES"
ROOM_EVENTS = "ROOM_EVENTS"
MQTT_RETAINED = "$MQTT_rmsgs"
MQTT_MESSAGES = "$MQTT_msgs"
"""The broker's own streams behind retained messages and MQTT sessions; it makes them for everything where they are not
there."""

CARS_ACCOUNT = "CARS"
"""The broker's account of vehicles on NATS. Streams and services are in others."""
MQTT_CARS_ACCOUNT = "CARS_MQTT"
"""Of vehicles on MQTT, and of the broker's streams behind their sessions."""

MQTT_OWN_STREAMS = ("$MQTT_sess", "$MQTT_out", "$MQTT_qos2in")
"""What else the broker keeps for MQTT. It makes these at the first MQTT connection, and nobody else does."""

STATUS_PARTITIONS = 8
STATUS_MAPPING = (
    "vehicle.*.evt.status",
    f"vehicle_status.{{{{partition({STATUS_PARTITIONS},1)}}}}.{{{{wildcard(1)}}}}",
)
"""Source and destination of the broker's subject mapping, as its configuration spells them."""

MQTT_QOS_HEADER = "Nmqtt-Pub"
"""With the value 1: published with QoS 1. The broker sets it on what comes over MQTT and heeds it on the way there."""

STATUS_CHECKS_SUBJECT = "room.status.checked"
GRANT_REVOKED_SUBJECT = "room.access.revoked"
SETTINGS_WITHDRAWN_SUBJECT = "room.config.withdrawn"
VEHICLE_KEYS_CHANGED_SUBJECT = "room.enrolment.changed"
VERDICTS_SUBJECT = "room.status.verdicts"
VEHICLE_ADMITTED_SUBJECT = "admitted.vehicle"
"""Between replicas of the enrolment service, never stored."""
SHOWN_RESULTS_SUBJECT = "hint.shown"
"""Where the status service says which results' doors are shown by now. Core NATS, never stored."""

_FNV_BASIS = 2_166_136_261
_FNV_PRIME = 16_777_619
_VIN = re.compile(r"[A-HJ-NPR-Z0-9]{17}")


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


@dataclass(frozen=True, slots=True)
class Stream:
    """A JetStream stream. `max_age_seconds` 0 keeps until acknowledged or expired by its own TTL.

    `stored_as` renames on arrival and `passed_on` sends a copy: both (subject, new subject). `needs` are the
    streams that must be made before it. `vehicles_consume`: each vehicle has a consumer of its own here.
    `vehicles_write` is the subject under which it stores what vehicles say.

    Of each subject at most `most_per_subject` messages are kept, the newest (0: all), of at most `most_bytes` each
    with their headers (0: the broker's own limit). There is no limit for the stream: what one vehicle says too much
    of would push out, or keep out, what others say.
    """

    name: str
    subjects: tuple[str, ...]
    work_queue: bool = False
    while_wanted: bool = False
    stored_as: tuple[str, str] | None = None
    passed_on: tuple[str, str] | None = None
    needs: tuple[Stream, ...] = ()
    vehicles_consume: bool = False
    vehicles_write: str = ""
    max_age_seconds: int = 0
    duplicate_window_seconds: float = 120
    message_ttl: bool = False
    most_per_subject: int = 0
    most_bytes: int = 0


VEHICLE_MESSAGE_BYTES = 68 * 1024
"""The longest message of a vehicle, with its headers: the longest report has 64 KiB."""
_MOST_EVENTS = 256
_MOST_REPORTS = 128
_MOST_UPDATES = 4_096
_NO_REPETITIONS_SECONDS = 0.1
"""The shortest that the broker takes. It knows a repetition by its id alone, whoever sent it: in a stream of what many
vehicles say one of them could name another's. Services recognise repetitions themselves."""

_FOR_MQTT = Stream(
    MQTT_MESSAGES,
    # Not everything below $MQTT.msgs, as the broker would make it: events belong to VEHICLE_EVENTS.
    ("$MQTT.msgs.vehicle.*.cmd.*", "$MQTT.msgs.vehicle.*.presence", "$MQTT.msgs.vehicle_status.*.*"),
    while_wanted=True,
    vehicles_consume=True,
    message_ttl=True,
)

_RETAINED = Stream(
    MQTT_RETAINED,
    ("$MQTT.rmsgs.>",),
    most_per_subject=1,
    # Nothing is that short, so nothing is kept: no topic has a message that waits for whoever subscribes.
    most_bytes=1,
)

STREAMS = {
    stream.name: stream
    for stream in (
        _FOR_MQTT,
        _RETAINED,
        Stream(
            VEHICLE_COMMANDS,
            ("vehicle.*.cmd.*",),
            work_queue=True,
            vehicles_consume=True,
            message_ttl=True,
            passed_on=("vehicle.*.cmd.*", "$MQTT.msgs.vehicle.{{wildcard(1)}}.cmd.{{wildcard(2)}}"),
            needs=(_FOR_MQTT,),
        ),
        Stream(
            VEHICLE_EVENTS,
            (
                *(f"vehicle.*.evt.{event.value}" for event in EventKind if event is not EventKind.STATUS),
                "$MQTT.msgs.vehicle.*.evt.*",
            ),
            vehicles_write="vehicle.*.evt.*",
            max_age_seconds=7 * 86_400,
            duplicate_window_seconds=_NO_REPETITIONS_SECONDS,
            most_per_subject=_MOST_EVENTS,
            most_bytes=VEHICLE_MESSAGE_BYTES,
            stored_as=("$MQTT.msgs.vehicle.*.evt.*", "vehicle.{{wildcard(1)}}.evt.{{wildcard(2)}}"),
            needs=(_FOR_MQTT,),
        ),
        Stream(
            DOOR_UPDATES,
            ("door.update.*",),
            max_age_seconds=86_400,
            duplicate_window_seconds=600,
            most_per_subject=_MOST_UPDATES,
        ),
        Stream(ROOM_EVENTS, ("room.>",), max_age_seconds=86_400, duplicate_window_seconds=600),
        *(
            Stream(
                f"VEHICLE_STATUS_{n}",
                (f"vehicle_status.{n}.*",),
                vehicles_write=f"vehicle_status.{n}.*",
                max_age_seconds=86_400,
                duplicate_window_seconds=_NO_REPETITIONS_SECONDS,
                most_per_subject=_MOST_REPORTS,
                most_bytes=VEHICLE_MESSAGE_BYTES,
            )
            for n in range(STATUS_PARTITIONS)
        ),
    )
}


def status_stream(partition: int) -> Stream:
    """The stream of one status partition, 0 to STATUS_PARTITIONS - 1."""
    return STREAMS[f"VEHICLE_STATUS_{partition}"]


def event_subject(vin: str, event: EventKind) -> str:
    """Where the vehicle publishes this event."""
    return f"vehicle.{vin}.evt.{event.value}"


def status_subject(vin: str) -> str:
    """Where the broker puts the vehicle's status reports: `STATUS_MAPPING`, as nats-server computes it (FNV-1a)."""
    digest = _FNV_BASIS
    for byte in vin.encode():
        digest = ((digest ^ byte) * _FNV_PRIME) & 0xFFFFFFFF
    return f"vehicle_status.{digest % STATUS_PARTITIONS}.{vin}"


def command_subject(vin: str, command: CommandKind) -> str:
    """Where the vehicle is told this."""
    return f"vehicle.{vin}.cmd.{command.value}"


def mqtt_queue_subject(subject: str) -> str:
    """Where a message for `subject` is put to wait for MQTT sessions that subscribed to it with QoS 1."""
    return f"$MQTT.msgs.{subject}"


def mqtt_topic(subject: str) -> str:
    """The subject as MQTT spells it."""
    return subject.replace(".", "/")


def presence_subject(vin: str) -> str:
    """Where a vehicle on MQTT says that it is there, and the broker that it is lost. Never stored."""
    return f"vehicle.{vin}.presence"


def update_subject(vin: str) -> str:
    """Where live updates of a vehicle are published between services."""
    return f"door.update.{vin}"


def advisory_subject(vin: str) -> str:
    """Where the status service advisory states at what stands in a command's way. Core NATS, never stored."""
    return f"hint.condition.{vin}"


def refused_subject(vin: str) -> str:
    """Where services advisory state at what they did not take of a vehicle's messages. Core NATS, never stored."""
    return f"hint.refused.{vin}"


def is_vin(text: str) -> bool:
    """Whether it has the form of a VIN: 17 characters, digits and capital letters without I, O and Q."""
    return _VIN.fullmatch(text) is not None


def vin_of(subject: str) -> str:
    """The VIN in a `vehicle.<VIN>...`, `vehicle_status.<n>.<VIN>` or `door.update.<VIN>` subject.

    Raises ValueError when there is none.
    """
    words = subject.split(".")
    index = 1 if words[0] == "vehicle" else 2
    if len(words) > index and is_vin(words[index]):
        return words[index]
    raise ValueError(f"no VIN in subject {subject!r}")

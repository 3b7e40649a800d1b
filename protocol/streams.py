"""The streams of the message broker: which of them keeps what, how much of it and for how long."""

from __future__ import annotations

from dataclasses import dataclass

from protocol.subjects import KEPT_UPDATES, STATUS_PARTITIONS, EventKind

VEHICLE_COMMANDS = "VEHICLE_COMMANDS"
VEHICLE_EVENTS = "VEHICLE_EVENTS"
VEHICLE_MQTT_EVENTS = "VEHICLE_MQTT_EVENTS"
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

MQTT_SESSION_CHANGES = f"$JS.EVENT.ADVISORY.CONSUMER.CREATED.{MQTT_MESSAGES}.*"
"""Where the broker says that a session over MQTT has subscribed: the last word begins with the session's name."""

MQTT_QOS_HEADER = "Nmqtt-Pub"
"""With the value 1: published with QoS 1. The broker sets it on what comes over MQTT and heeds it on the way there."""


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
_MOST_UPDATES = 3_072
"""Of one vehicle from each of the three services that tell of it: more than the burst that a vehicle's doors may cause.
What one service tells too much of pushes out nothing that another told."""
_NO_REPETITIONS_SECONDS = 0.1
"""The shortest that the broker takes. It knows a repetition by its id alone, whoever sent it: in a stream of what many
vehicles say one of them could name another's. Services recognise repetitions themselves."""

_FOR_MQTT = Stream(
    MQTT_MESSAGES,
    # Not everything below $MQTT.msgs, as the broker would make it: events belong to VEHICLE_MQTT_EVENTS.
    ("$MQTT.msgs.vehicle.*.cmd.*", "$MQTT.msgs.vehicle.*.presence", "$MQTT.msgs.vehicle_status.*.*"),
    while_wanted=True,
    vehicles_consume=True,
    message_ttl=True,
)

_EVENTS = Stream(
    VEHICLE_EVENTS,
    tuple(f"vehicle.*.evt.{event.value}" for event in EventKind if event is not EventKind.STATUS),
    vehicles_write="vehicle.*.evt.*",
    max_age_seconds=7 * 86_400,
    duplicate_window_seconds=_NO_REPETITIONS_SECONDS,
    most_per_subject=_MOST_EVENTS,
    most_bytes=VEHICLE_MESSAGE_BYTES,
)
"""Of vehicles on NATS. Those on MQTT have a stream of their own: where more waits to be written than a stream takes in,
the broker refuses what comes, and a connection over MQTT of which it refuses something it ends."""

_RETAINED = Stream(
    MQTT_RETAINED,
    ("$MQTT.rmsgs.>",),
    most_per_subject=1,
    # Nothing is that short, so nothing is kept: no topic has a message that waits for whoever subscribes.
    most_bytes=1,
)

OVER_MQTT = "mqtt"
"""What stands before the subject of an event that came over MQTT, where the broker keeps links apart."""

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
        _EVENTS,
        Stream(
            VEHICLE_MQTT_EVENTS,
            ("$MQTT.msgs.vehicle.*.evt.*",),
            vehicles_write=f"{OVER_MQTT}.vehicle.*.evt.*",
            max_age_seconds=_EVENTS.max_age_seconds,
            duplicate_window_seconds=_NO_REPETITIONS_SECONDS,
            most_per_subject=_MOST_EVENTS,
            most_bytes=VEHICLE_MESSAGE_BYTES,
            stored_as=("$MQTT.msgs.vehicle.*.evt.*", "vehicle.{{wildcard(1)}}.evt.{{wildcard(2)}}"),
            # In an older layout that one took these in, too.
            needs=(_FOR_MQTT, _EVENTS),
        ),
        Stream(
            DOOR_UPDATES,
            (KEPT_UPDATES,),
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
    """Return the stream of one status partition, 0 to STATUS_PARTITIONS - 1."""
    return STREAMS[f"VEHICLE_STATUS_{partition}"]

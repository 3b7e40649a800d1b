"""The durable consumers of the services: which service reads what, and under which name.

They are made by the enrolment service, which alone may make any at the broker: a consumer says itself where its
messages go, and the broker checks no right for that. Services look whether theirs is there.
"""

from __future__ import annotations

from dataclasses import dataclass

from protocol.streams import DOOR_UPDATES, ROOM_EVENTS, VEHICLE_EVENTS, VEHICLE_MQTT_EVENTS, status_stream
from protocol.subjects import (
    ACCESS_CHANGED_SUBJECT,
    GRANT_REVOKED_SUBJECT,
    KEPT_UPDATES,
    SETTINGS_WITHDRAWN_SUBJECT,
    STATUS_CHECKS_SUBJECT,
    STATUS_PARTITIONS,
    VERDICTS_SUBJECT,
    EventKind,
    event_subject,
)


@dataclass(frozen=True, slots=True)
class DurableConsumer:
    """A push consumer of `stream` that `service` reads under `name`.

    With `shared`, replicas divide the messages among them; without, every replica that listens gets all.
    """

    name: str
    service: str
    stream: str
    subjects: tuple[str, ...]
    shared: bool = True
    max_pending: int = 2_000
    ack_wait_seconds: int = 10


def over_mqtt(name: str) -> str:
    """Return the name of the consumer that reads of vehicles on MQTT what this one reads of those on NATS."""
    return f"{name}-mqtt"


def _of_events(name: str, service: str, *events: EventKind) -> list[DurableConsumer]:
    subjects = tuple(event_subject("*", event) for event in events)
    return [
        DurableConsumer(name, service, VEHICLE_EVENTS, subjects),
        DurableConsumer(over_mqtt(name), service, VEHICLE_MQTT_EVENTS, subjects),
    ]


CONSUMERS = {
    consumer.name: consumer
    for consumer in (
        *_of_events(
            "command-events",
            "command",
            *(event for event in EventKind if event not in {EventKind.STATUS, EventKind.DIAGNOSTICS}),
        ),
        DurableConsumer("command-status-checks", "command", ROOM_EVENTS, (STATUS_CHECKS_SUBJECT,)),
        DurableConsumer("command-verdicts", "command", ROOM_EVENTS, (VERDICTS_SUBJECT,)),
        DurableConsumer(
            "command-rights",
            "command",
            ROOM_EVENTS,
            (GRANT_REVOKED_SUBJECT, SETTINGS_WITHDRAWN_SUBJECT),
            shared=False,
        ),
        DurableConsumer("config-rights", "config", ROOM_EVENTS, (GRANT_REVOKED_SUBJECT,)),
        *_of_events("config-vehicle-events", "config", EventKind.HELLO, EventKind.CONFIG),
        *_of_events("diagnostics-reports", "diagnostics", EventKind.DIAGNOSTICS),
        *_of_events("diagnostics-hellos", "diagnostics", EventKind.HELLO),
        DurableConsumer("notification-updates", "notification", DOOR_UPDATES, (KEPT_UPDATES,)),
        DurableConsumer("notification-access", "notification", ROOM_EVENTS, (ACCESS_CHANGED_SUBJECT,)),
        *_of_events("status-results", "status", EventKind.RESULT),
        *_of_events("status-hellos", "status", EventKind.HELLO),
        *(
            DurableConsumer(
                f"status-{n}",
                "status",
                status_stream(n).name,
                status_stream(n).subjects,
                shared=False,
                max_pending=4_000,
            )
            for n in range(STATUS_PARTITIONS)
        ),
    )
}
"""By name."""


def readers_of(stream: str) -> dict[str, list[str]]:
    """Return the names of the consumers of each subject of this stream that has any."""
    found: dict[str, list[str]] = {}
    for consumer in CONSUMERS.values():
        if consumer.stream == stream:
            for subject in consumer.subjects:
                found.setdefault(subject, []).append(consumer.name)
    return found


def consumers_of(service: str) -> list[DurableConsumer]:
    """Return those that this service reads."""
    return [consumer for consumer in CONSUMERS.values() if consumer.service == service]

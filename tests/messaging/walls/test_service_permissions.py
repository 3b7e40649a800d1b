"""Every service says and hears what is written here, and nothing else."""

from __future__ import annotations

import asyncio

import pytest

from mesh.broker_accounts import STORE_API
from protocol.consumers import consumers_of
from protocol.streams import (
    DOOR_UPDATES,
    MQTT_MESSAGES,
    MQTT_OWN_STREAMS,
    ROOM_EVENTS,
    STREAMS,
    VEHICLE_COMMANDS,
)
from services import registry
from tests.messaging.broker_harness import WAIT_SECONDS, BrokerHarness
from tests.messaging.walls.conftest import EARS, PROBES, SAYS, SUBSCRIBES, VERBS

EVERYBODY_ASKS = {f"{STORE_API}.STREAM.INFO.{name}" for name in STREAMS}


def may(rights: set[str], subject: str) -> bool:
    return any(matches(right, subject) for right in rights)


def matches(right: str, subject: str) -> bool:
    """Whether all that `subject` stands for is within `right`."""
    of_right, of_subject = right.split("."), subject.split(".")
    for index, word in enumerate(of_right):
        if word == ">":
            return len(of_subject) > index
        if index >= len(of_subject) or of_subject[index] == ">":
            return False
        if word not in ("*", of_subject[index]):
            return False
    return len(of_right) == len(of_subject)


def says(service: str) -> set[str]:
    own = consumers_of(service)
    reads = {f"$JS.ACK.{one.stream}.{one.name}.>" for one in own}
    reads |= {f"{STORE_API}.CONSUMER.INFO.{one.stream}.{one.name}" for one in own}
    return SAYS[service] | EVERYBODY_ASKS | reads


def subscribes(service: str) -> set[str]:
    return (
        SUBSCRIBES[service]
        | {f"_INBOX.{service}.>"}
        | {f"deliver.{one.name}" for one in consumers_of(service)}
    )


@pytest.mark.parametrize("service", registry.ON_THE_BROKER)
async def test_the_configuration_gives_what_is_written_here_and_no_more(
    harness: BrokerHarness, service: str
) -> None:
    rights = harness.rights_of(service)
    assert set(rights["publish"]["allow"]) == says(service)
    assert set(rights["subscribe"]["allow"]) == subscribes(service)


@pytest.mark.parametrize("service", registry.ON_THE_BROKER)
async def test_nothing_else_can_be_said_or_heard(harness: BrokerHarness, service: str) -> None:
    refused: set[str] = set()
    told_all = asyncio.Event()

    async def on_error(error: Exception) -> None:
        refused.add(str(error).lower())
        if "the.end" in str(error):
            told_all.set()

    client = await harness.client(service, service, error_cb=on_error)
    for subject in PROBES:
        if not may(says(service), subject):
            await client.publish(subject, b"{}")
    for subject in EARS:
        if not may(subscribes(service), subject):
            await client.subscribe(subject)
    await client.publish("the.end", b"")
    await asyncio.wait_for(told_all.wait(), WAIT_SECONDS)
    told = "\n".join(refused)
    for subject in PROBES:
        assert may(says(service), subject) or f'publish to "{subject.lower()}"' in told, subject
    for subject in EARS:
        assert may(subscribes(service), subject) or f'subscription to "{subject.lower()}"' in told, subject


def test_only_what_is_needed_is_allowed_on_any_stream() -> None:
    """Verbs that change or read a stream as a whole, over all services: the broker cannot tell what a purge is for."""
    strong = {
        (service, verb, stream)
        for service in SAYS
        for stream in (*STREAMS, *MQTT_OWN_STREAMS)
        for verb in (*(verb for verb in VERBS if verb.startswith("STREAM.")), "CONSUMER.CREATE", "DIRECT.GET")
        if may(says(service), f"{STORE_API}.{verb}.{stream}")
        or may(says(service), f"{STORE_API}.{verb}.{stream}.x.y")
        or may(says(service), f"$JS.API.{verb}.{stream}")
    }
    made = {("enrolment", verb, name) for verb in ("STREAM.CREATE", "STREAM.UPDATE") for name in STREAMS}
    spread = {("enrolment", "STREAM.UPDATE", name) for name in MQTT_OWN_STREAMS}
    assert strong - made - spread == {
        ("command", "STREAM.PURGE", VEHICLE_COMMANDS),
        ("command", "STREAM.PURGE", MQTT_MESSAGES),
        ("command", "CONSUMER.CREATE", VEHICLE_COMMANDS),
        ("status", "CONSUMER.CREATE", DOOR_UPDATES),
        ("status", "CONSUMER.CREATE", ROOM_EVENTS),
        ("status", "DIRECT.GET", DOOR_UPDATES),
        # To erase a person.
        ("command", "DIRECT.GET", DOOR_UPDATES),
        ("command", "STREAM.MSG.DELETE", DOOR_UPDATES),
        ("access", "DIRECT.GET", ROOM_EVENTS),
        ("access", "STREAM.MSG.DELETE", ROOM_EVENTS),
    }

"""A car with its own valid certificate attacks over NATS, with a raw client: nothing of anybody else is reached.

The broker publishes its answers to the reply subject that the client names, and checks no right for that. So each
thing that the broker answers is asked with reply subjects that would do harm.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import nats
import nats.errors
import pytest
import pytest_asyncio

from mesh.broker_accounts import STORE_API
from mesh.nats_config import MOST_SUBSCRIPTIONS
from mesh.sandbox import vehicle_identity
from protocol.stream_config import command_queue
from protocol.streams import (
    DOOR_UPDATES,
    MQTT_MESSAGES,
    STREAMS,
    VEHICLE_COMMANDS,
    VEHICLE_EVENTS,
    VEHICLE_MESSAGE_BYTES,
    VEHICLE_MQTT_EVENTS,
)
from protocol.subjects import CommandKind, EventKind, command_subject, event_subject, status_subject
from tests.messaging.broker_harness import OTHER, VIN, WAIT_SECONDS, BrokerHarness, free_base
from tests.messaging.witness import Witness

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from nats.aio.client import Client

PULL = f"$JS.API.CONSUMER.MSG.NEXT.{VEHICLE_COMMANDS}.{VIN}"
NOTHING_WAITS = b'{"batch": 1, "no_wait": true}'
HARMFUL = [
    *(f"$JS.API.STREAM.DELETE.{name}" for name in STREAMS),
    *(f"$JS.API.STREAM.PURGE.{name}" for name in STREAMS),
    f"$JS.API.CONSUMER.DELETE.{VEHICLE_EVENTS}.command-events",
    f"$JS.API.CONSUMER.DELETE.{VEHICLE_COMMANDS}.{OTHER}",
    f"$JS.API.CONSUMER.MSG.NEXT.{VEHICLE_COMMANDS}.{OTHER}",
    f"$JS.ACK.{VEHICLE_COMMANDS}.{OTHER}.1.1.1.1700000000000000000.0",
    f"{STORE_API}.STREAM.DELETE.{VEHICLE_EVENTS}",
    f"$MQTT.msgs.vehicle.{OTHER}.cmd.door",
    f"$MQTT.rmsgs.vehicle.{OTHER}.cmd.door",
    "$SYS.REQ.USER.AUTH",
    "$SYS.REQ.SERVER.PING",
    "_INBOX.command.x",
    "_R_.x",
    command_subject(OTHER, CommandKind.DOOR),
    command_subject(VIN, CommandKind.DOOR),
    "deliver.command-events",
    "deliver.status-0",
    f"door.update.{OTHER}",
    event_subject(OTHER, EventKind.HELLO),
    event_subject(VIN, EventKind.HELLO),
    f"hint.condition.{OTHER}",
    "hint.shown",
    "operator.vehicle.list",
    "room.access.revoked",
    "room.enrolment.changed",
    status_subject(OTHER),
    status_subject(VIN),
    f"vehicle.{OTHER}.presence",
    f"_INBOX.{OTHER}.pull.1",
    *(
        f"$JS.API.CONSUMER.{verb}.{VEHICLE_EVENTS}.command-events"
        for verb in ("PAUSE", "RESET", "UNPIN", "LEADER.STEPDOWN", "DURABLE.CREATE", "CREATE", "MSG.NEXT")
    ),
    *(
        f"$JS.API.STREAM.{verb}.{VEHICLE_EVENTS}"
        for verb in ("UPDATE", "CREATE", "MSG.DELETE", "MSG.GET", "SNAPSHOT", "RESTORE", "LEADER.STEPDOWN")
    ),
]
PATTERNS = [">", "*", "_INBOX.>", f"_INBOX.{OTHER}.*", f"_INBOX.{OTHER}.>", "_INBOX.*.*.*", "*.*.*.*"]


@pytest_asyncio.fixture
async def harness(tmp_path: Path) -> AsyncIterator[BrokerHarness]:
    one = BrokerHarness(tmp_path / "doors", free_base())
    try:
        await one.open(guarded=False)
        yield one
    finally:
        await one.close()


@pytest_asyncio.fixture
async def witness(harness: BrokerHarness) -> Witness:
    one = Witness(harness)
    await harness.jetstream.add_consumer(VEHICLE_COMMANDS, command_queue(VIN))
    await one.begin()
    return one


async def attacker(harness: BrokerHarness, **options: Any) -> Client:
    async def ignore(_error: Exception) -> None:
        return

    tls = harness.tls(vehicle_identity(VIN).name)
    how = {"inbox_prefix": f"_INBOX.{VIN}", "allow_reconnect": False, "error_cb": ignore, **options}
    return await nats.connect(harness.url, tls=tls, **how)


def _most(stored: str) -> int:
    status = f"VEHICLE_STATUS_{stored.split('.')[1]}"
    return STREAMS[status if stored.startswith("vehicle_status.") else VEHICLE_EVENTS].most_per_subject


LAST = {event_subject(VIN, EventKind.CANCEL): 1, status_subject(VIN): 1}
"""What `settled` stores."""


async def settled(car: Client) -> None:
    """Everything that the car said before has been dealt with: each stream confirms in order."""
    for event in (EventKind.CANCEL, EventKind.STATUS):
        await car.request(event_subject(VIN, event), b"last", timeout=WAIT_SECONDS)


def reached(witness: Witness) -> list[tuple[str, str]]:
    """What was heard under a harmful subject; the attacker's own words are stored under his own names."""
    own = {event_subject(VIN, event) for event in EventKind} | {status_subject(VIN)}
    return [(who, subject) for who, subject in witness.received if subject in HARMFUL and subject not in own]


@pytest.mark.parametrize(
    "request_body", [NOTHING_WAITS, b"", b"no JSON", b'{"batch": 0}', b'{"expires": 1000000}']
)
async def test_an_empty_pull_s_answer_reaches_nothing(
    harness: BrokerHarness, witness: Witness, request_body: bytes
) -> None:
    car = await attacker(harness)
    for subject in HARMFUL:
        await car.publish(PULL, request_body, reply=subject)
    await settled(car)
    await car.close()
    assert reached(witness) == []
    await witness.assert_nothing_came_of_it(allowed=LAST)


async def test_a_pulled_command_reaches_nothing(harness: BrokerHarness, witness: Witness) -> None:
    """The empty command is what JetStream takes for a request without a body: the deletion of a stream."""
    car = await attacker(harness)
    for subject in HARMFUL:
        await harness.jetstream.publish(command_subject(VIN, CommandKind.CANCEL), b"")
        await car.publish(PULL, NOTHING_WAITS, reply=subject)
    await settled(car)
    await car.close()
    assert reached(witness) == []
    # Taken and never acknowledged: they still wait.
    commands = await harness.observe(VEHICLE_COMMANDS)
    await commands.purge_stream(VEHICLE_COMMANDS, subject=command_subject(VIN, CommandKind.CANCEL))
    await witness.assert_nothing_came_of_it(allowed=LAST)


@pytest.mark.parametrize("event", list(EventKind))
async def test_the_confirmation_of_an_event_reaches_nothing(
    harness: BrokerHarness, witness: Witness, event: EventKind
) -> None:
    car = await attacker(harness)
    for subject in (*HARMFUL, *PATTERNS):
        await car.publish(event_subject(VIN, event), b"x", reply=subject)
    await settled(car)
    await car.close()
    assert reached(witness) == []
    stored = status_subject(VIN) if event is EventKind.STATUS else event_subject(VIN, event)
    allowed = dict(LAST)
    # Of reply subjects that are the broker's own it refuses the message.
    said = [one for one in (*HARMFUL, *PATTERNS) if not one.startswith(("$JS.ACK.", "_R_."))]
    allowed[stored] = min(allowed.get(stored, 0) + len(said), _most(stored))
    await witness.assert_nothing_came_of_it(allowed=allowed)


@pytest.mark.parametrize("word", [b"", b"+ACK", b"-NAK", b"+WPI", b"+TERM", b"+NXT", b'+NXT {"batch": 5}'])
async def test_the_answer_to_an_acknowledgement_reaches_nothing(
    harness: BrokerHarness, witness: Witness, word: bytes
) -> None:
    car = await attacker(harness)
    commands = await harness.observe(VEHICLE_COMMANDS)
    pulled = await car.subscribe(f"_INBOX.{VIN}.mine")
    for subject in HARMFUL:
        # So few may be unacknowledged that the next pull would get nothing.
        await commands.purge_stream(VEHICLE_COMMANDS, subject=command_subject(VIN, CommandKind.CANCEL))
        await harness.jetstream.publish(command_subject(VIN, CommandKind.CANCEL), b"")
        await car.publish(PULL, NOTHING_WAITS, reply=pulled.subject)
        message = await pulled.next_msg(WAIT_SECONDS)
        acknowledgement = message.reply or f"$JS.ACK.{VEHICLE_COMMANDS}.{VIN}.1.1.1.1.0"
        await car.publish(acknowledgement, word, reply=subject)
    await settled(car)
    await car.close()
    assert reached(witness) == []
    await commands.purge_stream(VEHICLE_COMMANDS, subject=command_subject(VIN, CommandKind.CANCEL))
    await witness.assert_nothing_came_of_it(allowed=LAST)


@pytest.mark.parametrize(
    "headers",
    [
        {"Nats-Rollup": "all"},
        {"Nats-Rollup": "sub"},
        {"Nats-Expected-Stream": DOOR_UPDATES},
        {"Nats-Expected-Last-Sequence": "0"},
        {"Nats-Expected-Last-Subject-Sequence": "0", "Nats-Expected-Last-Subject-Sequence-Subject": ">"},
        {"Nats-TTL": "1"},
        {"Nats-Schedule": "@every 1s", "Nats-Schedule-Target": event_subject(OTHER, EventKind.HELLO)},
        {"Nats-Batch-Id": "b", "Nats-Batch-Sequence": "1"},
        {"Nats-Incr": "+1"},
        {"Nats-Marker-Reason": "Purge"},
        {"Nats-Trace-Dest": f"door.update.{OTHER}"},
        {"Nats-Trace-Dest": f"$JS.API.STREAM.DELETE.{VEHICLE_EVENTS}"},
        {"Nats-Request-Info": json.dumps({"acc": "SYS", "svc": "SYS"})},
        {"Nmqtt-Pub": "1", "Nmqtt-Subject": f"vehicle.{OTHER}.cmd.door"},
    ],
)
@pytest.mark.parametrize("event", [EventKind.HELLO, EventKind.STATUS])
async def test_headers_do_nothing_to_anybody_else(
    harness: BrokerHarness, witness: Witness, headers: dict[str, str], event: EventKind
) -> None:
    car = await attacker(harness)
    await car.publish(event_subject(VIN, event), b"x", headers=headers, reply=f"_INBOX.{VIN}.a")
    await settled(car)
    stored = status_subject(VIN) if event is EventKind.STATUS else event_subject(VIN, event)
    name = f"VEHICLE_STATUS_{stored.split('.')[1]}" if event is EventKind.STATUS else VEHICLE_EVENTS
    mine = (
        await (await harness.observe(name)).stream_info(name, subjects_filter=stored)
    ).state.subjects or {}
    await car.close()
    assert reached(witness) == []
    await witness.assert_nothing_came_of_it(allowed={**LAST, **mine})


async def test_another_s_message_is_no_repetition_of_the_attacker_s(
    harness: BrokerHarness, witness: Witness
) -> None:
    """The broker knows repetitions of the last moments by their id alone, whoever sent them."""
    car = await attacker(harness)
    for event in (EventKind.HELLO, EventKind.STATUS):
        await car.request(event_subject(VIN, event), b"x", headers={"Nats-Msg-Id": "other"})
    mine = {
        event_subject(VIN, EventKind.HELLO): 1,
        status_subject(VIN): 2,
        event_subject(VIN, EventKind.CANCEL): 1,
    }
    await settled(car)
    # Nobody can be so quick with an id that is made by chance and not said before.
    await asyncio.sleep(2 * STREAMS[VEHICLE_EVENTS].duplicate_window_seconds)
    await car.close()
    await witness.assert_nothing_came_of_it(allowed=mine)


@pytest.mark.parametrize("attack", ["subscriptions", "payload"])
async def test_a_car_cannot_have_more_subscriptions_or_longer_messages_than_it_needs(
    harness: BrokerHarness, attack: str
) -> None:
    ended = asyncio.Event()

    async def closed() -> None:
        ended.set()

    car = await attacker(harness, closed_cb=closed)
    if attack == "payload":
        await car.publish(event_subject(VIN, EventKind.DIAGNOSTICS), bytes(VEHICLE_MESSAGE_BYTES + 1))
    else:
        for number in range(MOST_SUBSCRIPTIONS + 1):
            await car.subscribe(f"_INBOX.{VIN}.{number}")
    await asyncio.wait_for(ended.wait(), WAIT_SECONDS)


async def test_one_car_s_flood_pushes_out_nothing_of_another_s(
    harness: BrokerHarness, witness: Witness
) -> None:
    stream = STREAMS[VEHICLE_EVENTS]
    car = await attacker(harness)
    for _ in range(stream.most_per_subject + 50):
        await car.publish(event_subject(VIN, EventKind.RESULT), b"x" * 1_000)
    await settled(car)
    await car.close()
    await witness.assert_nothing_came_of_it(
        allowed={**LAST, event_subject(VIN, EventKind.RESULT): stream.most_per_subject}
    )


@pytest.mark.parametrize("reply", [*PATTERNS, f"_INBOX.{VIN}.*", f"_INBOX.{OTHER}.1", "door.update.x"])
@pytest.mark.parametrize("subject", [PULL, f"$JS.ACK.{VEHICLE_COMMANDS}.{VIN}.1.1.1.1.0"])
async def test_who_asks_for_answers_elsewhere_is_shut_out(
    harness: BrokerHarness, reply: str, subject: str
) -> None:
    """Answers to a pattern make the broker forget the way back of others' pulls: it must not happen again."""
    await harness.guard()
    for vin in (VIN, OTHER):
        await harness.jetstream.add_consumer(VEHICLE_COMMANDS, command_queue(vin))
    other = harness.link("nats", vin=OTHER)
    await other.open()
    ended = asyncio.Event()

    async def closed() -> None:
        ended.set()

    car = await attacker(harness, closed_cb=closed)
    await car.publish(subject, NOTHING_WAITS, reply=reply)
    await asyncio.wait_for(ended.wait(), WAIT_SECONDS)
    with pytest.raises(nats.errors.Error):
        await attacker(harness, connect_timeout=WAIT_SECONDS)
    await harness.jetstream.publish(command_subject(OTHER, CommandKind.DOOR), b"served")
    (delivery,) = await asyncio.wait_for(other.receive(), WAIT_SECONDS)
    assert delivery.data == b"served"
    await other.close()
    await harness.enrol(VIN)
    again = await attacker(harness)
    await settled(again)
    await again.close()


def test_every_stream_of_what_cars_say_has_bounds_for_each_car_and_none_for_all() -> None:
    for name, stream in STREAMS.items():
        if name.startswith("VEHICLE_STATUS_") or name in {VEHICLE_EVENTS, VEHICLE_MQTT_EVENTS}:
            assert 0 < stream.most_per_subject <= 256
            assert 0 < stream.most_bytes <= 70_000
    assert MQTT_MESSAGES in STREAMS

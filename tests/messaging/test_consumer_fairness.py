"""One car says whatever it can, as fast as it can: the others' messages are ingested as if it were silent."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from protocol.streams import STREAMS, VEHICLE_EVENTS
from protocol.subjects import EventKind, event_subject
from services.platform.consumer import (
    HELD_PER_SENDER,
    RETRIES_AT_MOST,
    Consumer,
    ConsumerPlan,
    Delivery,
    PoisonMessage,
    RetryLater,
)
from services.platform.outbox import OutgoingMessage
from services.telematics.broker import connect_broker
from services.telematics.quotas import DEFAULT_QUOTAS, NOT_UNDERSTOOD, Quota, VehicleQuotas
from services.telematics.senders import place_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from services.platform.consumer import Unhandled
    from services.platform.jetstream import Broker
    from tests.messaging.conftest import NatsServer

STREAM = replace(STREAMS[VEHICLE_EVENTS], most_per_subject=0)
"""All that is said is kept: what the broker drops by itself is no test of the consumer."""
LOUD, QUIET = "KMHSH81C7LU123456", "KMHSH81C7LU654321"
KINDS = (EventKind.HELLO, EventKind.RECEIVED, EventKind.RESULT, EventKind.CANCEL, EventKind.CONFIG)
PLAN = ConsumerPlan(
    VEHICLE_EVENTS, "test-fair", tuple(event_subject("*", kind) for kind in KINDS), max_pending=200
)
FLOOD = 2_000
WAIT_SECONDS = 150


@dataclass
class ConsumerHarness:
    """What a service did with each message: it does what the message says, and never takes one of LOUD's."""

    done: list[tuple[str, bytes]] = field(default_factory=list)
    handled: int = 0
    dead_lettered: list[PoisonMessage] = field(default_factory=list)
    early: set[bytes] = field(default_factory=set)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, deliveries: Sequence[Delivery]) -> list[Unhandled]:
        if any(each.data.startswith(b"breaks") for each in deliveries):
            raise OverflowError("a defect")
        left: list[Unhandled] = []
        for each in deliveries:
            self.handled += 1
            if each.data.startswith(b"later") or each.data in self.early:
                self.early.discard(each.data)
                left.append(RetryLater(each, "WRONG_EPOCH: not yet"))
            elif each.data.startswith(b"poison"):
                left.append(PoisonMessage(each, "MALFORMED: nonsense"))
            else:
                self.done.append((each.subject, each.data))
        self.changed.set()
        return left

    async def dead_letter(self, poison: Sequence[PoisonMessage]) -> None:
        self.dead_lettered += poison
        self.changed.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_SECONDS):
            while not holds():
                self.changed.clear()
                await self.changed.wait()

    def of(self, vin: str) -> list[bytes]:
        return [data for subject, data in self.done if vin in subject]


@pytest.fixture
async def broker(nats_server: NatsServer) -> AsyncIterator[Broker]:
    connected = await connect_broker(nats_server.settings(), name="test")
    await connected.ensure_streams(STREAM)
    yield connected
    await connected.client.close()


@pytest.fixture
async def run(broker: Broker) -> AsyncIterator[Callable[..., ConsumerHarness]]:
    tasks: list[asyncio.Task[None]] = []

    def start(quotas: VehicleQuotas | None = None) -> ConsumerHarness:
        service = ConsumerHarness()
        consumer = Consumer(
            broker,
            PLAN,
            service.handle,
            service.dead_letter,
            quotas or VehicleQuotas(),
            place_of(PLAN.subjects[0]),
        )
        tasks.append(asyncio.create_task(consumer.run()))
        return service

    yield start
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def publish(broker: Broker, vin: str, kind: EventKind, *texts: str) -> None:
    subject, now = event_subject(vin, kind), datetime.now(UTC)
    messages = [OutgoingMessage(f"{vin}-{kind}-{t}", "q", subject, t.encode(), now) for t in texts]
    async with asyncio.timeout(WAIT_SECONDS):
        while messages:
            some = messages[:500]
            confirmed = await broker.publish_all(some)
            messages = [m for m, done in zip(some, confirmed, strict=True) if not done] + messages[500:]


async def until_all_acknowledged(broker: Broker) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            info = await broker.jetstream.consumer_info(PLAN.stream, PLAN.name)
            if info.num_ack_pending == 0 and info.num_pending == 0:
                return
            await asyncio.sleep(0.02)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("nonsense", ["poison", "later", "breaks", "fine"])
async def test_a_flood_of_every_kind_costs_the_others_a_burst_at_most(
    broker: Broker, run: Callable[..., ConsumerHarness], nonsense: str
) -> None:
    for kind in KINDS:
        await publish(broker, LOUD, kind, *(f"{nonsense} {n}" for n in range(FLOOD)))
    await publish(broker, QUIET, EventKind.RESULT, "quiet")
    service = run()
    await service.until(lambda: service.of(QUIET) == [b"quiet"])
    await until_all_acknowledged(broker)
    bursts = sum(DEFAULT_QUOTAS[kind].burst + DEFAULT_QUOTAS[kind].per_minute for kind in KINDS)
    assert service.handled <= bursts * RETRIES_AT_MOST
    # The operator is told, by a few letters that stand for all that were dropped.
    await service.until(
        lambda: sum(p.count for p in service.dead_lettered if p.merges) >= len(KINDS) * FLOOD // 2
    )
    named = {p.delivery.subject for p in service.dead_lettered if p.reason.startswith("OVER_QUOTA")}
    assert named == {event_subject(LOUD, kind) for kind in KINDS}
    assert not any(QUIET in p.delivery.subject for p in service.dead_lettered)


async def test_while_one_is_muted_the_others_messages_come_in_order_and_at_once(
    broker: Broker, run: Callable[..., ConsumerHarness]
) -> None:
    quotas = VehicleQuotas({**DEFAULT_QUOTAS, EventKind.RESULT: Quota(10, 60, 1_000)})
    service = run(quotas)
    for n in range(50):
        await publish(broker, LOUD, EventKind.RESULT, f"fine {n}")
        await publish(broker, QUIET, EventKind.RECEIVED, f"quiet {n}")
    await service.until(lambda: len(service.of(QUIET)) == 50)
    assert service.of(QUIET) == [f"quiet {n}".encode() for n in range(50)]
    assert service.of(LOUD) == [f"fine {n}".encode() for n in range(len(service.of(LOUD)))]
    assert len(service.of(LOUD)) < 25
    await until_all_acknowledged(broker)


async def test_what_waits_for_a_hello_is_set_aside_and_occupies_nothing(
    broker: Broker, run: Callable[..., ConsumerHarness]
) -> None:
    """More wait than may be on their way at once, and of a vehicle that is within its quota."""
    await publish(broker, LOUD, EventKind.RESULT, *(f"later {n}" for n in range(PLAN.max_pending + 50)))
    await publish(broker, QUIET, EventKind.RESULT, "quiet")
    service = run()
    await service.until(lambda: service.of(QUIET) == [b"quiet"])
    await until_all_acknowledged(broker)
    assert {p.delivery.data for p in service.dead_lettered} == {
        f"later {n}".encode() for n in range(PLAN.max_pending + 50)
    }
    assert all(p.waits for p in service.dead_lettered)
    held = service.handled - (PLAN.max_pending + 50) - 1
    assert held <= HELD_PER_SENDER * (RETRIES_AT_MOST - 1) * 2


async def test_a_message_that_comes_before_its_hello_is_taken_a_moment_later(
    broker: Broker, run: Callable[..., ConsumerHarness]
) -> None:
    service = run()
    service.early = {b"early"}
    await publish(broker, QUIET, EventKind.RESULT, "early")
    await service.until(lambda: service.of(QUIET) == [b"early"])
    assert service.dead_lettered == []
    await until_all_acknowledged(broker)


async def test_who_is_not_understood_is_muted_and_a_few_letters_say_so(
    broker: Broker, run: Callable[..., ConsumerHarness]
) -> None:
    service = run()
    for start in range(0, 400, 20):
        await publish(broker, LOUD, EventKind.CONFIG, *(f"poison {n}" for n in range(start, start + 20)))
        await until_all_acknowledged(broker)
    single = [p for p in service.dead_lettered if not p.merges]
    assert NOT_UNDERSTOOD.burst <= len(single) <= NOT_UNDERSTOOD.burst + 40
    await service.until(lambda: len(single) + sum(p.count for p in service.dead_lettered if p.merges) >= 400)

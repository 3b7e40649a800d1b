"""A service's consumer on a real nats-server: poison, redelivery, a store that is away, crashes on both sides."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from protocol.streams import STREAMS, VEHICLE_EVENTS
from services.platform.consumer import Consumer, ConsumerPlan, Delivery, PoisonMessage, RetryLater
from services.platform.outbox import OutgoingMessage
from services.platform.storage import StorageUnavailableError
from services.telematics.broker import connect_broker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from services.platform.consumer import Unhandled
    from services.platform.jetstream import Broker
    from tests.messaging.conftest import NatsServer

STREAM = STREAMS[VEHICLE_EVENTS]
SUBJECT = "vehicle.KMHSH81C7LU123456.evt.hello"
PLAN = ConsumerPlan(VEHICLE_EVENTS, "test-room", ("vehicle.*.evt.hello",), ack_wait_seconds=1)
WAIT_SECONDS = 60


@dataclass
class FakeStore:
    """What a service has committed. It can be away, and it fails on what it is told to."""

    committed: list[str] = field(default_factory=list)
    deliveries: int = 0
    dead_lettered: list[PoisonMessage] = field(default_factory=list)
    away: bool = False
    poison: frozenset[str] = frozenset()
    breaks_on: frozenset[str] = frozenset()
    asked: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    held: asyncio.Event | None = None

    async def handle(self, deliveries: Sequence[Delivery]) -> Sequence[PoisonMessage]:
        self.asked += 1
        self.changed.set()
        if self.held is not None:
            await self.held.wait()
        if self.away:
            raise StorageUnavailableError("away")
        texts = [delivery.data.decode() for delivery in deliveries]
        for each in texts:
            if each in self.breaks_on:
                raise RuntimeError(f"a defect met {each}")
        self.deliveries += len(texts)
        found = [PoisonMessage(d, "not understood") for d in deliveries if d.data.decode() in self.poison]
        self.committed += [t for t in texts if t not in self.poison and t not in self.committed]
        self.changed.set()
        return found

    async def dead_letter(self, poison: Sequence[PoisonMessage]) -> None:
        if self.away:
            raise StorageUnavailableError("away")
        self.dead_lettered += poison
        self.changed.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_SECONDS):
            while not holds():
                self.changed.clear()
                await self.changed.wait()


@dataclass
class Mesh:
    """A publisher's connection, and services with a connection each."""

    server: NatsServer
    publisher: Broker
    services: list[tuple[Broker, asyncio.Task[None]]] = field(default_factory=list)
    published: int = 0

    async def service(self, store: FakeStore, plan: ConsumerPlan = PLAN) -> Broker:
        broker = await connect_broker(self.server.settings(), name="room")
        await broker.ensure_streams(STREAM)
        task = asyncio.create_task(Consumer(broker, plan, store.handle, store.dead_letter).run())
        self.services.append((broker, task))
        async with asyncio.timeout(WAIT_SECONDS):
            while not any(each.subject.startswith("deliver.") for each in broker.client._subs.values()):  # noqa: ASYNC110  # nats-py tells nobody when it has subscribed
                await asyncio.sleep(0.005)
        await broker.client.flush()
        return broker

    async def publish(self, *texts: str) -> None:
        messages = []
        for each in texts:
            self.published += 1
            messages.append(
                OutgoingMessage(f"id-{self.published}", "q", SUBJECT, each.encode(), datetime.now(UTC))
            )
        async with asyncio.timeout(WAIT_SECONDS):
            while messages:
                confirmed = await self.publisher.publish_all(messages)
                messages = [m for m, done in zip(messages, confirmed, strict=True) if not done]
                if messages:
                    await asyncio.sleep(0.05)

    async def crash(self) -> None:
        """Every service's process dies: its connection breaks, nothing more is acknowledged."""
        for broker, task in self.services:
            task.cancel()
            await broker.client.close()
        await asyncio.gather(*(task for _, task in self.services), return_exceptions=True)
        self.services.clear()

    async def until_all_acknowledged(self) -> None:
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                info = await self.publisher.jetstream.consumer_info(PLAN.stream, PLAN.name)
                if info.num_ack_pending == 0 and info.num_pending == 0:
                    return
                await asyncio.sleep(0.02)


@pytest.fixture
async def mesh(nats_server: NatsServer) -> AsyncIterator[Mesh]:
    publisher = await connect_broker(nats_server.settings(), name="publisher")
    await publisher.ensure_streams(STREAM)
    mesh = Mesh(nats_server, publisher)
    yield mesh
    await mesh.crash()
    await publisher.client.close()


def numbers(count: int, start: int = 0) -> list[str]:
    return [f"{n}" for n in range(start, start + count)]


@pytest.mark.parametrize("shared", [True, False])
async def test_messages_arrive_in_order_in_batches_and_are_acknowledged(mesh: Mesh, shared: bool) -> None:
    store = FakeStore()
    plan = ConsumerPlan(PLAN.stream, PLAN.name, PLAN.subjects, shared=shared, ack_wait_seconds=1)
    await mesh.service(store, plan)
    await mesh.publish(*numbers(300))
    await store.until(lambda: len(store.committed) == 300)
    assert store.committed == numbers(300)
    assert store.asked < 300
    await mesh.until_all_acknowledged()


async def test_poison_is_buried_and_does_not_block(mesh: Mesh) -> None:
    store = FakeStore(poison=frozenset({"3"}))
    await mesh.service(store)
    await mesh.publish(*numbers(6))
    await store.until(lambda: len(store.committed) == 5 and len(store.dead_lettered) == 1)
    assert store.dead_lettered[0].delivery.data == b"3"
    assert store.dead_lettered[0].delivery.subject == SUBJECT
    await mesh.until_all_acknowledged()


async def test_a_message_that_breaks_its_handler_is_buried_alone(mesh: Mesh) -> None:
    store = FakeStore(breaks_on=frozenset({"2"}))
    await mesh.publish(*numbers(6))
    await mesh.service(store)
    await store.until(lambda: len(store.committed) == 5 and len(store.dead_lettered) == 1)
    assert store.committed == ["0", "1", "3", "4", "5"]
    assert store.dead_lettered[0].delivery.data == b"2"
    assert "a defect met 2" in store.dead_lettered[0].reason
    await mesh.until_all_acknowledged()


async def test_a_store_that_is_away_is_waited_for_and_nothing_is_held_twice(mesh: Mesh) -> None:
    store = FakeStore(away=True, poison=frozenset({"5"}))
    await mesh.service(store)
    await mesh.publish(*numbers(200))
    # Longer than ack_wait: everything is delivered again meanwhile.
    await store.until(lambda: store.asked >= 5)
    assert store.committed == []
    store.away = False
    await store.until(lambda: len(store.committed) == 199 and len(store.dead_lettered) > 0)
    await mesh.until_all_acknowledged()
    # What was on its way when it was acknowledged may come once more, never all of it.
    assert store.deliveries < 2 * 200


@pytest.mark.parametrize("shared", [True, False])
async def test_a_crash_before_the_acknowledgement_loses_nothing(mesh: Mesh, shared: bool) -> None:
    """What the dead process had ingested comes again, although the new one has acknowledged what followed."""
    plan = ConsumerPlan(PLAN.stream, PLAN.name, PLAN.subjects, shared=shared, ack_wait_seconds=1)
    dying = FakeStore(held=asyncio.Event())
    await mesh.service(dying, plan)
    await mesh.publish(*numbers(20))
    await dying.until(lambda: dying.asked == 1)
    await mesh.crash()

    store = FakeStore()
    await mesh.service(store, plan)
    await mesh.publish(*numbers(20, start=20))
    await store.until(lambda: len(store.committed) == 40)
    await mesh.until_all_acknowledged()


async def test_replicas_divide_a_shared_consumer(mesh: Mesh) -> None:
    stores = [FakeStore(), FakeStore()]
    for store in stores:
        await mesh.service(store)
    both = [store.committed for store in stores]
    for n in range(200):
        await mesh.publish(str(n))
    await mesh.until_all_acknowledged()
    assert set(both[0]) | set(both[1]) == set(numbers(200))
    assert not set(both[0]) & set(both[1])
    assert all(both)


async def test_every_replica_sees_all_of_an_unshared_consumer(mesh: Mesh) -> None:
    plan = ConsumerPlan(PLAN.stream, PLAN.name, PLAN.subjects, shared=False, ack_wait_seconds=1)
    stores = [FakeStore(), FakeStore()]
    for store in stores:
        await mesh.service(store, plan)
    await mesh.publish(*numbers(50))
    for store in stores:
        await store.until(lambda: len(store.committed) == 50)  # noqa: B023  # awaited before the next turn


async def test_a_broker_that_crashes_in_the_middle_loses_nothing(mesh: Mesh) -> None:
    store = FakeStore()
    await mesh.service(store)
    await mesh.publish(*numbers(50))
    mesh.server.restart()
    await mesh.publish(*numbers(50, start=50))
    await store.until(lambda: len(store.committed) == 100)
    await mesh.until_all_acknowledged()


async def test_a_broker_that_lost_its_disk_gets_its_streams_and_consumers_again(mesh: Mesh) -> None:
    store = FakeStore()
    await mesh.service(store)
    await mesh.publish(*numbers(10))
    await store.until(lambda: len(store.committed) == 10)
    mesh.server.wipe()
    await mesh.publish(*numbers(10, start=10))
    await store.until(lambda: len(store.committed) == 20)
    await mesh.until_all_acknowledged()


async def test_who_starts_before_the_broker_waits_for_it(nats_server: NatsServer) -> None:
    nats_server.kill()
    waiting = asyncio.create_task(connect_broker(nats_server.settings(), name="early"))
    done, _ = await asyncio.wait([waiting], timeout=0.5)
    assert not done
    await asyncio.to_thread(nats_server.start)
    async with asyncio.timeout(WAIT_SECONDS):
        broker = await waiting
    assert broker.connected
    await broker.client.close()


async def test_what_waits_for_something_is_handled_as_soon_as_that_is_done_and_holds_up_nobody(
    mesh: Mesh,
) -> None:
    store = FakeStore()
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    handle = store.handle

    async def waiting(deliveries: Sequence[Delivery]) -> Sequence[Unhandled]:
        late = [each for each in deliveries if each.data == b"late" and not done.done()]
        return [
            *await handle([each for each in deliveries if each not in late]),
            *(RetryLater(each, "waits", done) for each in late),
        ]

    store.handle = waiting  # type: ignore[method-assign]
    await mesh.service(store)
    await mesh.publish("late", "first", "second")
    await store.until(lambda: len(store.committed) == 2)
    await asyncio.sleep(1.5)  # longer than the broker waits for its acknowledgement: it is delivered again
    assert store.committed == ["first", "second"]
    done.set_result(None)
    await store.until(lambda: store.committed == ["first", "second", "late"])
    await mesh.until_all_acknowledged()
    assert store.dead_lettered == []

"""Rooms on a broker of three nodes: what one node's death costs, and what settings make of streams."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import nats
import pytest
import pytest_asyncio
from nats.errors import Error as NatsError
from nats.js.api import StreamConfig

from protocol.stream_config import command_queue
from protocol.streams import MQTT_MESSAGES, MQTT_OWN_STREAMS, STREAMS, VEHICLE_COMMANDS, VEHICLE_EVENTS
from services.enrolment.adapters.reply_guard import ReplyGuard
from services.enrolment.usecases import EnrolmentDependencies
from services.platform.broker_client import BrokerClient
from services.platform.consumer import Consumer, ConsumerPlan
from services.platform.health import COMMANDS, Health
from services.platform.outbox import OutgoingMessage
from services.telematics.broker import connect_broker
from tests.messaging.cluster import NODES, NatsCluster
from tests.messaging.conftest import PASSWORD, USER

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from pathlib import Path

    from services.platform.consumer import Delivery, PoisonMessage, Unhandled
    from services.platform.jetstream import Broker

VIN = "KMHSH81C7LU123456"
ELECTION_SECONDS = 20
"""It takes 4 to 7 s on an idle machine."""
PATIENCE_SECONDS = 60.0
"""For what other processes do, however busy the machine is."""
EVENTS = ConsumerPlan(VEHICLE_EVENTS, "events", ("vehicle.*.evt.result",))


@pytest_asyncio.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[NatsCluster]:
    cluster = NatsCluster(tmp_path)
    await cluster.start_all()
    yield cluster
    cluster.kill_all()


def message(number: int, subject: str = f"vehicle.{VIN}.evt.result") -> OutgoingMessage:
    return OutgoingMessage(f"m-{number}", "q", subject, str(number).encode(), datetime.now(UTC))


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = PATIENCE_SECONDS) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110  # other processes decide
            await asyncio.sleep(0.1)


async def replicas_of(broker: Broker, stream: str) -> int:
    return (await broker.jetstream.stream_info(stream)).config.num_replicas or 1


async def gets_a_command(broker: Broker) -> None:
    """A vehicle's queue is made on its hello, also with a node away, and gets what is sent."""

    async def queue_made() -> bool:
        try:
            await broker.jetstream.add_consumer(VEHICLE_COMMANDS, command_queue(VIN), timeout=2)
        except (NatsError, TimeoutError):
            return False  # as a hello is delivered again
        return True

    async def sent() -> bool:
        return (await broker.publish_all([message(1_000, f"vehicle.{VIN}.cmd.door")]))[0]

    await until(queue_made)
    await until(sent)
    queue = await broker.jetstream.pull_subscribe_bind(durable=VIN, stream=VEHICLE_COMMANDS)
    got: list[bytes] = []

    async def pulled() -> bool:
        try:
            got.extend(each.data for each in await queue.fetch(1, timeout=2))
        except (NatsError, TimeoutError):
            return False  # as a vehicle pulls again
        return True

    await until(pulled)
    assert got == [b"1000"]


@pytest.mark.alone  # how long an election takes
@pytest.mark.timeout(90)
async def test_the_death_of_one_node_loses_nothing_that_was_acknowledged(cluster: NatsCluster) -> None:
    broker = await connect_broker(cluster.settings(), "service-command")
    await broker.ensure_streams(STREAMS[VEHICLE_COMMANDS], STREAMS[VEHICLE_EVENTS])
    taken: set[bytes] = set()

    async def handle(deliveries: Sequence[Delivery]) -> list[Unhandled]:
        taken.update(each.data for each in deliveries)
        return []

    async def dead_letter(_poison: Sequence[PoisonMessage]) -> None:
        raise AssertionError

    running = asyncio.gather(Consumer(broker, EVENTS, handle, dead_letter).run(), broker.watch())
    try:
        assert all(await broker.publish_all([message(n) for n in range(50)]))

        async def some_taken() -> bool:
            return bool(taken)

        await until(some_taken)
        (await cluster.leader_of(broker.jetstream, VEHICLE_EVENTS)).kill()
        acknowledged = set(range(50))
        began = time.monotonic()
        for number in range(50, 150):

            async def sent_again(number: int = number) -> bool:
                return (await broker.publish_all([message(number)]))[0]  # as the outbox does

            await until(sent_again)
            acknowledged.add(number)
        assert time.monotonic() - began < ELECTION_SECONDS

        async def all_taken() -> bool:
            assert not running.done()
            return {str(n).encode() for n in acknowledged} <= taken

        await until(all_taken)

        await gets_a_command(broker)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await broker.client.close()


async def test_streams_are_spread_where_they_lie_and_never_gathered_again(cluster: NatsCluster) -> None:
    early = await connect_broker(cluster.settings(replicas=1), "service-early")
    await early.ensure_streams(STREAMS[VEHICLE_COMMANDS])
    await early.publish_all([message(1, f"vehicle.{VIN}.cmd.door")])
    assert await replicas_of(early, VEHICLE_COMMANDS) == 1
    later = await connect_broker(cluster.settings(replicas=NODES), "service-later")
    await later.ensure_streams(STREAMS[VEHICLE_COMMANDS])
    again = await connect_broker(cluster.settings(replicas=1), "service-again")
    await again.ensure_streams(STREAMS[VEHICLE_COMMANDS])
    for stream in (VEHICLE_COMMANDS, MQTT_MESSAGES):
        assert await replicas_of(again, stream) == NODES
    info = await again.jetstream.stream_info(VEHICLE_COMMANDS)
    assert info.state.messages == 1
    for broker in (early, later, again):
        await broker.client.close()


async def test_what_the_broker_made_for_mqtt_is_spread_too(cluster: NatsCluster) -> None:
    broker = await connect_broker(cluster.settings(), "service-enrolment")
    await broker.ensure_streams(*STREAMS.values())
    # As the broker makes it when the first vehicle connects over MQTT before the cluster was one.
    await broker.jetstream.add_stream(
        StreamConfig(name="$MQTT_sess", subjects=["$MQTT.sess.>"], num_replicas=1)
    )
    await broker.scale_streams(*MQTT_OWN_STREAMS)
    assert await replicas_of(broker, "$MQTT_sess") == NODES
    for stream in STREAMS:
        assert await replicas_of(broker, stream) == NODES
    await broker.client.close()


async def test_a_room_starts_while_its_first_node_is_down_and_finds_those_it_was_not_told_of(
    cluster: NatsCluster,
) -> None:
    down, up, told = cluster.nodes
    down.kill()
    broker = await connect_broker(cluster.settings(url=f"{down.url},{up.url}"), "service-command")
    assert broker.client.connected_url is not None
    assert broker.client.connected_url.port == up.port
    up.kill()

    async def elsewhere() -> bool:
        url = broker.client.connected_url
        return broker.connected and url is not None and url.port == told.port

    await until(elsewhere)
    await broker.client.close()


async def test_a_node_that_hangs_is_left(cluster: NatsCluster) -> None:
    health = Health()
    broker = await connect_broker(cluster.settings(), "service-command", health)
    await broker.ensure_streams(STREAMS[VEHICLE_EVENTS])
    watching = asyncio.create_task(broker.watch())
    url = broker.client.connected_url
    assert url is not None
    next(node for node in cluster.nodes if node.port == url.port).freeze()

    async def publishes() -> bool:
        return (await broker.publish_all([message(1)]))[0]

    async def serves() -> bool:
        health.look()
        return health.serves(COMMANDS)

    await until(publishes)
    await until(serves)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    await broker.client.close()


class CutVehicles:
    """The connections that were ended (usecases.Connections), by vehicle."""

    def __init__(self) -> None:
        self.vins: list[str] = []

    async def cut(self, vin: str) -> None:
        self.vins.append(vin)


async def test_the_guard_over_replies_leaves_a_node_that_hangs(
    cluster: NatsCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own pulse sees it: the client's pings, which would in the end, are left out here."""
    connect = BrokerClient.connect

    async def without_pings(client: BrokerClient, *where: Any, **options: Any) -> None:
        await connect(client, *where, **options | {"ping_interval": 3_600})

    monkeypatch.setattr(BrokerClient, "connect", without_pings)
    first, *others = cluster.nodes
    cut: Any = CutVehicles()
    unused: Any = None
    deps = EnrolmentDependencies(unused, cut, unused, lambda: datetime.now(UTC))
    settings = cluster.settings(url=first.url)
    guard = ReplyGuard(deps, settings.model_copy(update={"broker_silence_seconds": 1.0}), unused)
    await guard.start()
    attacker = await nats.connect([node.url for node in others], user=USER, password=PASSWORD)

    async def is_seen() -> bool:
        await attacker.publish(f"$JS.API.CONSUMER.MSG.NEXT.{VEHICLE_COMMANDS}.{VIN}", b"", reply="_INBOX.>")
        await attacker.flush()
        return bool(cut.vins)

    try:
        await until(is_seen)
        first.freeze()
        cut.vins.clear()
        await until(is_seen)
        assert set(cut.vins) == {VIN}
    finally:
        await attacker.close()
        await guard.close()

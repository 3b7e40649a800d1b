"""What a service notices and mends while its connection stays, and what its health says until then."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from nats.js.errors import BadRequestError, NotFoundError
from structlog.testing import capture_logs

from protocol.streams import ROOM_EVENTS, STREAMS, VEHICLE_COMMANDS, VEHICLE_EVENTS
from services.platform import broker_connection
from services.platform.broker_client import BrokerClient
from services.platform.consumer import Consumer, ConsumerPlan
from services.platform.health import COMMANDS, Health
from services.platform.health import STREAMS as LIVE
from services.platform.jetstream import BrokerLostError
from services.platform.outbox import OutgoingMessage
from services.telematics.broker import connect_broker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from nats.aio.client import Srv
    from nats.js import JetStreamContext

    from services.platform.consumer import Delivery, PoisonMessage, Unhandled
    from services.platform.jetstream import Broker
    from tests.messaging.conftest import NatsServer

VIN = "KMHSH81C7LU123456"
PLAN = ConsumerPlan(VEHICLE_EVENTS, "events", ("vehicle.*.evt.result",))
WAIT_SECONDS = 60


class BrokerWatchHarness:
    """A consumer, a watched broker, and what its health says."""

    def __init__(self, broker: Broker, health: Health) -> None:
        self.broker = broker
        self.health = health
        self.taken: list[bytes] = []

    async def handle(self, deliveries: Sequence[Delivery]) -> list[Unhandled]:
        self.taken += [each.data for each in deliveries]
        return []

    async def dead_letter(self, _poison: Sequence[PoisonMessage]) -> None:
        raise AssertionError

    async def publish(self, number: int, subject: str = f"vehicle.{VIN}.evt.result") -> bool:
        message = OutgoingMessage(f"m-{number}", "q", subject, str(number).encode(), datetime.now(UTC))
        return (await self.broker.publish_all([message]))[0]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_SECONDS):
            while not condition():  # another process decides
                self.health.look()
                await asyncio.sleep(0.02)


@asynccontextmanager
async def a_room(nats_server: NatsServer) -> AsyncIterator[BrokerWatchHarness]:
    health = Health()
    settings = nats_server.settings().model_copy(
        update={
            "broker_look_seconds": 0.1,
            "health_patience_seconds": 0.3,
            "broker_patience_seconds": 0.3,
            "broker_silence_seconds": 1.0,
        }
    )
    broker = await connect_broker(settings, "service-command", health)
    await broker.ensure_streams(STREAMS[VEHICLE_COMMANDS], STREAMS[VEHICLE_EVENTS], STREAMS[ROOM_EVENTS])
    service = BrokerWatchHarness(broker, health)
    running = asyncio.gather(
        Consumer(broker, PLAN, service.handle, service.dead_letter).run(), broker.watch()
    )
    try:
        assert await service.publish(0)
        await service.until(lambda: service.taken == [b"0"])
        yield service
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await broker.client.close()


async def test_a_stream_that_is_deleted_under_a_living_connection_comes_back_with_its_consumer(
    nats_server: NatsServer,
) -> None:
    async with a_room(nats_server) as service:
        await service.broker.jetstream.delete_stream(VEHICLE_EVENTS)

        async def back() -> bool:
            try:
                await service.broker.jetstream.consumer_info(VEHICLE_EVENTS, PLAN.name)
            except NotFoundError:
                return False
            return True

        async with asyncio.timeout(WAIT_SECONDS):
            while not await back():  # noqa: ASYNC110  # another process decides
                await asyncio.sleep(0.02)
        assert await service.publish(1)
        await service.until(lambda: service.taken == [b"0", b"1"])
        await service.until(lambda: not service.health.failing)


async def squatted(context: JetStreamContext) -> bool:
    """Delete the stream, and have somebody else's hold one of its subjects, so that the broker refuses to make it.

    False where it was made again in between.
    """
    with suppress(NotFoundError):
        await context.delete_stream(VEHICLE_EVENTS)
    try:
        await context.add_stream(name="SQUATTER", subjects=["vehicle.*.evt.hello"])
        await context.stream_info(VEHICLE_EVENTS)
    except BadRequestError:
        return False
    except NotFoundError:
        return True
    await context.delete_stream("SQUATTER")
    return False


async def test_what_is_missing_and_cannot_be_made_is_said_until_it_is_there_again(
    nats_server: NatsServer,
) -> None:
    async with a_room(nats_server) as service:
        context = service.broker.jetstream
        async with asyncio.timeout(WAIT_SECONDS):
            while not await squatted(context):  # whoever is watched may be quicker
                continue
        await service.until(lambda: not service.health.serves(COMMANDS))
        assert set(service.health.failing) >= {"streams"}
        assert "VEHICLE_EVENTS" in service.health.failing["streams"]
        assert not service.health.serves(LIVE)
        await context.delete_stream("SQUATTER")
        await service.until(lambda: service.health.serves(COMMANDS) and not service.health.failing)
        assert await service.publish(1)


async def test_a_broker_that_is_away_for_a_moment_is_waited_for_and_longer_is_said(
    nats_server: NatsServer,
) -> None:
    async with a_room(nats_server) as service:
        nats_server.kill()
        await service.until(lambda: not service.broker.connected)
        assert service.health.serves(COMMANDS)
        await service.until(lambda: not service.health.serves(COMMANDS))
        assert "broker" in service.health.failing
        await asyncio.to_thread(nats_server.start)
        await service.until(lambda: service.health.serves(COMMANDS) and not service.health.failing)


async def test_a_broker_that_hangs_is_noticed_while_its_connections_stand_and_used_again_when_it_goes_on(
    nats_server: NatsServer,
) -> None:
    async with a_room(nats_server) as service:
        with nats_server.hanging():
            await service.until(lambda: not service.broker.connected)
            await service.until(lambda: "broker" in service.health.failing)
            assert not service.health.serves(COMMANDS)
        await service.until(lambda: service.health.serves(COMMANDS) and not service.health.failing)
        assert await service.publish(1)
        await service.until(lambda: service.taken == [b"0", b"1"])


async def test_who_starts_while_the_broker_hangs_waits_says_so_once_and_serves(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker_connection, "CONNECT_SECONDS", 0.2)
    attempts, tried, connect = 0, asyncio.Event(), BrokerClient._connect_to_server  # the client's own

    async def counted(client: BrokerClient, server: Srv) -> None:
        nonlocal attempts
        attempts += 1
        if attempts == 3:  # some
            tried.set()
        await connect(client, server)

    monkeypatch.setattr(BrokerClient, "_connect_to_server", counted)
    with capture_logs() as said, nats_server.hanging():
        waiting = asyncio.create_task(connect_broker(nats_server.settings(), "service-command"))
        async with asyncio.timeout(WAIT_SECONDS):
            await tried.wait()
        assert not waiting.done()
    async with asyncio.timeout(WAIT_SECONDS):
        broker = await waiting
    assert broker.connected
    events = [line["event"] for line in said]
    assert events.count("broker_awaited") == 1
    assert events.count("broker_error") == 1
    await broker.client.close()


async def test_a_broker_that_takes_no_messages_is_said_and_found_out_when_it_does(
    nats_server: NatsServer,
) -> None:
    async with a_room(nats_server) as service:
        context = service.broker.jetstream
        full = {}
        for stream in (VEHICLE_EVENTS, ROOM_EVENTS):
            config = (await context.stream_info(stream)).config
            full[stream] = config
            await context.update_stream(config.evolve(max_msgs=1, discard="new"))
        await service.publish(1, "room.command.fills")
        for number in range(2, 6):
            assert not await service.publish(number)
        await service.until(lambda: "publishing" in service.health.failing)
        assert not service.health.serves(COMMANDS)
        for config in full.values():
            await context.update_stream(config)
        await service.until(lambda: service.health.serves(COMMANDS))


async def test_one_vehicle_whose_messages_are_refused_stops_nobody(nats_server: NatsServer) -> None:
    async with a_room(nats_server) as service:
        for number in range(20):
            assert not await service.publish(number, f"vehicle.{VIN}.nothing.keeps.this")
            await asyncio.sleep(0.05)
            service.health.look()
        assert service.health.serves(COMMANDS)


async def test_a_client_that_has_given_up_ends_the_room(nats_server: NatsServer) -> None:
    broker = await connect_broker(
        nats_server.settings().model_copy(update={"broker_look_seconds": 0.05}), "service-command"
    )
    watching = asyncio.create_task(broker.watch())
    await broker.client.close()
    with pytest.raises(BrokerLostError):
        await watching

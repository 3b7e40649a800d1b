import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from ecarus.remotecontrol.vehicle.v1 import command_pb2, report_pb2
from nats.js.api import ConsumerConfig
from sqlalchemy import select

import services.config
from protocol.broker import STREAMS, VEHICLE_COMMANDS, VEHICLE_EVENTS, Event, event_subject
from protocol.envelope import pack, unpack
from services.config import store, vehicle_link
from services.config.domain import ApplicationState, ChangeRequest, DoorConfig, SettingsChange
from services.runtime import jetstream
from services.runtime.consumer import Consumer
from services.runtime.database import Database, open_database
from services.runtime.jetstream import Broker
from services.runtime.migration import migrate
from services.runtime.outbox import OutboxRelay

VIN = "KMHSH81C7LU123456"
MIGRATIONS = Path(services.config.__file__).with_name("migrations")


def now() -> datetime:
    return datetime.now(UTC)


class Room:
    """The config room without its server: `run` and `crash` its loops on one database and broker."""

    def __init__(self, database: Database, broker: Broker) -> None:
        self.database = database
        self.broker = broker
        self.relay = OutboxRelay(database, store.outbox, vehicle_link.QUEUE, broker.publish_all, now)
        self.record = store.ConfigStore(database, self.relay, vehicle_link.outgoing)
        self._tasks: list[asyncio.Task[None]] = []

    def run(self) -> None:
        events = vehicle_link.VehicleEvents(self.record, now)

        async def bury(poison: Any) -> None:
            await self.record.bury(poison, now())

        consumer = Consumer(self.broker, vehicle_link.PLAN, events.handle, bury)
        self._tasks = [asyncio.create_task(consumer.run()), asyncio.create_task(self.relay.run())]

    async def crash(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def say(self, event: Event, message_id: str, payload: Any, times: int = 1) -> None:
        for _ in range(times):
            await self.publish(event, pack(VIN, message_id, payload, now()))

    async def publish(self, event: Event, data: bytes) -> None:
        await self.broker.jetstream.publish(event_subject(VIN, event), data)

    async def change(self, correlation_id: str, **settings: Any) -> DoorConfig:
        wish = SettingsChange(**settings)
        request = ChangeRequest(VIN, wish, "user-123", "user-123", "MOBILE_APP", correlation_id)
        return await self.record.change(request, now())

    async def until(self, holds: Callable[[DoorConfig], bool]) -> DoorConfig:
        async with asyncio.timeout(10):
            while True:
                config = await self.record.find(VIN)
                if config is not None and holds(config):
                    return config
                await asyncio.sleep(0.01)

    async def commands(self, count: int) -> list[command_pb2.ApplyConfig]:
        """What a vehicle would pull from its queue."""
        config = ConsumerConfig(
            durable_name=VIN, filter_subject=f"vehicle.{VIN}.cmd.*", inactive_threshold=30
        )
        await self.broker.jetstream.add_consumer(VEHICLE_COMMANDS, config)
        pull = await self.broker.jetstream.pull_subscribe_bind(VIN, VEHICLE_COMMANDS)
        told: list[command_pb2.ApplyConfig] = []
        async with asyncio.timeout(10):
            while len(told) < count:
                for message in await pull.fetch(count - len(told), timeout=5):
                    payload = unpack(message.data, vin=VIN, expect=command_pb2.ApplyConfig).payload
                    assert isinstance(payload, command_pb2.ApplyConfig)
                    told.append(payload)
                    await message.ack()
        return told


@pytest.fixture
async def room(nats_server: Any, tmp_path: Path) -> AsyncIterator[Room]:
    url = f"sqlite:///{tmp_path}/config.sqlite3"
    await asyncio.to_thread(migrate, url, MIGRATIONS, store.HEAD)
    database = await open_database(url)
    broker = await jetstream.connect(nats_server.settings(), "room-config")
    await broker.ensure_streams(STREAMS[VEHICLE_EVENTS], STREAMS[VEHICLE_COMMANDS])
    room = Room(database, broker)
    room.run()
    yield room
    await room.crash()
    await broker.close()
    await database.close()


def hello(version: int) -> report_pb2.Hello:
    return report_pb2.Hello(boot_id="boot", agent_version="1", config_version=version)


def report(version: int, *, applied: bool = True, reason: str = "") -> report_pb2.ConfigReport:
    return report_pb2.ConfigReport(version=version, applied=applied, reason=reason)


async def test_a_change_reaches_the_vehicle_and_its_answer_comes_back(room: Room) -> None:
    await room.change("c-1", auto_lock_delay_seconds=60)

    (told,) = await room.commands(1)
    assert (told.version, told.settings.auto_lock_delay_seconds) == (1, 60)

    await room.say(Event.CONFIG, "m-1", report(1))
    config = await room.until(lambda c: c.state is ApplicationState.APPLIED)
    assert config.applied_version == 1


async def test_a_rejection_says_why(room: Room) -> None:
    await room.change("c-1", auto_lock_delay_seconds=60)

    await room.say(Event.CONFIG, "m-1", report(1, applied=False, reason="no such lock"))

    config = await room.until(lambda c: c.state is ApplicationState.REJECTED)
    assert (config.rejection, config.settings.auto_lock_delay_seconds) == ("no such lock", 60)


async def test_a_hello_that_is_behind_is_answered_once_however_often_it_comes(room: Room) -> None:
    await room.change("c-1", child_lock_enabled=True)
    await room.commands(1)

    await room.say(Event.HELLO, "m-1", hello(0), times=3)
    await room.say(Event.HELLO, "m-2", hello(1))
    await room.until(lambda c: c.state is ApplicationState.APPLIED)

    (told,) = await room.commands(1)
    assert told.version == 1
    info = await room.broker.jetstream.stream_info(VEHICLE_COMMANDS)
    assert info.state.last_seq == 2  # the change and the answer to the hello; nothing else was ever sent


async def test_garbage_is_kept_aside_and_blocks_nothing(room: Room) -> None:
    await room.publish(Event.HELLO, b"\xff\xfe")
    await room.publish(Event.CONFIG, pack(VIN, "m-1", hello(0), now()))
    await room.publish(Event.CONFIG, pack("KMHSH81C7LU654321", "m-2", report(1), now()))
    await room.say(Event.HELLO, "m-3", hello(-1))
    await room.say(Event.HELLO, "m-4", hello(0))

    await room.until(lambda c: c.state is ApplicationState.APPLIED)

    letters: Sequence[Any] = ()
    async with asyncio.timeout(10):  # poison is buried after the rest of its batch is kept
        while len(letters) < 4:
            letters = await room.database.read(lambda c: c.execute(select(store.dead_letters.table)).all())
            await asyncio.sleep(0.01)
    assert [letter.subject.rpartition(".")[2] for letter in letters] == ["hello", "config", "config", "hello"]


async def test_what_was_said_while_the_room_was_down_is_heard(room: Room) -> None:
    await room.crash()
    await room.change("c-1", child_lock_enabled=True)
    await room.say(Event.CONFIG, "m-1", report(1))

    room.run()

    await room.until(lambda c: c.state is ApplicationState.APPLIED)
    (told,) = await room.commands(1)
    assert told.version == 1


async def test_a_change_made_while_the_broker_is_away_reaches_the_vehicle(
    room: Room, nats_server: Any
) -> None:
    back = asyncio.Event()

    async def notice() -> None:
        back.set()

    await room.broker.at_every_connect(notice)
    back.clear()
    nats_server.kill()
    await room.change("c-1", child_lock_enabled=True)

    nats_server.start()
    await asyncio.wait_for(back.wait(), 10)

    (told,) = await room.commands(1)
    assert told.settings.child_lock_enabled

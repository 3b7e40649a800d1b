import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from ecarus.remotecontrol.door.v1.door_update_pb2 import DoorUpdate, DoorUpdateType
from ecarus.remotecontrol.vehicle.v1 import report_pb2
from sqlalchemy import select

import services.diagnostics
from protocol.domains import Domain
from protocol.streams import DOOR_UPDATES, STREAMS, VEHICLE_EVENTS
from protocol.subjects import EventKind, event_subject
from services.diagnostics.adapters import store, vehicle_link
from services.diagnostics.domain.diagnosis import Diagnosis
from services.platform.consumer import Consumer
from services.platform.database import Database, open_database
from services.platform.dead_letter_keeper import DeadLetterWriter
from services.platform.jetstream import Broker
from services.platform.outbox import OutboxRelay
from services.telematics.broker import connect_broker
from tests.support.databases import migrated
from tests.support.report_harness import Fleet

VIN = "KMHSH81C7LU123456"
MIGRATIONS = Path(services.diagnostics.__file__).with_name("migrations")


def now() -> datetime:
    return datetime.now(UTC)


class DiagnosticsHarness:
    """The diagnostics service without its server."""

    def __init__(self, database: Database, broker: Broker, connect: Callable[[], Awaitable[Broker]]) -> None:
        self.database = database
        self.broker = broker
        self._connect = connect
        self._own: Broker | None = None
        self.fleet = Fleet()
        self._relay = OutboxRelay(database, store.outbox, vehicle_link.QUEUE, broker.publish_all, now)
        self.record = store.DiagnosisStore(database, self._relay, vehicle_link.outgoing, now)
        self._tasks: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        self._own = await self._connect()
        reader = self.fleet.reader(Domain.DIAGNOSTICS, self.database, store.sessions)
        reports = vehicle_link.VehicleReports(self.record, reader, now)
        hellos = self.fleet.hellos(self.database, store.sessions, reader)
        dead_letter_writer = DeadLetterWriter(self.database, store.dead_letters, now)
        consumers = [
            Consumer(self._own, vehicle_link.PLAN, reports.handle, dead_letter_writer.dead_letter),
            Consumer(self._own, vehicle_link.HELLO_PLAN, hellos.handle, dead_letter_writer.dead_letter),
        ]
        loops = [self._relay.run(), *(consumer.run() for consumer in consumers)]
        self._tasks = [asyncio.create_task(loop) for loop in loops]

    async def crash(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._own is not None:
            await self._own.client.close()

    async def report(self, sequence: int, *codes: str, times: int = 1) -> None:
        condition = report_pb2.COMPONENT_CONDITION_ERROR if codes else report_pb2.COMPONENT_CONDITION_ACTIVE
        component = report_pb2.Component(
            component_id="driver_actuator_01",
            name="Driver Door Actuator",
            condition=condition,
            health=0 if codes else 98,
            error_codes=codes,
        )
        message = report_pb2.DiagnosticsReport(boot_id="boot", sequence=sequence, components=[component])
        message.observed_at.FromDatetime(now() + timedelta(milliseconds=sequence))
        data = self.fleet.cars[VIN].side.seal_report(message).data
        for _ in range(times):
            await self.publish(data)

    async def greet(self) -> None:
        """The vehicle says hello, and is heard."""
        await self.publish(self.fleet.cars[VIN].hello(), EventKind.HELLO)
        async with asyncio.timeout(60):
            while VIN not in await self.database.read(lambda c: store.sessions.find_all(c, [VIN])):  # noqa: ASYNC110  # a database has no event
                await asyncio.sleep(0.01)

    async def publish(self, data: bytes, event: EventKind = EventKind.DIAGNOSTICS) -> None:
        await self.broker.jetstream.publish(event_subject(VIN, event), data)

    async def until(self, sequence: int) -> Diagnosis:
        async with asyncio.timeout(60):
            while True:
                diagnosis = await self.record.find(VIN)
                if diagnosis is not None and diagnosis.check.sequence == sequence:
                    return diagnosis
                await asyncio.sleep(0.01)

    async def updates(self, count: int) -> list[tuple[str, bool]]:
        subscription = await self.broker.jetstream.subscribe(
            f"door.update.{VIN}", stream=DOOR_UPDATES, ordered_consumer=True
        )
        told: list[tuple[str, bool]] = []
        for _ in range(count):
            update = DoorUpdate.FromString((await subscription.next_msg(timeout=60)).data)
            assert (update.type, update.vin, update.id) == (DoorUpdateType.SYSTEM_ALERT, VIN, "")
            told.append((update.system_alert.code, update.system_alert.cleared))
        info = await self.broker.jetstream.stream_info(DOOR_UPDATES)
        assert info.state.messages == count
        return told


@pytest.fixture
async def service(nats_server: Any, tmp_path: Path) -> AsyncIterator[DiagnosticsHarness]:
    url = f"sqlite:///{tmp_path}/diagnostics.sqlite3"
    await asyncio.to_thread(migrated, url, MIGRATIONS, store.HEAD)
    database = await open_database(url)
    connect = partial(connect_broker, nats_server.settings(), "service-diagnostics")
    broker = await connect()
    await broker.ensure_streams(STREAMS[VEHICLE_EVENTS], STREAMS[DOOR_UPDATES])
    service = DiagnosticsHarness(database, broker, connect)
    await service.run()
    await service.greet()
    yield service
    await service.crash()
    await broker.close()
    await database.close()


async def test_an_alert_comes_and_goes_and_those_who_watch_are_told_once(service: DiagnosticsHarness) -> None:
    await service.report(1, times=2)
    await service.report(2, "B1A01", times=3)
    await service.report(3, "B1A01")
    await service.report(4)

    assert (await service.until(4)).alerts == ()
    assert await service.updates(2) == [("B1A01", False), ("B1A01", True)]


async def test_garbage_is_kept_aside_and_blocks_nothing(service: DiagnosticsHarness) -> None:
    await service.publish(b"garbage")
    await service.publish(service.fleet.cars[VIN].side.seal_report(report_pb2.DiagnosticsReport()).data)
    forged = service.fleet.cars[VIN].side.seal_report(report_pb2.DiagnosticsReport()).data
    await service.publish(forged[:-1] + bytes([forged[-1] ^ 1]))
    await service.report(1, "B1A01")

    diagnosis = await service.until(1)

    assert [alert.code for alert in diagnosis.alerts] == ["B1A01"]
    letters: Sequence[Any] = ()
    async with asyncio.timeout(60):  # poison becomes a dead letter after the rest of its batch is kept
        while len(letters) < 3:
            letters = await service.database.read(lambda c: c.execute(select(store.dead_letters.table)).all())
            await asyncio.sleep(0.01)
    assert [letter.subject.rpartition(".")[2] for letter in letters] == ["diagnostics"] * 3


async def test_what_was_reported_while_the_room_was_down_is_taken_in(service: DiagnosticsHarness) -> None:
    await service.crash()
    await service.report(1, "B1A01")

    await service.run()

    await service.until(1)
    assert await service.updates(1) == [("B1A01", False)]

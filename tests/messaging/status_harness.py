"""The status service without its gRPC side, its vehicles and its readers."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ecarus.remotecontrol.door.v1 import door_update_pb2
from ecarus.remotecontrol.vehicle.v1 import body_pb2, report_pb2

import services.status
from protocol.domains import Domain
from protocol.streams import DOOR_UPDATES, ROOM_EVENTS, STREAMS, VEHICLE_EVENTS, status_stream
from protocol.subjects import KEPT_UPDATES, EventKind, event_subject
from services.platform.database import open_database
from services.platform.dead_letter_keeper import DeadLetterWriter
from services.platform.outbox import OutboxRelay
from services.platform.subscriptions import consumers
from services.status.adapters import store, translate
from services.status.adapters.confirmation_sweeper import ConfirmationSweeper
from services.status.adapters.model_limits import ModelLimits
from services.status.adapters.revocations import Revocations
from services.status.adapters.update_feed import JetStreamLog, StreamTail
from services.status.adapters.vehicle_link import (
    AdvisoryPublisher,
    ShownResultsPublisher,
    VehicleIntake,
    listen_for_losses,
    publish_update,
)
from services.status.domain.rights import WatchRight, WatchRightEndedError
from services.status.domain.updates import LogPosition, Reset, Update
from services.status.usecases.advisories import AdvisoryFilter
from services.status.usecases.door_status import watch_updates
from services.status.usecases.hub import Hub, Watcher
from services.status.usecases.presence import LostVehicles
from services.status.usecases.streams import Streams
from services.telematics.broker import connect_broker
from services.telematics.quotas import VehicleQuotas
from services.telematics.refusal_hints import HINT_SECONDS, RefusalHints
from services.telematics.refused_reports import RefusedReports
from services.telematics.senders import VehicleSenders
from services.vehicle_models.catalogue import VehicleModels
from tests.support.databases import migrated
from tests.support.vehicle_models import MODELS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from services.platform.database import Database
    from services.platform.jetstream import Broker
    from services.platform.settings import ServiceSettings
    from tests.support.report_harness import Fleet

VIN = "KMHSH81C7LU123456"
OTHER = "KMHSH81C7LU654321"
WAIT_SECONDS = 60
MIGRATIONS = Path(services.status.__file__).with_name("migrations")


def now_us() -> int:
    return time.time_ns() // 1_000


def report(
    sequence: int, *, observed_at_us: int | None = None, unlocked: bool = False, speed: float = 0.0
) -> report_pb2.StatusReport:
    made = report_pb2.StatusReport(
        boot_id="boot",
        sequence=sequence,
        ignition=body_pb2.IGNITION_OFF,
        gear=body_pb2.GEAR_P,
        speed_kmh=speed,
        reporting_interval_seconds=30,
    )
    made.observed_at.FromMicroseconds(observed_at_us or now_us())
    for door in range(1, 7):
        made.doors.add(door=door, locked=not (unlocked and door == 1), open=False)
    return made


class Server(Protocol):
    """The nats-server of these tests' conftest."""

    def settings(self) -> ServiceSettings: ...

    def restart(self) -> None: ...

    def wipe(self) -> None: ...


class _NoEviction:
    def evict(self, subject: str, vin: str) -> None:
        """Nothing is cached here."""


@dataclass(slots=True)
class StatusHarness:
    """The service without its gRPC side, on its own connection to the broker."""

    database: Database
    broker: Broker
    records: store.StatusStore
    hub: Hub
    log: JetStreamLog
    fleet: Fleet
    lost: LostVehicles
    loops: list[asyncio.Task[None]]

    async def stop(self) -> None:
        # Python 3.11's wait_for, inside the NATS client, forgets a cancellation that meets its answer.
        while running := [task for task in self.loops if not task.done()]:
            for task in running:
                task.cancel()
            await asyncio.wait(running, timeout=0.5)
        await self.broker.close()
        await self.database.close()

    async def greet(self, vin: str = VIN) -> None:
        """The vehicle says hello, and is heard."""
        await self.publish(vin, EventKind.HELLO, self.fleet.cars[vin].hello())
        epoch = self.fleet.cars[vin].epoch

        async def learned() -> bool:
            found = await self.database.read(lambda c: store.sessions.find_all(c, [vin]))
            return vin in found and found[vin].epoch == epoch

        await until(learned)

    async def say(self, message: report_pb2.StatusReport, vin: str = VIN) -> bytes:
        data = self.fleet.cars[vin].side.seal_report(message).data
        await self.publish(vin, EventKind.STATUS, data)
        return data

    async def answer(self, result: report_pb2.CommandResult, vin: str = VIN) -> bytes:
        data = self.fleet.cars[vin].side.seal_answer("answer", bytes(32), result).data
        await self.publish(vin, EventKind.RESULT, data)
        return data

    async def publish(self, vin: str, event: EventKind, data: bytes) -> None:
        await self.broker.jetstream.publish(event_subject(vin, event), data)

    async def told(self, subject: str) -> list[bytes]:
        """What the relay sent there, and the broker keeps."""
        table = store.outbox.table
        rows = await self.database.read(
            lambda c: c.execute(
                table.select().where(table.c.subject == subject).order_by(table.c.sequence)
            ).all()
        )
        return [bytes(row.payload) for row in rows if row.sent_at is not None]

    async def observed_at_us(self, vin: str = VIN) -> int:
        found = await self.records.last_report(vin)
        if found is None:
            return 0
        at = report_pb2.StatusReport.FromString(found.payload).observed_at
        return at.seconds * 1_000_000 + at.nanos // 1_000

    async def settled_results(self, count: int) -> bool:
        """Whether so many results were delivered and acknowledged."""
        info = await self.broker.jetstream.consumer_info(VEHICLE_EVENTS, "status-results")
        floor = info.ack_floor.consumer_seq if info.ack_floor else 0
        return floor is not None and floor >= count

    async def dead_letters(self) -> list[str]:
        table = store.dead_letters.table
        rows = await self.database.read(lambda c: c.execute(table.select().order_by(table.c.id)).all())
        return [row.reason for row in rows]


@contextlib.asynccontextmanager
async def running_room(
    nats_server: Server, folder: Path, fleet: Fleet, doubt_seconds: float = 0.05
) -> AsyncIterator[StatusHarness]:
    url = f"sqlite:///{folder}/status.sqlite3"
    await asyncio.to_thread(migrated, url, MIGRATIONS, store.HEAD)
    database = await open_database(url)
    broker = await connect_broker(nats_server.settings(), name="service-status")
    partitions = range(8)
    await broker.ensure_streams(
        STREAMS[VEHICLE_EVENTS],
        STREAMS[DOOR_UPDATES],
        STREAMS[ROOM_EVENTS],
        *(status_stream(n) for n in partitions),
    )
    relay = OutboxRelay(
        database, store.outbox, translate.QUEUE, broker.publish_all, lambda: datetime.now(UTC)
    )
    records = store.StatusStore(database, relay, translate)
    lost = LostVehicles()
    await listen_for_losses(broker, lost, now_us)
    reader = fleet.reader(Domain.STATUS, database, store.sessions)
    intake = VehicleIntake(
        records,
        AdvisoryFilter(AdvisoryPublisher(broker).publish, time.monotonic),
        reader,
        fleet.answers,
        fleet.directory,  # type: ignore[arg-type]  # the fake
        fleet.hellos(database, store.sessions, reader),
        ShownResultsPublisher(broker, relay).publish,
        now_us,
        limits=ModelLimits(VehicleModels(MODELS)),
    )
    hub = Hub(time.monotonic, time.time, shared=Streams(50, 50, 50))
    updates = StreamTail(
        broker,
        DOOR_UPDATES,
        KEPT_UPDATES,
        partial(publish_update, hub, lost),
        hub.start_at,
        hub.restart_at,
    )
    await updates.begin()
    revocations = Revocations(hub, _NoEviction())  # type: ignore[arg-type]  # a verifier without keys
    revoked = StreamTail(
        broker,
        ROOM_EVENTS,
        "room.access.revoked",
        revocations.deliver,
        revocations.place_changed,
        revocations.place_changed,
        since=lambda: datetime.now(UTC),
    )
    await revoked.begin()
    loops = [relay.run(), updates.watch(), revoked.watch()]
    loops += [ConfirmationSweeper(records, now_us, doubt_seconds, lambda _: asyncio.sleep(0.02)).run()]
    dead_letter_writer = DeadLetterWriter(database, store.dead_letters, lambda: datetime.now(UTC))
    taken = intake.subscriptions(partitions, 512, 4_000)
    dead_letter = RefusedReports(HINT_SECONDS, RefusalHints(broker).publish).after(
        dead_letter_writer.dead_letter
    )
    loops += [
        consumer.run() for consumer in consumers(broker, taken, dead_letter, VehicleSenders(VehicleQuotas))
    ]
    tasks = [asyncio.create_task(c) for c in loops]
    service = StatusHarness(database, broker, records, hub, JetStreamLog(broker), fleet, lost, tasks)
    try:
        yield service
    finally:
        await service.stop()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            answer = condition()
            if asyncio.iscoroutine(answer):
                answer = await answer
            if answer:
                return
            await asyncio.sleep(0.01)


class Reader:
    """Reads updates in the background, as a client would."""

    def __init__(self, service: StatusHarness, after: LogPosition | None = None, vin: str = VIN) -> None:
        self.items: list[Update | Reset] = []
        self.ended: Exception | None = None
        self._service, self._after, self._vin = service, after, vin
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        watcher = Watcher(self._vin, WatchRight("user-123", "user-123"), heartbeats=False)
        try:
            with self._service.hub.watching(watcher):
                async for item in watch_updates(self._service.log, watcher, self._after):
                    self.items.append(item)  # type: ignore[arg-type]  # no heartbeats were asked for
        except WatchRightEndedError as ended:
            self.ended = ended

    @property
    def ids(self) -> list[str]:
        return [str(item.position) for item in self.items]

    @property
    def kinds(self) -> list[str]:
        return [
            door_update_pb2.DoorChangeType.Value.Name(
                door_update_pb2.DoorUpdate.FromString(item.payload).door_status.change_type
            )
            if isinstance(item, Update)
            else "RESET"
            for item in self.items
        ]

    async def leave(self) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

"""The status room on a real broker: reports in, updates out, whatever happens to either side."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest
from ecarus.remotecontrol.access.v1.grant_pb2 import GrantRevoked
from ecarus.remotecontrol.door.v1 import door_update_pb2, room_event_pb2
from ecarus.remotecontrol.vehicle.v1 import body_pb2, report_pb2

from protocol.broker import (
    DOOR_UPDATES,
    ROOM_EVENTS,
    STREAMS,
    VEHICLE_EVENTS,
    Event,
    event_subject,
    status_stream,
)
from protocol.envelope import pack
from services.runtime import jetstream
from services.runtime.database import open_database
from services.runtime.migration import migrate
from services.runtime.outbox import OutboxRelay
from services.status import store, translate
from services.status.conditions import ConditionTeller
from services.status.domain import Position, Reset, RightEnded, Update
from services.status.hub import Hub, Watcher
from services.status.update_feed import JetStreamLog, StreamTail
from services.status.usecases import watch_updates
from services.status.vehicle_link import HintPublisher, ReportIntake, Revocations, plans_of, publish_update

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from nats.aio.msg import Msg

    from services.runtime.database import Database
    from services.runtime.settings import RoomSettings

VIN = "KMHSH81C7LU123456"
OTHER = "KMHSH81C7LU654321"
WAIT_SECONDS = 20
MIGRATIONS = Path(store.__file__).with_name("migrations")


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
        made.doors.add(door=door, locked=not (unlocked and door == 1))
    return made


class Server(Protocol):
    """The nats-server of these tests' conftest."""

    def settings(self) -> RoomSettings: ...

    def restart(self) -> None: ...

    def wipe(self) -> None: ...


class _NoEviction:
    def evict(self, subject: str, vin: str) -> None:
        """Nothing is cached here."""


@dataclass(slots=True)
class Room:
    """The room without its gRPC side, on its own connection to the broker."""

    database: Database
    broker: jetstream.Broker
    records: store.StatusStore
    hub: Hub
    log: JetStreamLog
    loops: list[asyncio.Task[None]]

    async def stop(self) -> None:
        # Python 3.11's wait_for, inside the NATS client, forgets a cancellation that meets its answer.
        while running := [task for task in self.loops if not task.done()]:
            for task in running:
                task.cancel()
            await asyncio.wait(running, timeout=0.5)
        await self.broker.close()
        await self.database.close()

    async def say(
        self, message: report_pb2.StatusReport, vin: str = VIN, message_id: str | None = None
    ) -> None:
        data = pack(vin, message_id or f"m{message.sequence}", message, datetime.now(UTC))
        await self.broker.jetstream.publish(event_subject(vin, Event.STATUS), data)

    async def observed_at_us(self, vin: str = VIN) -> int:
        found = await self.records.last_report(vin)
        if found is None:
            return 0
        at = report_pb2.StatusReport.FromString(found[0]).observed_at
        return at.seconds * 1_000_000 + at.nanos // 1_000

    async def dead_letters(self) -> list[str]:
        table = store.dead_letters.table
        rows = await self.database.read(lambda c: c.execute(table.select().order_by(table.c.id)).all())
        return [row.reason for row in rows]


@contextlib.asynccontextmanager
async def running_room(nats_server: Server, folder: Path) -> AsyncIterator[Room]:
    url = f"sqlite:///{folder}/status.sqlite3"
    await asyncio.to_thread(migrate, url, MIGRATIONS, store.HEAD)
    database = await open_database(url)
    broker = await jetstream.connect(nats_server.settings(), name="room-status")
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
    records = store.StatusStore(database, relay, translate.messages_of)
    intake = ReportIntake(records, ConditionTeller(HintPublisher(broker).tell, time.monotonic), now_us)
    hub = Hub(time.monotonic)
    updates = StreamTail(
        broker, DOOR_UPDATES, "door.update.*", partial(publish_update, hub), hub.start_at, hub.restart_at
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
    loops += [intake.consumer(broker, plan).run() for plan in plans_of(partitions, 512, 4_000)]
    room = Room(database, broker, records, hub, JetStreamLog(broker), [asyncio.create_task(c) for c in loops])
    try:
        yield room
    finally:
        await room.stop()


@pytest.fixture
async def room(nats_server: Server, tmp_path: Path) -> AsyncIterator[Room]:
    async with running_room(nats_server, tmp_path) as room:
        yield room


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

    def __init__(self, room: Room, after: Position | None = None, vin: str = VIN) -> None:
        self.items: list[Update | Reset] = []
        self.ended: Exception | None = None
        self._room, self._after, self._vin = room, after, vin
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        watcher = Watcher(self._vin, frozenset({"user-123"}), heartbeats=False)
        try:
            with self._room.hub.watching(watcher, 0.0):
                async for item in watch_updates(self._room.log, watcher, self._after):
                    self.items.append(item)  # type: ignore[arg-type]  # no heartbeats were asked for
        except RightEnded as ended:
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


async def test_a_change_reaches_the_reader_once_and_a_redelivery_changes_nothing(room: Room) -> None:
    reader = Reader(room)
    first, second = report(1), report(2, unlocked=True)
    for message in (first, second, second, first):
        await room.say(message)
    await room.say(report(3))
    await until(lambda: len(reader.items) >= 2)
    assert reader.kinds == ["UNLOCKED", "LOCKED"]
    assert len(set(reader.ids)) == 2
    await reader.leave()
    assert room.hub.watcher_count == 0


async def test_reports_out_of_order_never_take_the_status_back(room: Room) -> None:
    now = now_us()
    await room.say(report(2, observed_at_us=now), message_id="late")
    await until(room.observed_at_us)
    await room.say(report(1, observed_at_us=now - 60_000_000, unlocked=True), message_id="early")
    await room.say(report(3, observed_at_us=now + 1_000), message_id="last")

    async def arrived() -> bool:
        return await room.observed_at_us() == now + 1_000

    await until(arrived)
    assert room.hub.position.sequence == 0


async def test_poison_is_kept_aside_with_its_reason_and_blocks_nobody(room: Room) -> None:
    js = room.broker.jetstream
    subject = event_subject(VIN, Event.STATUS)
    await js.publish(subject, b"\xff not an envelope")
    await js.publish(subject, pack(OTHER, "foreign", report(1), datetime.now(UTC)))
    await room.say(report(1, observed_at_us=now_us() + 3_600_000_000))
    no_doors = report(2)
    del no_doors.doors[:]
    await room.say(no_doors)
    await room.say(report(3, speed=-1.0))
    await room.say(report(4))
    await until(room.observed_at_us)
    assert sorted(await room.dead_letters()) == sorted(
        [
            "not an envelope",
            "for another vehicle than its subject's",
            "observed_at in the future",
            "no doors",
            "speed impossible",
        ]
    )


async def test_a_late_result_refreshes_the_status(room: Room) -> None:
    await room.say(report(1))
    await until(room.observed_at_us)
    reader = Reader(room)
    after = report(2, unlocked=True)
    result = report_pb2.CommandResult(command_id="cmd", status=after)
    data = pack(VIN, "result", result, datetime.now(UTC))
    await room.broker.jetstream.publish(event_subject(VIN, Event.RESULT), data)
    await until(lambda: reader.kinds == ["UNLOCKED"])
    await reader.leave()


async def test_a_crash_between_commit_and_acknowledgement_repeats_nothing(
    nats_server: Server, tmp_path: Path
) -> None:
    async with running_room(nats_server, tmp_path) as room:
        await room.say(report(1))
        await room.say(report(2, unlocked=True))
        await until(lambda: room.hub.position.sequence == 1)
        for n in range(8):  # as if no acknowledgement had arrived: everything is delivered again
            await room.broker.jetstream.delete_consumer(status_stream(n).name, f"status-{n}")
    async with running_room(nats_server, tmp_path) as again:
        await again.say(report(3))
        await until(lambda: again.hub.position.sequence >= 2)
        info = await again.broker.jetstream.stream_info(DOOR_UPDATES)
        assert info.state.messages == 2


async def test_a_broker_that_restarts_loses_no_update_of_a_reader(room: Room, nats_server: Server) -> None:
    reader = Reader(room)
    await room.say(report(1))
    await room.say(report(2, unlocked=True))
    await until(lambda: len(reader.items) == 1)
    await asyncio.to_thread(nats_server.restart)
    await until(lambda: room.broker.connected)
    await room.say(report(3))
    await room.say(report(4, unlocked=True))
    await until(lambda: len(reader.items) == 3)
    assert reader.kinds == ["UNLOCKED", "LOCKED", "UNLOCKED"]
    resumed = Reader(room, reader.items[0].position)
    await until(lambda: len(resumed.items) == 2)
    assert resumed.ids == reader.ids[1:]
    await reader.leave()
    await resumed.leave()


async def test_a_broker_that_lost_its_disk_resets_its_readers(room: Room, nats_server: Server) -> None:
    reader = Reader(room)
    await room.say(report(1))
    await room.say(report(2, unlocked=True))
    await until(lambda: len(reader.items) == 1)
    before = reader.items[0].position
    await asyncio.to_thread(nats_server.wipe)
    await until(lambda: "RESET" in reader.kinds)
    await room.say(report(3))
    await until(lambda: reader.kinds == ["UNLOCKED", "RESET", "LOCKED"])
    resumed = Reader(room, before)
    await until(lambda: resumed.kinds == ["RESET"])
    await reader.leave()
    await resumed.leave()


async def test_resuming_has_no_gap_no_duplicate_and_no_foreign_update(room: Room) -> None:
    reader = Reader(room)
    for number in range(1, 60):
        await room.say(report(number, unlocked=number % 2 == 0))
        await room.say(report(number, unlocked=number % 2 == 0), vin=OTHER)
    await until(lambda: len(reader.items) == 58)
    for start in (0, 20, 57):
        await resumes(room, reader.items[start].position, reader.ids[start + 1 :])
    await reader.leave()


async def resumes(room: Room, after: Position, expected: list[str]) -> None:
    resumed = Reader(room, after)
    await until(lambda: len(resumed.items) == len(expected))
    assert resumed.ids == expected
    await resumed.leave()


async def test_a_revoked_right_ends_its_streams_at_once(room: Room) -> None:
    reader = Reader(room)
    other = Reader(room, vin=OTHER)
    await until(lambda: room.hub.watcher_count == 2)
    revoked = GrantRevoked(grant_id="g", principal="user-123", vin=VIN)
    await room.broker.jetstream.publish("room.access.revoked", revoked.SerializeToString())
    await until(lambda: isinstance(reader.ended, RightEnded))
    assert other.ended is None
    await other.leave()


async def test_what_stands_in_a_commands_way_is_hinted_and_its_end_too(room: Room) -> None:
    heard: list[room_event_pb2.VehicleCondition] = []

    async def hear(message: Msg) -> None:
        heard.append(room_event_pb2.VehicleCondition.FromString(message.data))

    await room.broker.client.subscribe("hint.condition.*", cb=hear)
    await room.say(report(1, speed=30.0))
    await until(lambda: len(heard) == 1)
    await room.say(report(2))
    await until(lambda: len(heard) == 2)
    assert [hint.speed_kmh for hint in heard] == [30.0, 0.0]

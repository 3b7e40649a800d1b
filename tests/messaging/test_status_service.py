"""The status service on a real broker: reports in, updates out, whatever happens to either side."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from ecarus.remotecontrol.access.v1.grant_pb2 import GrantRevoked
from ecarus.remotecontrol.door.v1 import room_event_pb2
from ecarus.remotecontrol.vehicle.v1 import report_pb2

from protocol.streams import DOOR_UPDATES, VEHICLE_EVENTS, status_stream
from protocol.subjects import EventKind, event_subject
from services.status.domain.rights import WatchRightEndedError
from tests.messaging.status_harness import (
    OTHER,
    VIN,
    Reader,
    Server,
    StatusHarness,
    now_us,
    report,
    running_room,
    until,
)
from tests.support.report_harness import Fleet

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from nats.aio.msg import Msg

    from services.status.domain.updates import LogPosition


@pytest.fixture
async def service(nats_server: Server, tmp_path: Path) -> AsyncIterator[StatusHarness]:
    async with running_room(nats_server, tmp_path, Fleet()) as service:
        for vin in (VIN, OTHER):
            await service.greet(vin)
        yield service


async def test_a_change_reaches_the_reader_once_and_a_redelivery_changes_nothing(
    service: StatusHarness,
) -> None:
    reader = Reader(service)
    first, second = await service.say(report(1)), await service.say(report(2, unlocked=True))
    for data in (second, first):
        await service.publish(VIN, EventKind.STATUS, data)
    await service.say(report(3))
    await until(lambda: len(reader.items) >= 2)
    assert reader.kinds == ["UNLOCKED", "LOCKED"]
    assert len(set(reader.ids)) == 2
    assert await service.dead_letters() == []
    await reader.leave()
    assert service.hub.watcher_count == 0


async def test_reports_out_of_order_never_take_the_status_back(service: StatusHarness) -> None:
    now = now_us()
    await service.say(report(2, observed_at_us=now))
    await until(service.observed_at_us)
    await service.say(report(1, observed_at_us=now - 60_000_000, unlocked=True))
    await service.say(report(3, observed_at_us=now + 1_000))

    async def arrived() -> bool:
        return await service.observed_at_us() == now + 1_000

    await until(arrived)
    assert service.hub.position.sequence == 0


async def test_poison_is_kept_aside_with_its_reason_and_blocks_nobody(service: StatusHarness) -> None:
    await service.publish(VIN, EventKind.STATUS, b"\xff not a report of this protocol")
    await service.publish(VIN, EventKind.RESULT, b"\xff")
    await service.publish(VIN, EventKind.HELLO, b"\xff")
    forged = bytearray(service.fleet.cars[VIN].side.seal_report(report(1)).data)
    forged[-1] ^= 1
    await service.publish(VIN, EventKind.STATUS, bytes(forged))
    await service.say(report(1, observed_at_us=now_us() + 3_600_000_000))
    no_doors = report(2)
    del no_doors.doors[:]
    await service.say(no_doors)
    for sequence in (3, 4):
        await service.say(report(sequence, speed=-1.0))
    await service.say(report(5))
    await until(service.observed_at_us)

    async def dead_lettered() -> bool:
        return len(await service.dead_letters()) == 5

    await until(dead_lettered)
    assert sorted(await service.dead_letters()) == sorted(
        [
            "MALFORMED: not a report of this version",
            "MALFORMED: not a sealed message of this version",
            "MALFORMED: not a sealed message of this version",
            "NOT_FOR_US: it does not open",
            "CUT: accepted without speed_kmh",
        ]
    )


async def test_a_late_result_refreshes_the_status(service: StatusHarness) -> None:
    await service.say(report(1))
    await until(service.observed_at_us)
    reader = Reader(service)
    await service.answer(report_pb2.CommandResult(command_id="cmd", status=report(2, unlocked=True)))
    await until(lambda: reader.kinds == ["UNLOCKED"])
    await reader.leave()


async def test_a_crash_between_commit_and_acknowledgement_repeats_nothing(
    nats_server: Server, tmp_path: Path
) -> None:
    fleet = Fleet()
    async with running_room(nats_server, tmp_path, fleet) as service:
        await service.greet()
        await service.say(report(1))
        await service.say(report(2, unlocked=True))
        await until(lambda: service.hub.position.sequence == 1)
        for n in range(8):  # as if no acknowledgement had arrived: everything is delivered again
            await service.broker.jetstream.delete_consumer(status_stream(n).name, f"status-{n}")
    async with running_room(nats_server, tmp_path, fleet) as again:
        await again.say(report(3))
        await until(lambda: again.hub.position.sequence >= 2)
        info = await again.broker.jetstream.stream_info(DOOR_UPDATES)
        assert info.state.messages == 2


async def test_a_broker_that_restarts_loses_no_update_of_a_reader(
    service: StatusHarness, nats_server: Server
) -> None:
    reader = Reader(service)
    await service.say(report(1))
    await service.say(report(2, unlocked=True))
    await until(lambda: len(reader.items) == 1)
    await asyncio.to_thread(nats_server.restart)
    await until(lambda: service.broker.connected)
    await service.say(report(3))
    await service.say(report(4, unlocked=True))
    await until(lambda: len(reader.items) == 3)
    assert reader.kinds == ["UNLOCKED", "LOCKED", "UNLOCKED"]
    resumed = Reader(service, reader.items[0].position)
    await until(lambda: len(resumed.items) == 2)
    assert resumed.ids == reader.ids[1:]
    await reader.leave()
    await resumed.leave()


async def test_a_broker_that_lost_its_disk_resets_its_readers(
    service: StatusHarness, nats_server: Server
) -> None:
    reader = Reader(service)
    await service.say(report(1))
    await service.say(report(2, unlocked=True))
    await until(lambda: len(reader.items) == 1)
    before = reader.items[0].position
    await asyncio.to_thread(nats_server.wipe)
    await until(lambda: "RESET" in reader.kinds)
    await service.say(report(3))
    await until(lambda: reader.kinds == ["UNLOCKED", "RESET", "LOCKED"])
    resumed = Reader(service, before)
    await until(lambda: resumed.kinds == ["RESET"])
    await reader.leave()
    await resumed.leave()


async def test_resuming_has_no_gap_no_duplicate_and_no_foreign_update(service: StatusHarness) -> None:
    reader = Reader(service)
    for number in range(1, 60):
        await service.say(report(number, unlocked=number % 2 == 0))
        await service.say(report(number, unlocked=number % 2 == 0), vin=OTHER)
    await until(lambda: len(reader.items) == 58)
    for start in (0, 20, 57):
        await resumes(service, reader.items[start].position, reader.ids[start + 1 :])
    await reader.leave()


async def resumes(service: StatusHarness, after: LogPosition, expected: list[str]) -> None:
    resumed = Reader(service, after)
    await until(lambda: len(resumed.items) == len(expected))
    assert resumed.ids == expected
    await resumed.leave()


async def test_a_revoked_right_ends_its_streams_at_once(service: StatusHarness) -> None:
    reader = Reader(service)
    other = Reader(service, vin=OTHER)
    await until(lambda: service.hub.watcher_count == 2)
    revoked = GrantRevoked(grant_id="g", principal="user-123", vin=VIN)
    await service.broker.jetstream.publish("room.access.revoked", revoked.SerializeToString())
    await until(lambda: isinstance(reader.ended, WatchRightEndedError))
    assert other.ended is None
    await other.leave()


async def test_what_stands_in_a_commands_way_is_hinted_and_its_end_too(service: StatusHarness) -> None:
    received: list[room_event_pb2.VehicleCondition] = []

    async def receive(message: Msg) -> None:
        received.append(room_event_pb2.VehicleCondition.FromString(message.data))

    await service.broker.client.subscribe("hint.condition.*", cb=receive)
    await service.say(report(1, speed=30.0))
    await until(lambda: len(received) == 1)
    await service.say(report(2))
    await until(lambda: len(received) == 2)
    assert [hint.speed_kmh for hint in received] == [30.0, 0.0]


async def test_the_doors_of_a_result_are_shown_and_told_of_before_it_is_said_that_they_are(
    service: StatusHarness,
) -> None:
    said: list[tuple[str, object]] = []

    async def receive(message: Msg) -> None:
        said.append((message.subject, message.data))

    await service.say(report(1))
    await until(service.observed_at_us)
    await service.broker.client.subscribe("door.update.*", cb=receive)
    await service.broker.client.subscribe("hint.shown", cb=receive)
    result = report_pb2.CommandResult(
        command_id="cmd-1", outcome=report_pb2.COMMAND_OUTCOME_SUCCEEDED, status=report(3, unlocked=True)
    )
    await service.answer(result)
    await until(lambda: any(subject == "hint.shown" for subject, _ in said))
    found = await service.records.last_report(VIN)
    assert found is not None
    assert report_pb2.StatusReport.FromString(found.payload).sequence == 3
    assert [subject for subject, _ in said] == [f"door.update.{VIN}", "hint.shown"]
    stored = await service.broker.jetstream.get_last_msg(VEHICLE_EVENTS, event_subject(VIN, EventKind.RESULT))
    assert stored.time is not None
    (shown,) = room_event_pb2.ShownResults.FromString(said[-1][1]).results  # type: ignore[arg-type]
    assert (shown.vin, shown.stored_at_nanos // 1_000) == (VIN, round(stored.time.timestamp() * 1_000_000))
    await service.publish(VIN, EventKind.RESULT, b"nonsense")  # what will show nothing keeps nobody waiting
    await until(lambda: sum(subject == "hint.shown" for subject, _ in said) == 2)

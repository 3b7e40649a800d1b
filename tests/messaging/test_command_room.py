"""The command room as it is wired, on a real broker, with a vehicle that sleeps, loses and repeats messages."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import grpc
import nats
import pytest
import pytest_asyncio
from ecarus.remotecontrol.door.v1 import door_update_pb2
from ecarus.remotecontrol.door.v1.door_command_pb2 import CommandStatus, FailureReason
from ecarus.remotecontrol.door.v1.room_event_pb2 import StatusChecks
from ecarus.remotecontrol.vehicle.v1 import report_pb2

from protocol.broker import DOOR_UPDATES, STATUS_CHECKS_SUBJECT, VEHICLE_COMMANDS, Event
from services.command.__main__ import CommandSettings, main
from services.runtime.settings import load
from tests.messaging.command_stand import VIN, App, FakeVehicle, Stand, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

OTHER = "KMHSH81C7LU654321"
TTL_SECONDS = 4
ENDS = ("SUCCESS", "FAILED", "TIMEOUT", "CANCELLED")


@pytest_asyncio.fixture
async def stand(nats_server: Any, tmp_path: Path) -> AsyncIterator[Stand]:
    stand = Stand(tmp_path, nats_server)
    await stand.access.come_back()
    stop = asyncio.Event()
    settings = load(CommandSettings, stand.environment(ttl_seconds=TTL_SECONDS))
    room = asyncio.create_task(main(settings, stop))
    yield stand
    stop.set()
    await room
    await stand.access.go_away()


@pytest_asyncio.fixture
async def app(stand: Stand) -> AsyncIterator[App]:
    async with stand.edge() as channel:
        app = App(stand, channel)
        async with asyncio.timeout(20):
            await channel.channel_ready()
        yield app


@pytest_asyncio.fixture
async def vehicle(nats_server: Any) -> AsyncIterator[FakeVehicle]:
    vehicle = FakeVehicle(nats_server)
    yield vehicle
    await vehicle.sleep()


def rows(stand: Stand, query: str) -> list[Any]:
    with closing(sqlite3.connect(stand.database)) as connection:
        return connection.execute(query).fetchall()


async def queued(server: Any) -> int:
    settings = server.settings()
    client = await nats.connect(
        server.url, user=settings.nats_user, password=settings.nats_password_file.read_text()
    )
    info = await client.jetstream().stream_info(VEHICLE_COMMANDS)
    await client.close()
    return info.state.last_seq


async def test_a_command_is_carried_out_and_watchers_hear_of_each_step(
    app: App, vehicle: FakeVehicle, nats_server: Any
) -> None:
    await vehicle.wake()
    vehicle.duplicate_next()
    command_id = await app.unlock()
    details = await app.reaches(command_id, *ENDS)
    assert details.status == CommandStatus.SUCCESS
    assert vehicle.actuated == [command_id]
    times = [stage.time.ToMilliseconds() for stage in details.stages]
    assert times == sorted(times)
    assert len(times) == 5
    settings = nats_server.settings()
    client = await nats.connect(
        nats_server.url, user=settings.nats_user, password=settings.nats_password_file.read_text()
    )
    jetstream = client.jetstream()

    async def announced() -> bool:
        return (await jetstream.stream_info(DOOR_UPDATES)).state.messages == 3

    await until(announced)
    heard = [
        door_update_pb2.DoorUpdate.FromString((await jetstream.get_msg(DOOR_UPDATES, n)).data or b"")
        for n in (1, 2, 3)
    ]
    await client.close()
    assert [CommandStatus.Value.Name(update.command_status.status) for update in heard] == [
        "PENDING",
        "IN_PROGRESS",
        "SUCCESS",
    ]


async def test_a_sleeping_vehicle_gets_it_when_it_wakes(app: App, vehicle: FakeVehicle) -> None:
    command_id = await app.unlock()
    await app.has_left(command_id)
    await vehicle.wake()
    assert (await app.reaches(command_id, *ENDS)).status == CommandStatus.SUCCESS


async def test_a_vehicle_that_never_answers_may_have_acted_and_its_late_word_is_kept(
    app: App, vehicle: FakeVehicle
) -> None:
    vehicle.hold = True
    await vehicle.wake()
    command_id = await app.unlock()
    await app.reaches(command_id, "IN_PROGRESS")
    details = await app.reaches(command_id, *ENDS)
    assert (details.status, details.may_have_succeeded) == (CommandStatus.TIMEOUT, True)
    vehicle.duplicate_next()
    await vehicle.finish(command_id)

    async def has_late_result() -> Any:
        details = await app.details(command_id)
        return details if details.HasField("late_result") else None

    late = await until(has_late_result)
    assert (late.status, late.late_result.status) == (CommandStatus.TIMEOUT, CommandStatus.SUCCESS)


async def test_what_was_lost_on_the_way_times_out_and_the_next_is_carried_out(
    app: App, vehicle: FakeVehicle
) -> None:
    vehicle.drop_next()
    await vehicle.wake()
    first = await app.unlock()
    assert (await app.reaches(first, *ENDS)).status == CommandStatus.TIMEOUT
    second = await app.unlock("c-2")
    assert (await app.reaches(second, *ENDS)).status == CommandStatus.SUCCESS
    assert vehicle.actuated == [second]


async def test_poison_is_buried_with_its_reason_and_blocks_nobody(
    stand: Stand, app: App, vehicle: FakeVehicle
) -> None:
    vehicle.hold = True
    await vehicle.wake()
    command_id = await app.unlock()
    await app.reaches(command_id, "IN_PROGRESS")
    success = report_pb2.CommandResult(command_id=command_id, outcome=report_pb2.COMMAND_OUTCOME_SUCCEEDED)
    await vehicle.say_bytes(Event.RESULT, b"\xff garbage")
    await vehicle.say(Event.RESULT, success)
    await vehicle.say(Event.RESULT, report_pb2.CommandResult(command_id=command_id))
    await vehicle.say(Event.RESULT, success, vin=OTHER)
    await vehicle.say(Event.RECEIVED, report_pb2.CommandReceived(command_id="cmd-nobodys"))
    await vehicle.say(Event.CANCEL, report_pb2.CancelResult(command_id=command_id, cancel_id="x"))
    await vehicle.say(Event.RESULT, report_pb2.StatusReport())
    stranger = FakeVehicle(vehicle.server, OTHER)
    await stranger.wake()
    success.doors.add(door=1, succeeded=True)
    await stranger.say(Event.RESULT, success)
    await vehicle.finish(command_id)
    assert (await app.reaches(command_id, *ENDS)).status == CommandStatus.SUCCESS

    async def buried() -> bool:
        return len(rows(stand, "SELECT reason FROM dead_letter")) >= 8

    await until(buried)
    await stranger.sleep()
    assert sorted(reason for (reason,) in rows(stand, "SELECT reason FROM dead_letter")) == sorted(
        [
            "not an envelope",
            "a success without every door's success",
            "a result without an outcome",
            "for another vehicle than its subject's",
            "about a command that was never given",
            "a cancellation without an outcome",
            "StatusReport does not belong on this subject",
            "about another vehicle's command",
        ]
    )


async def test_cancelled_while_the_broker_is_away_it_is_never_published(
    app: App, vehicle: FakeVehicle, nats_server: Any
) -> None:
    before = await queued(nats_server)
    nats_server.kill()
    command_id = await app.unlock()
    assert await app.cancel() == "CANCELLED"
    await asyncio.to_thread(nats_server.start)
    await vehicle.wake()
    second = await app.unlock("c-2")
    assert (await app.reaches(second, *ENDS)).status == CommandStatus.SUCCESS
    assert vehicle.actuated == [second]
    assert await queued(nats_server) == before + 1
    assert (await app.details(command_id)).status == CommandStatus.CANCELLED


async def test_a_broker_that_was_away_all_the_time_proves_that_nothing_moved(
    app: App, vehicle: FakeVehicle, nats_server: Any
) -> None:
    nats_server.kill()
    command_id = await app.unlock()
    details = await app.reaches(command_id, *ENDS)
    assert (details.status, details.may_have_succeeded) == (CommandStatus.TIMEOUT, False)
    await asyncio.to_thread(nats_server.start)
    await vehicle.wake()
    second = await app.unlock("c-2")
    await app.reaches(second, *ENDS)
    assert vehicle.actuated == [second]


async def test_after_dispatch_the_vehicle_decides_on_a_cancellation(app: App, vehicle: FakeVehicle) -> None:
    vehicle.hold = True
    await vehicle.wake()
    command_id = await app.unlock()
    await app.reaches(command_id, "IN_PROGRESS")
    assert await app.cancel() == "IN_PROGRESS"
    assert (await app.reaches(command_id, *ENDS)).status == CommandStatus.CANCELLED
    assert vehicle.actuated == []
    assert await app.cancel() == "IN_PROGRESS"  # the first answer
    history = await app.history()
    assert sorted(CommandStatus.Value.Name(entry.status) for entry in history.history) == [
        "CANCELLED",
        "SUCCESS",
    ]


async def test_a_right_that_ended_before_dispatch_moves_no_door(
    stand: Stand, app: App, vehicle: FakeVehicle, nats_server: Any
) -> None:
    await vehicle.wake()
    stand.access.revoked = True
    before = await queued(nats_server)
    details = await app.reaches(await app.unlock(), *ENDS)
    assert (details.status, details.failure_reason) == (CommandStatus.FAILED, FailureReason.GRANT_REVOKED)
    assert await queued(nats_server) == before
    assert vehicle.actuated == []


async def test_while_nobody_can_tell_the_right_a_command_waits(
    stand: Stand, app: App, vehicle: FakeVehicle
) -> None:
    await vehicle.wake()
    await stand.access.go_away()
    command_id = await app.unlock()
    await stand.access.come_back()
    assert (await app.reaches(command_id, *ENDS)).status == CommandStatus.SUCCESS


async def test_a_broker_that_lost_its_disk_loses_no_command(
    app: App, vehicle: FakeVehicle, nats_server: Any
) -> None:
    command_id = await app.unlock()
    await app.has_left(command_id)
    await asyncio.to_thread(nats_server.wipe)
    await vehicle.wake()
    assert (await app.reaches(command_id, *ENDS)).status == CommandStatus.SUCCESS
    assert vehicle.actuated == [command_id]


async def test_looks_at_the_status_are_in_the_history_once(app: App, vehicle: FakeVehicle) -> None:
    await vehicle.wake()
    checks = StatusChecks()
    check = checks.checks.add(
        check_id="check-1", vin=VIN, user_id="user-123", actor_id="user-123", source=1, correlation_id="c-9"
    )
    check.time.GetCurrentTime()
    assert vehicle._client is not None
    jetstream = vehicle._client.jetstream()
    await jetstream.publish(STATUS_CHECKS_SUBJECT, b"\xff")
    for _ in range(2):
        await jetstream.publish(STATUS_CHECKS_SUBJECT, checks.SerializeToString())

    async def listed() -> bool:
        return bool((await app.history()).total == 1)

    await until(listed)
    command_id = await app.unlock()
    await app.reaches(command_id, *ENDS)
    assert (await app.history()).total == 2


async def test_an_unknown_cancellation_is_not_found(app: App) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await app.cancel("c-unknown")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND

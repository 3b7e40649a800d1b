"""What gets lost, lies, comes too late or is taken back on the way of a command."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from typing import Any

import grpc
import nats
import pytest
from ecarus.remotecontrol.door.v1.door_command_pb2 import CommandStatus, FailureReason
from ecarus.remotecontrol.door.v1.room_event_pb2 import StatusChecks
from ecarus.remotecontrol.vehicle.v1 import report_pb2

from protocol.domains import MAX_COUNTER, Domain
from protocol.streams import VEHICLE_COMMANDS
from protocol.subjects import STATUS_CHECKS_SUBJECT, EventKind
from tests.messaging.command.conftest import ENDS, has_lived, rows
from tests.messaging.command_harness import App, CommandHarness, until
from tests.messaging.fake_vehicle import VIN, FakeVehicle

OTHER = "KMHSH81C7LU654321"


async def queued(server: Any) -> int:
    settings = server.settings()
    client = await nats.connect(
        server.url, user=settings.nats_user, password=settings.nats_password_file.read_text()
    )
    info = await client.jetstream().stream_info(VEHICLE_COMMANDS)
    await client.close()
    return info.state.last_seq


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
    await vehicle.wake()
    await vehicle.greeted.wait()
    vehicle.drop_next()
    first = await app.unlock()
    assert (await app.reaches(first, *ENDS)).status == CommandStatus.TIMEOUT
    second = await app.unlock("c-2")
    assert (await app.reaches(second, *ENDS)).status == CommandStatus.SUCCESS
    assert vehicle.actuated == [second]


async def test_poison_is_buried_with_its_reason_and_blocks_nobody(
    harness: CommandHarness, app: App, vehicle: FakeVehicle
) -> None:
    vehicle.hold = True
    await vehicle.wake()
    command_id = await app.unlock()
    await app.reaches(command_id, "IN_PROGRESS")
    asked = vehicle.request_hash(command_id)
    success = report_pb2.CommandResult(command_id=command_id, outcome=report_pb2.COMMAND_OUTCOME_SUCCEEDED)
    await vehicle.say_bytes(EventKind.RESULT, b"\xff garbage")
    await vehicle.answer(report_pb2.CommandReceived(command_id="cmd-nobodys"), asked)
    await vehicle.answer(report_pb2.CommandReceived(command_id=command_id), bytes(32))
    success.doors.add(door=1, succeeded=True)
    stranger = FakeVehicle(vehicle.server, OTHER)
    await stranger.wake()
    await stranger.greeted.wait()
    foreign = await stranger.answer(success, asked)
    await vehicle.say_bytes(EventKind.RESULT, foreign)
    await vehicle.finish(command_id)
    assert (await app.reaches(command_id, *ENDS)).status == CommandStatus.SUCCESS

    async def dead_lettered() -> bool:
        return len(rows(harness, "SELECT reason FROM dead_letter")) >= 5

    await until(dead_lettered)
    await stranger.sleep()
    assert sorted(reason for (reason,) in rows(harness, "SELECT reason FROM dead_letter")) == sorted(
        [
            "MALFORMED: not a sealed message of this version",
            "WRONG_REQUEST: answers another request than it names",
            "WRONG_REQUEST: answers nothing that was asked",
            "WRONG_REQUEST: answers nothing that was asked",
            "NOT_FOR_US: it does not open",
        ]
    )


async def test_a_result_that_is_not_clear_ends_its_command(
    harness: CommandHarness, app: App, vehicle: FakeVehicle
) -> None:
    vehicle.hold = True
    await vehicle.wake()
    command_id = await app.unlock()
    await app.reaches(command_id, "IN_PROGRESS")
    unclear = report_pb2.CommandResult(command_id=command_id)
    await vehicle.answer(unclear, vehicle.request_hash(command_id))
    assert (await app.reaches(command_id, *ENDS)).status == CommandStatus.FAILED
    assert rows(harness, "SELECT reason FROM dead_letter") == []


async def test_cancelled_while_the_broker_is_away_it_is_never_published(
    harness: CommandHarness, app: App, vehicle: FakeVehicle, nats_server: Any
) -> None:
    nats_server.kill()
    command_id = await app.unlock()
    assert await app.cancel() == "CANCELLED"
    await asyncio.to_thread(nats_server.start)
    await vehicle.wake()
    await vehicle.greeted.wait()  # before it, the service would ask it for its session first
    second = await app.unlock("c-2")
    assert (await app.reaches(second, *ENDS)).status == CommandStatus.SUCCESS
    assert vehicle.actuated == [second]
    # Not how many messages there were: what lives and is unconfirmed is sent again with each hello.
    assert rows(harness, "SELECT DISTINCT command_id FROM issued_order") == [(second,)]
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
    harness: CommandHarness, app: App, vehicle: FakeVehicle, nats_server: Any
) -> None:
    await vehicle.wake()
    await vehicle.greeted.wait()
    harness.neighbours.revoked = True
    before = await queued(nats_server)
    details = await app.reaches(await app.unlock(), *ENDS)
    assert (details.status, details.failure_reason) == (CommandStatus.FAILED, FailureReason.GRANT_REVOKED)
    assert await queued(nats_server) == before
    assert vehicle.actuated == []


async def test_while_nobody_can_tell_the_right_a_command_waits(
    harness: CommandHarness, app: App, vehicle: FakeVehicle
) -> None:
    await vehicle.wake()
    await harness.neighbours.go_away()
    command_id = await app.unlock()
    await harness.neighbours.come_back()
    assert (await app.reaches(command_id, *ENDS)).status == CommandStatus.SUCCESS


async def test_a_broker_that_lost_its_disk_loses_no_command(
    app: App, vehicle: FakeVehicle, nats_server: Any
) -> None:
    await has_lived(app, vehicle)
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


async def test_a_car_that_lies_of_its_counters_takes_nothing_from_another(
    app: App, vehicle: FakeVehicle, harness: CommandHarness, nats_server: Any
) -> None:
    """Neither a hello with the last counter there is, nor the record that an older version made of it."""
    await vehicle.wake()
    await asyncio.wait_for(vehicle.greeted.wait(), 60)
    liar = FakeVehicle(nats_server, OTHER)
    await liar.wake()
    await asyncio.wait_for(liar.greeted.wait(), 60)

    async def accepted() -> bool:
        return bool(rows(harness, "SELECT 1 FROM vehicle_session WHERE vin = 'KMHSH81C7LU654321'"))

    await until(accepted)
    liar.car.session._accepted[Domain.COMMAND] = MAX_COUNTER
    await liar.greet()

    async def refused() -> list[Any]:
        return rows(harness, "SELECT reason FROM dead_letter WHERE sender = 'KMHSH81C7LU654321'")

    [(reason,)] = await until(refused)
    assert reason.startswith(f"COUNTER_TOO_LARGE: claims to have accepted counter {MAX_COUNTER}")
    with closing(sqlite3.connect(harness.database)) as connection, connection:
        [(record,)] = connection.execute("SELECT record FROM vehicle_session WHERE vin = ?", (OTHER,))
        spoilt = json.loads(record)
        spoilt["current"]["issued"]["cmd.door"] = MAX_COUNTER
        connection.execute("UPDATE vehicle_session SET record = ? WHERE vin = ?", (json.dumps(spoilt), OTHER))
    lost = await app.unlock("c-liar", vin=OTHER)
    good = await app.unlock("c-good")
    assert (await app.reaches(good, *ENDS)).status == CommandStatus.SUCCESS
    assert (await app.reaches(lost, *ENDS, vin=OTHER)).status == CommandStatus.TIMEOUT
    await liar.sleep()

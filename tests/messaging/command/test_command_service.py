"""The life of a command: signed, sealed, carried out and told of."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import nats
from ecarus.remotecontrol.access.v1 import order_signing_service_pb2 as signing
from ecarus.remotecontrol.door.v1 import door_update_pb2
from ecarus.remotecontrol.door.v1.door_command_pb2 import CommandStage, CommandStatus

from protocol.streams import DOOR_UPDATES, VEHICLE_EVENTS
from tests.messaging.command.conftest import ENDS, has_lived, rows
from tests.messaging.command_harness import App, CommandHarness, until
from tests.messaging.fake_vehicle import VIN, FakeVehicle

FORGED_COMMAND = """INSERT INTO command (command_id, vin, action, target_doors, mode, principal, subject, source,
    correlation_id, fingerprint, accepted_at, expires_at, estimated_seconds, status)
    SELECT 'cmd-forged', vin, action, target_doors, mode, principal, subject, source, 'forged', fingerprint,
    accepted_at, expires_at, estimated_seconds, 'PENDING' FROM command"""


async def all_is_heard(server: Any) -> None:
    """The service has taken all that vehicles have said so far."""
    settings = server.settings()
    client = await nats.connect(
        server.url, user=settings.nats_user, password=settings.nats_password_file.read_text()
    )
    jetstream = client.jetstream()

    async def received() -> bool:
        info = await jetstream.consumer_info(VEHICLE_EVENTS, "command-events")
        return info.num_pending == info.num_ack_pending == 0

    await until(received)
    await client.close()


async def test_a_command_is_carried_out_and_watchers_hear_of_each_step(
    app: App, vehicle: FakeVehicle, nats_server: Any
) -> None:
    await vehicle.wake()
    await vehicle.greeted.wait()
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
    received = [
        door_update_pb2.DoorUpdate.FromString((await jetstream.get_msg(DOOR_UPDATES, n)).data or b"")
        for n in (1, 2, 3)
    ]
    await client.close()
    assert [CommandStatus.Value.Name(update.command_status.status) for update in received] == [
        "PENDING",
        "IN_PROGRESS",
        "SUCCESS",
    ]


async def test_a_sleeping_vehicle_gets_it_when_it_wakes(app: App, vehicle: FakeVehicle) -> None:
    await has_lived(app, vehicle)
    command_id = await app.unlock()
    await app.has_left(command_id)
    await vehicle.wake()
    assert (await app.reaches(command_id, *ENDS)).status == CommandStatus.SUCCESS
    assert vehicle.actuated == [command_id]


async def test_a_vehicle_that_restarted_meanwhile_gets_it_signed_anew(app: App, vehicle: FakeVehicle) -> None:
    await has_lived(app, vehicle)
    command_id = await app.unlock()
    await app.has_left(command_id)
    vehicle.reboot()
    await vehicle.wake()
    assert (await app.reaches(command_id, *ENDS)).status == CommandStatus.SUCCESS
    assert vehicle.actuated == [command_id]
    assert set(vehicle.faults) <= {"WRONG_EPOCH"}


async def test_nothing_is_signed_for_a_vehicle_before_its_first_hello(app: App, vehicle: FakeVehicle) -> None:
    command_id = await app.unlock()
    await woken_for(app, command_id)
    assert stages_of(await app.details(command_id)) == ["ACCEPTED", "QUEUED", "WAKING"]
    await vehicle.wake()
    assert (await app.reaches(command_id, *ENDS)).status == CommandStatus.SUCCESS
    assert vehicle.actuated == [command_id]


async def test_what_was_never_signed_is_withdrawn_at_once(app: App, vehicle: FakeVehicle) -> None:
    command_id = await app.unlock()
    await woken_for(app, command_id)
    assert await app.cancel() == "CANCELLED"
    await vehicle.wake()
    second = await app.unlock("c-2")
    assert (await app.reaches(second, *ENDS)).status == CommandStatus.SUCCESS
    assert vehicle.actuated == [second]


async def test_a_command_for_a_vehicle_that_never_was_there_was_surely_not_sent(app: App) -> None:
    details = await app.reaches(await app.unlock(), *ENDS)
    assert (details.status, details.may_have_succeeded) == (CommandStatus.TIMEOUT, False)


async def test_a_vehicle_that_is_awake_but_unknown_is_asked_for_its_session(
    harness: CommandHarness, app: App, vehicle: FakeVehicle, nats_server: Any
) -> None:
    await has_lived(app, vehicle)
    await vehicle.wake()
    await vehicle.greeted.wait()
    await all_is_heard(nats_server)  # its queue is of before: the hello may still be on its way to the record
    with closing(sqlite3.connect(harness.database)) as connection, connection:
        connection.execute("DELETE FROM vehicle_session")
    command_id = await app.unlock()
    assert (await app.reaches(command_id, *ENDS)).status == CommandStatus.SUCCESS
    assert vehicle.challenged == 1


async def test_a_forged_outbox_row_moves_no_door(
    harness: CommandHarness, app: App, vehicle: FakeVehicle
) -> None:
    await vehicle.wake()
    await app.reaches(await app.unlock(), "SUCCESS")
    with closing(sqlite3.connect(harness.database)) as connection, connection:
        connection.execute(FORGED_COMMAND)
        [[payload]] = connection.execute("SELECT payload FROM outbox WHERE queue = 'vehicle'")
        order = signing.RequestedOrder.FromString(payload)
        order.door.command_id = "cmd-forged"  # under the person's own capability, which is good for a minute
        order.asked_at.GetCurrentTime()
        order.door.expires_at.FromDatetime(datetime.now(UTC) + timedelta(seconds=4))
        values = ("cmd-forged", "vehicle", f"vehicle.{VIN}.cmd.door", order.SerializeToString(), 1)
        connection.execute(
            "INSERT INTO outbox (message_id, queue, subject, payload, created_at) VALUES (?, ?, ?, ?, ?)",
            values,
        )

    assert (await app.reaches("cmd-forged", *ENDS)).status == CommandStatus.TIMEOUT
    assert rows(harness, "SELECT sent_at FROM outbox WHERE message_id = 'cmd-forged'")[0][0] is not None
    second = await app.unlock("c-2")
    await app.reaches(second, *ENDS)
    assert "cmd-forged" not in vehicle.actuated
    assert len(vehicle.actuated) == 2


async def woken_for(app: App, command_id: str) -> None:
    async def woken() -> bool:
        return "WAKING" in stages_of(await app.details(command_id))

    await until(woken)


def stages_of(details: Any) -> list[str]:
    return [CommandStage.Name.Value.Name(stage.name) for stage in details.stages]

"""A right that ends while its command is on the way: the command ends before it acts, wherever it is."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import asynccontextmanager, closing
from typing import TYPE_CHECKING, Any

import nats
import pytest
import pytest_asyncio
from ecarus.remotecontrol.access.v1 import grant_pb2
from ecarus.remotecontrol.door.v1.door_command_pb2 import CommandStage, CommandStatus, FailureReason
from ecarus.remotecontrol.door.v1.room_event_pb2 import SettingsWithdrawn

from protocol.streams import VEHICLE_COMMANDS
from protocol.subjects import GRANT_REVOKED_SUBJECT, SETTINGS_WITHDRAWN_SUBJECT, CommandKind, command_subject
from services.command.__main__ import main
from services.command.settings import CommandSettings
from services.platform.settings import load
from tests.messaging.command_harness import App, CommandHarness, until
from tests.messaging.fake_vehicle import VIN, FakeVehicle

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

TTL_SECONDS = 6
ENDS = ("SUCCESS", "FAILED", "TIMEOUT", "CANCELLED")
GUEST = "user-123"


@asynccontextmanager
async def running(harness: CommandHarness) -> AsyncIterator[None]:
    """The service's process, until it is stopped."""
    stop = asyncio.Event()
    settings = load(CommandSettings, harness.environment(ttl_seconds=TTL_SECONDS))
    service = asyncio.create_task(main(settings, stop))
    yield
    stop.set()
    await service


@pytest_asyncio.fixture
async def harness(nats_server: Any, tmp_path: Path) -> AsyncIterator[CommandHarness]:
    harness = CommandHarness(tmp_path, nats_server)
    await harness.neighbours.come_back()
    yield harness
    await harness.neighbours.go_away()


@pytest_asyncio.fixture
async def app(harness: CommandHarness) -> AsyncIterator[App]:
    async with harness.edge() as channel:
        yield App(harness, channel)


@pytest_asyncio.fixture
async def vehicle(nats_server: Any) -> AsyncIterator[FakeVehicle]:
    vehicle = FakeVehicle(nats_server)
    yield vehicle
    await vehicle.sleep()


class Broker:
    """The broker, as a test looks at it and the access service speaks on it."""

    def __init__(self, client: Any) -> None:
        self._jetstream = client.jetstream()

    async def waiting(self, kind: CommandKind) -> int:
        """How many messages of this kind wait for the vehicle."""
        subject = command_subject(VIN, kind)
        info = await self._jetstream.stream_info(VEHICLE_COMMANDS, subjects_filter=subject)
        return (info.state.subjects or {}).get(subject, 0)

    async def tell(self, **told: Any) -> None:
        revoked = grant_pb2.GrantRevoked(**({"principal": GUEST, "vin": VIN} | told))
        await self._jetstream.publish(GRANT_REVOKED_SUBJECT, revoked.SerializeToString())

    async def say(self, subject: str, data: bytes) -> None:
        await self._jetstream.publish(subject, data)

    async def put(self, kind: CommandKind) -> None:
        await self._jetstream.publish(command_subject(VIN, kind), b"an order")


@pytest_asyncio.fixture
async def broker(nats_server: Any) -> AsyncIterator[Broker]:
    settings = nats_server.settings()
    password = settings.nats_password_file.read_text()
    client = await nats.connect(nats_server.url, user=settings.nats_user, password=password)
    yield Broker(client)
    await client.close()


async def sent_to_one_that_is_away(app: App, vehicle: FakeVehicle) -> str:
    """An unlock that lies at the broker."""
    await vehicle.wake()
    await vehicle.greeted.wait()
    await app.reaches(await app.unlock("c-0"), "SUCCESS")
    await vehicle.sleep()
    vehicle.actuated.clear()
    command_id = await app.unlock()
    await app.has_left(command_id)
    return command_id


def audited(harness: CommandHarness, event: str) -> list[Any]:
    with closing(sqlite3.connect(harness.database)) as connection:
        return connection.execute("SELECT command_id FROM audit WHERE event = ?", (event,)).fetchall()


async def test_what_lay_at_the_broker_is_taken_back_before_the_vehicle_comes(
    harness: CommandHarness, app: App, vehicle: FakeVehicle, broker: Broker
) -> None:
    async with running(harness):
        command_id = await sent_to_one_that_is_away(app, vehicle)
        assert await broker.waiting(CommandKind.DOOR) == 1
        harness.neighbours.revoked = True
        await broker.tell()
        await until(lambda: taken_back(broker))
        await vehicle.wake()
        details = await app.reaches(command_id, *ENDS)
        assert (details.status, details.failure_reason) == (CommandStatus.FAILED, FailureReason.GRANT_REVOKED)
        assert details.may_have_succeeded is False
        assert details.message.startswith("Taken back")
        assert vehicle.actuated == []
        assert CommandStage.Name.SENT in [stage.name for stage in details.stages]
        harness.neighbours.revoked = False
        second = await app.unlock("c-2")
        assert (await app.reaches(second, *ENDS)).status == CommandStatus.SUCCESS
        assert audited(harness, "RIGHT_ENDED") == [(command_id,)]
        assert [entry.command_id for entry in (await app.history()).history][1] == command_id


async def taken_back(broker: Broker) -> bool:
    """The order is gone, and its cancellation waits in its place."""
    return await broker.waiting(CommandKind.DOOR) == 0 and await broker.waiting(CommandKind.CANCEL) == 1


async def test_what_ended_while_the_room_was_down_is_taken_back_when_it_is_up(
    harness: CommandHarness, app: App, vehicle: FakeVehicle, broker: Broker
) -> None:
    async with running(harness):
        command_id = await sent_to_one_that_is_away(app, vehicle)
    harness.neighbours.revoked = True
    await broker.tell()
    async with running(harness):
        await until(lambda: taken_back(broker))
        await vehicle.wake()
        details = await app.reaches(command_id, *ENDS)
        assert (details.status, details.failure_reason) == (CommandStatus.FAILED, FailureReason.GRANT_REVOKED)
        assert vehicle.actuated == []


async def test_what_was_never_signed_fails_at_once(
    harness: CommandHarness, app: App, vehicle: FakeVehicle, broker: Broker
) -> None:
    async with running(harness):
        command_id = await app.unlock()  # parked: the vehicle never said hello
        harness.neighbours.revoked = True
        await broker.tell()
        details = await app.reaches(command_id, *ENDS)
        assert (details.status, details.failure_reason) == (CommandStatus.FAILED, FailureReason.GRANT_REVOKED)
        assert CommandStage.Name.SENT not in [stage.name for stage in details.stages]
        await vehicle.wake()
        await vehicle.greeted.wait()
        assert vehicle.actuated == []


@pytest.mark.parametrize(
    "told",
    [
        {"vin": ""},
        {"vin": "", "kind": grant_pb2.ENDED_RIGHT_ACCOUNT},
        {"vin": "", "principal": "", "kind": grant_pb2.ENDED_RIGHT_CREDENTIAL, "credential": "key_1"},
    ],
    ids=["all vehicles", "account", "credential"],
)
async def test_an_account_or_a_key_ends_on_every_vehicle(
    harness: CommandHarness, app: App, vehicle: FakeVehicle, broker: Broker, told: dict[str, Any]
) -> None:
    async with running(harness):
        command_id = await sent_to_one_that_is_away(app, vehicle)
        harness.neighbours.revoked = True
        await broker.tell(**told)
        await until(lambda: taken_back(broker))
        await vehicle.wake()
        assert (await app.reaches(command_id, *ENDS)).failure_reason == FailureReason.GRANT_REVOKED
        assert vehicle.actuated == []


async def test_where_another_grant_still_allows_it_the_command_goes_on(
    harness: CommandHarness, app: App, vehicle: FakeVehicle, broker: Broker
) -> None:
    async with running(harness):
        command_id = await sent_to_one_that_is_away(app, vehicle)
        await broker.tell()
        await broker.tell(principal="user-456")
        await vehicle.wake()
        details = await app.reaches(command_id, *ENDS)
        assert details.status == CommandStatus.SUCCESS
        assert vehicle.actuated == [command_id]


async def test_while_nobody_can_tell_nothing_waits_for_the_vehicle(
    harness: CommandHarness, app: App, vehicle: FakeVehicle, broker: Broker
) -> None:
    async with running(harness):
        command_id = await sent_to_one_that_is_away(app, vehicle)
        harness.neighbours.revoked = harness.neighbours.access_away = True
        await broker.tell()

        async def empty() -> bool:
            return await broker.waiting(CommandKind.DOOR) == 0

        await until(empty)
        await vehicle.wake()
        await vehicle.greeted.wait()
        harness.neighbours.access_away = False
        details = await app.reaches(command_id, *ENDS)
        assert (details.status, details.failure_reason) == (CommandStatus.FAILED, FailureReason.GRANT_REVOKED)
        assert vehicle.actuated == []


async def test_the_vehicle_that_has_it_and_has_not_begun_gives_it_up(
    harness: CommandHarness, app: App, vehicle: FakeVehicle, broker: Broker
) -> None:
    async with running(harness):
        vehicle.hold = True
        await vehicle.wake()
        command_id = await app.unlock()
        await app.reaches(command_id, "IN_PROGRESS")
        harness.neighbours.revoked = True
        await broker.tell()
        details = await app.reaches(command_id, *ENDS)
        assert (details.status, details.failure_reason) == (CommandStatus.FAILED, FailureReason.GRANT_REVOKED)
        assert vehicle.actuated == []


async def test_a_vehicle_that_restarted_meanwhile_is_told_in_its_new_epoch(
    harness: CommandHarness, app: App, vehicle: FakeVehicle, broker: Broker
) -> None:
    async with running(harness):
        command_id = await sent_to_one_that_is_away(app, vehicle)
        harness.neighbours.revoked = True
        await broker.tell()
        await until(lambda: taken_back(broker))
        vehicle.reboot()
        await vehicle.wake()
        details = await app.reaches(command_id, *ENDS)
        assert (details.status, details.failure_reason) == (CommandStatus.FAILED, FailureReason.GRANT_REVOKED)
        assert vehicle.actuated == []


async def test_withdrawn_settings_are_taken_out_and_nothing_else(
    harness: CommandHarness, app: App, broker: Broker
) -> None:
    async with running(harness):
        await app.history(wait_for_ready=True)
        for kind in (CommandKind.CONFIG, CommandKind.CANCEL):
            await broker.put(kind)
        await broker.say(
            SETTINGS_WITHDRAWN_SUBJECT, SettingsWithdrawn(vin=VIN, version=1).SerializeToString()
        )

        async def empty() -> bool:
            return await broker.waiting(CommandKind.CONFIG) == 0

        await until(empty)
        assert await broker.waiting(CommandKind.CANCEL) == 1


async def test_what_is_no_end_of_a_right_is_buried_and_blocks_nobody(
    harness: CommandHarness, app: App, vehicle: FakeVehicle, broker: Broker
) -> None:
    async with running(harness):
        await app.history(wait_for_ready=True)
        await broker.say(GRANT_REVOKED_SUBJECT, b"\xff")
        await broker.tell(principal="")
        await broker.tell(vin="no vin")
        await broker.say(SETTINGS_WITHDRAWN_SUBJECT, SettingsWithdrawn(vin="*").SerializeToString())
        command_id = await sent_to_one_that_is_away(app, vehicle)
        harness.neighbours.revoked = True
        await broker.tell()
        await until(lambda: taken_back(broker))
        await vehicle.wake()
        assert (await app.reaches(command_id, *ENDS)).failure_reason == FailureReason.GRANT_REVOKED
        with closing(sqlite3.connect(harness.database)) as connection:
            assert connection.execute("SELECT count(*) FROM dead_letter").fetchone() == (4,)

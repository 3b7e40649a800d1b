"""The command service ends a command when the status service shows its doors; one that never says so holds up
nothing for long.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import nats
import pytest_asyncio
from ecarus.remotecontrol.door.v1.door_command_pb2 import CommandStatus
from ecarus.remotecontrol.door.v1.room_event_pb2 import ShownResult, ShownResults

from protocol.streams import VEHICLE_EVENTS
from protocol.subjects import SHOWN_RESULTS_SUBJECT, EventKind, event_subject
from services.command.__main__ import main
from services.command.settings import CommandSettings
from services.platform.settings import load
from tests.messaging.command_harness import App, CommandHarness
from tests.messaging.fake_vehicle import VIN, FakeVehicle

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from nats.aio.client import Client

WAIT_SECONDS = 60


@pytest_asyncio.fixture
async def harness(nats_server: Any, tmp_path: Path) -> AsyncIterator[CommandHarness]:
    harness = CommandHarness(tmp_path, nats_server)
    await harness.neighbours.come_back()
    yield harness
    await harness.neighbours.go_away()


@pytest_asyncio.fixture
async def client(nats_server: Any) -> AsyncIterator[Client]:
    settings = nats_server.settings()
    client = await nats.connect(
        nats_server.url, user=settings.nats_user, password=settings.nats_password_file.read_text()
    )
    yield client
    await client.close()


@asynccontextmanager
async def serving(harness: CommandHarness, patience_seconds: float) -> AsyncIterator[App]:
    """The service, with this patience."""
    stop = asyncio.Event()
    environment = {
        **harness.environment(ttl_seconds=20),
        "DOORS_SHOWN_DOORS_PATIENCE_SECONDS": str(patience_seconds),
    }
    service = asyncio.create_task(main(load(CommandSettings, environment), stop))
    async with harness.edge() as channel:
        async with asyncio.timeout(WAIT_SECONDS):
            await channel.channel_ready()
        yield App(harness, channel)
    stop.set()
    await service


async def carried_out(app: App, vehicle: FakeVehicle, client: Client) -> tuple[str, int]:
    """A command that its vehicle has answered, and when the broker stored the result, nanoseconds since 1970."""
    await vehicle.wake()
    await vehicle.greeted.wait()
    command_id = await app.unlock()
    subscription = await client.jetstream().subscribe(
        event_subject(VIN, EventKind.RESULT), stream=VEHICLE_EVENTS, ordered_consumer=True
    )
    result = await subscription.next_msg(timeout=WAIT_SECONDS)
    return command_id, int(result.reply.split(".")[-2])


async def test_a_success_waits_for_its_doors_and_for_no_others(
    harness: CommandHarness, client: Client, nats_server: Any
) -> None:
    vehicle = FakeVehicle(nats_server)
    async with serving(harness, 5) as app:
        command_id, stored_at = await carried_out(app, vehicle, client)
        began = time.monotonic()
        for others in (ShownResult(vin=VIN, stored_at_nanos=stored_at - 1), ShownResult(vin="K" * 17)):
            await client.publish(SHOWN_RESULTS_SUBJECT, ShownResults(results=[others]).SerializeToString())
        await client.flush()
        await app.reaches(command_id, "IN_PROGRESS")
        assert (await app.details(command_id)).status == CommandStatus.IN_PROGRESS
        shown = ShownResults(results=[ShownResult(vin=VIN, stored_at_nanos=stored_at)])
        await client.publish(SHOWN_RESULTS_SUBJECT, shown.SerializeToString())
        assert (await app.reaches(command_id, "SUCCESS")).status == CommandStatus.SUCCESS
        assert time.monotonic() - began < 4.5  # and not for want of patience
        await vehicle.sleep()


async def test_a_status_service_that_says_nothing_makes_no_command_time_out(
    harness: CommandHarness, client: Client, nats_server: Any
) -> None:
    vehicle = FakeVehicle(nats_server)
    async with serving(harness, 1) as app:
        command_id, _ = await carried_out(app, vehicle, client)
        details = await app.reaches(command_id, "SUCCESS", "TIMEOUT")
        assert details.status == CommandStatus.SUCCESS
        await vehicle.sleep()

"""The command service as a process, an app and a vehicle, at a real broker."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest_asyncio

from services.command.__main__ import main
from services.command.settings import CommandSettings
from services.platform.settings import load
from tests.messaging.command_harness import App, CommandHarness
from tests.messaging.fake_vehicle import FakeVehicle

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


TTL_SECONDS = 4


ENDS = ("SUCCESS", "FAILED", "TIMEOUT", "CANCELLED")


@pytest_asyncio.fixture
async def harness(nats_server: Any, tmp_path: Path) -> AsyncIterator[CommandHarness]:
    harness = CommandHarness(tmp_path, nats_server)
    await harness.neighbours.come_back()
    stop = asyncio.Event()
    settings = load(CommandSettings, harness.environment(ttl_seconds=TTL_SECONDS))
    service = asyncio.create_task(main(settings, stop))
    yield harness
    stop.set()
    await service
    await harness.neighbours.go_away()


@pytest_asyncio.fixture
async def app(harness: CommandHarness) -> AsyncIterator[App]:
    async with harness.edge() as channel:
        app = App(harness, channel)
        async with asyncio.timeout(20):
            await channel.channel_ready()
        yield app


@pytest_asyncio.fixture
async def vehicle(nats_server: Any) -> AsyncIterator[FakeVehicle]:
    vehicle = FakeVehicle(nats_server)
    yield vehicle
    await vehicle.sleep()


def rows(harness: CommandHarness, query: str) -> list[Any]:
    with closing(sqlite3.connect(harness.database)) as connection:
        return connection.execute(query).fetchall()


async def has_lived(app: App, vehicle: FakeVehicle) -> None:
    """The vehicle was there, carried something out, and sleeps now."""
    await vehicle.wake()
    await vehicle.greeted.wait()
    await app.reaches(await app.unlock("c-0"), "SUCCESS")
    await vehicle.sleep()
    vehicle.actuated.clear()

"""The config service at a real broker, with two cars."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from protocol.streams import ROOM_EVENTS, STREAMS, VEHICLE_COMMANDS, VEHICLE_EVENTS
from services.config.adapters import store
from services.platform.database import open_database
from services.telematics.broker import connect_broker
from tests.messaging.config_harness import ConfigHarness, FakeEnrolment, FakeSigner, serving
from tests.messaging.config_link.config_states import MIGRATIONS
from tests.support.databases import migrated
from tests.support.protocol_harness import OTHER_VIN, VIN, Car, Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def car(clock: Clock) -> Car:
    return Car(VIN, clock)


@pytest.fixture
def other(clock: Clock) -> Car:
    return Car(OTHER_VIN, clock)


@pytest.fixture
async def idle(
    nats_server: Any, tmp_path: Path, clock: Clock, car: Car, other: Car
) -> AsyncIterator[tuple[ConfigHarness, ConfigHarness]]:
    """Two replicas of the service on one database, not running. They have not heard of any car."""
    url = f"sqlite:///{tmp_path}/config.sqlite3"
    await asyncio.to_thread(migrated, url, MIGRATIONS, store.HEAD)
    database = await open_database(url)
    brokers = [await connect_broker(nats_server.settings(), f"service-config-{n}") for n in range(2)]
    for broker in brokers:
        await broker.ensure_streams(
            *(STREAMS[name] for name in (VEHICLE_EVENTS, VEHICLE_COMMANDS, ROOM_EVENTS))
        )
    enrolment, fake_signer = FakeEnrolment(), FakeSigner()
    enrolment.enrol(car)
    enrolment.enrol(other)
    async with serving(fake_signer, enrolment) as channel:
        services = [ConfigHarness(database, broker, channel, fake_signer, clock) for broker in brokers]
        yield services[0], services[1]
        for service in services:
            await service.crash()
            await service.broker.close()
    await database.close()


@pytest.fixture
async def running(idle: tuple[ConfigHarness, ConfigHarness]) -> ConfigHarness:
    """It has not heard of any car."""
    idle[0].run()
    return idle[0]


@pytest.fixture
async def service(running: ConfigHarness, car: Car) -> ConfigHarness:
    """It has the session of the first car."""
    await running.until_greeted(car)
    return running

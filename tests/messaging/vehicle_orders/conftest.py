"""A car and its cloud at a real broker, over both links."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.messaging.vehicle_cloud import Broker, Cloud
from tests.support.signed_cloud import VIN
from vehicle.clock import SystemClock
from vehicle.simulator.simulated_car import SimulatedCar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path


@pytest_asyncio.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Broker]:
    one = Broker(tmp_path)
    await one.start()
    yield one
    one.kill()


@pytest.fixture(params=["nats", "mqtt"])
def link(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest_asyncio.fixture
async def cloud(broker: Broker, link: str) -> AsyncIterator[Cloud]:
    one = Cloud(broker, link)
    await one.start()
    yield one
    await one.stop()
    assert one.unbelieved == []


@pytest_asyncio.fixture
async def make_car(
    broker: Broker, cloud: Cloud, tmp_path: Path, link: str
) -> AsyncIterator[Callable[..., SimulatedCar]]:
    made: list[SimulatedCar] = []

    def make(*, awake: bool = True, door_time_seconds: float = 0.0) -> SimulatedCar:
        one = SimulatedCar(
            VIN,
            tmp_path / VIN,
            lambda: broker.make_link(link),
            cloud.signed.credentials,
            SystemClock(),
            awake=awake,
            door_time_seconds=door_time_seconds,
        )
        one.start()
        made.append(one)
        return one

    yield make
    for one in made:
        await one.stop()

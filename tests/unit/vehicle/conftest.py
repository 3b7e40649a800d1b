from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.unit.vehicle.agent_harness import AgentHarness
from vehicle.doors.actuation_log import ActuationLog
from vehicle.doors.car import Car
from vehicle.doors.car_state import StateFile

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


class FakeClock:
    """Clocks that a test moves: together, or only what time the car believes it is."""

    def __init__(self) -> None:
        self._now = datetime(2026, 1, 12, 14, 30, tzinfo=UTC)
        self._uptime_millis = 7_000_000

    def now(self) -> datetime:
        return self._now

    def uptime_millis(self) -> int:
        return self._uptime_millis

    def advance(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)
        self._uptime_millis += round(seconds * 1000)

    def set_wall(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def car(tmp_path: Path, clock: FakeClock) -> Car:
    vin = "KMHSH81C7LU123456"
    return Car(vin, StateFile(tmp_path / "car.json"), ActuationLog(tmp_path / "actuations.jsonl", vin), clock)


@pytest_asyncio.fixture
async def harness(car: Car, clock: FakeClock, tmp_path: Path) -> AsyncIterator[AgentHarness]:
    one = AgentHarness(car, clock, tmp_path)
    await one.start()
    yield one
    await one.agent.crash()

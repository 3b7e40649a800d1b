from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from vehicle.actuation_log import ActuationLog
from vehicle.car import Car
from vehicle.car_state import StateFile

if TYPE_CHECKING:
    from pathlib import Path


class FakeClock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self._now = datetime(2026, 1, 12, 14, 30, tzinfo=UTC)

    def now(self) -> datetime:
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def car(tmp_path: Path, clock: FakeClock) -> Car:
    vin = "KMHSH81C7LU123456"
    return Car(vin, StateFile(tmp_path / "car.json"), ActuationLog(tmp_path / "actuations.jsonl", vin), clock)

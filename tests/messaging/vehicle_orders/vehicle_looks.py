"""What the tests of orders at a real broker look at."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vehicle.simulator.simulated_car import SimulatedCar


def moved_doors(one: SimulatedCar) -> list[str | None]:
    return [line["door"] for line in one.car.log.read() if line["outcome"] == "moved"]

"""The fleet of the load tool is made of cars as they are in production."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from bench import simulated_fleet
from bench.fleet import Fleet
from bench.simulated_fleet import SimulatedFleet
from mesh.sandbox import Sandbox
from mesh.sandbox_fleet import OWNERS
from protocol.subjects import is_vin
from services.enrolment.adapters import seed as enrolment_seed

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_each_car_is_enrolled_with_its_certificate_and_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simulated_fleet, "CARS_PER_PROCESS", 8)
    sandbox = Sandbox(tmp_path / "mesh")
    sandbox.prepare(datetime.now(UTC))
    fleet = SimulatedFleet.of(11)
    fleet.join(sandbox)

    assert all(is_vin(vin) for vin in fleet.vins)
    planted = {one.vin: one for one in enrolment_seed.read(sandbox.enrolment_seed)}
    assert planted.keys() == {*OWNERS, *fleet.vins}
    assert all(one.fingerprint and one.keys for one in planted.values())
    assert len({one.fingerprint for one in planted.values()}) == len(planted)
    seed = json.loads(sandbox.seed.read_text())
    assert {grant["vin"] for grant in seed["grants"] if grant["principal"] == "bench"} == set(fleet.vins)
    assert "door.unlock" in next(key["scopes"] for key in seed["apiKeys"] if key["key"] == fleet.key)

    files = [json.loads((sandbox.folder / f"cars-{number}.json").read_text()) for number in (0, 1)]
    assert [len(cars) for cars in files] == [8, 3]
    cars = [car for file in files for car in file]
    assert [car["vin"] for car in cars] == list(fleet.vins)
    assert [car["link"] for car in cars].count("mqtt") == len(fleet.over_mqtt) == 2
    assert json.loads(sandbox.vehicles.read_text()) == []


def test_the_bench_has_a_key_that_unlocks(tmp_path: Path) -> None:
    """An API key opens what it was created for and nothing else: a load without the scope measures refusals."""
    sandbox = Sandbox(tmp_path / "mesh")
    sandbox.prepare(datetime.now(UTC))
    fleet = Fleet.of(cars=1, sleepers=1, strangers=1)
    fleet.join(sandbox)

    key = next(key for key in json.loads(sandbox.seed.read_text())["apiKeys"] if key["key"] == fleet.key)
    assert {"door.unlock", "door.lock", "door.read"} <= set(key["scopes"])

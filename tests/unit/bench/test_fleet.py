"""The fleet joins a prepared sandbox and the broker lets it speak."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path

from bench.fleet import Fleet
from key_files.pem import read_private
from mesh.ports import Ports
from mesh.sandbox import Sandbox
from mesh.sandbox_fleet import OWNERS
from services.enrolment.adapters import seed as enrolment_seed

VIN = re.compile(r"[A-HJ-NPR-Z0-9]{17}")


def test_every_vin_is_one() -> None:
    fleet = Fleet.of(cars=2, sleepers=3, strangers=4)
    vins = [*fleet.cars, *fleet.sleepers, *fleet.strangers, fleet.watched]
    assert len(set(vins)) == 10
    assert all(VIN.fullmatch(vin) for vin in vins)


def test_the_owner_may_and_the_cars_drive(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path / "mesh")
    sandbox.prepare(datetime.now(UTC))
    fleet = Fleet.of(cars=2, sleepers=1, strangers=1)
    fleet.join(sandbox)
    fleet.allow_on_broker(Ports(30_000), sandbox)

    seed = json.loads(sandbox.seed.read_text())
    granted = {grant["vin"] for grant in seed["grants"] if grant["principal"] == "bench"}
    assert granted == {*fleet.cars, *fleet.sleepers, *fleet.strangers, fleet.watched}
    assert fleet.key in [key["key"] for key in seed["apiKeys"]]
    cars = json.loads(sandbox.vehicles.read_text())
    assert [car["vin"] for car in cars] == list(fleet.cars)
    assert all(car["doorTimeSeconds"] == 0 and car["awake"] for car in cars)
    for car in cars:
        assert car["manifestFile"] == str(sandbox.ceremony.manifest)
        assert len(read_private(Path(car["keysFile"]))) == 2
    planted = {one.vin: one for one in enrolment_seed.read(sandbox.enrolment_seed)}
    assert planted.keys() == {*OWNERS, *fleet.cars, *fleet.sleepers, *fleet.strangers, fleet.watched}
    assert all(one.keys for one in planted.values())
    assert [vin for vin, one in planted.items() if one.fingerprint] == list(OWNERS)
    config = (sandbox.folder / "nats" / "nats.conf").read_text()
    assert '"vehicle.*.evt.result"' in config
    assert "$JS.API.CONSUMER.MSG.NEXT.VEHICLE_COMMANDS.*" in config

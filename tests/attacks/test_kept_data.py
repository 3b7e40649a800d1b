"""Somebody who reads what is kept: the services' databases, the broker's disk, the logs. They learn who drives when,
and hold nothing that opens anything.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from tests.attacks.people import bearer, owner_of
from tests.support.app import PUBLISHED_KEY, SAMPLE, App, Car, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.attacks.hostile_car import HostileCar
    from tests.support.running_mesh import Mesh

pytestmark = pytest.mark.system


@pytest.fixture
def used(mesh: Mesh) -> tuple[App, str]:
    """Somebody has just unlocked their car, and looked, with a bearer that nobody else has: their app, and a word of
    theirs that travelled to the car.
    """
    Car(mesh, SAMPLE).meet()
    app = App(mesh, SAMPLE, bearer(mesh, "user-123"))
    word = f"word-{uuid.uuid4()}"
    answer = eventually(lambda: (a := app.order("lock", correlation_id=word)).status_code == 202 and a, 45)
    app.end_of(answer.json()["commandId"])
    app.get("status")
    app.history()
    App(mesh, SAMPLE, PUBLISHED_KEY).get("status")
    return app, word


def files(*folders: Path) -> Iterator[Path]:
    for folder in folders:
        yield from (path for path in sorted(folder.rglob("*")) if path.is_file())


def holds(path: Path, wanted: bytes) -> bool:
    try:
        return wanted in path.read_bytes()
    except FileNotFoundError:  # the broker drops its blocks as they empty
        return False


def test_no_bearer_is_kept_anywhere(mesh: Mesh, used: tuple[App, str]) -> None:
    app, _ = used
    kept = list(files(mesh.data / "data", mesh.data / "nats" / "jetstream", mesh.data / "logs"))
    assert kept
    for secret in (PUBLISHED_KEY, app.bearer, app.bearer.rpartition(".")[2]):
        assert [path.name for path in kept if holds(path, secret.encode())] == []


def test_the_brokers_owner_reads_no_order(mesh: Mesh, used: tuple[App, str]) -> None:
    """What goes to a car and comes from it is sealed; live updates between services name the command."""
    _, word = used
    vehicles = [
        path
        for path in files(mesh.data / "nats" / "jetstream")
        if path.suffix == ".blk" and ("VEHICLE_" in str(path) or "MQTT" in str(path))
    ]
    assert vehicles
    assert [path for path in vehicles if holds(path, word.encode())] == []


def test_what_is_kept_of_a_stranger_is_nothing(mesh: Mesh, hostile_car: HostileCar) -> None:
    """Asking for a car that is not theirs leaves no trace that its owner reads as their own doing."""
    owner = owner_of(mesh, hostile_car.vin)
    stranger = App(mesh, hostile_car.vin, bearer(mesh, "stranger"))
    assert stranger.order("unlock").status_code == 404
    assert stranger.get("status").status_code == 404
    assert stranger.history().get("history") is None
    assert owner.history(period="30d")["history"] == []

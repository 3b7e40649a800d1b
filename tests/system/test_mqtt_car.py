"""The car that speaks MQTT, as its owner meets it: nothing shows that it is another link."""

from __future__ import annotations

import os
import signal
import uuid
from typing import TYPE_CHECKING

import pytest

from tests.support.app import SECOND, App, Car, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.running_mesh import Mesh

pytestmark = pytest.mark.system
LOCKABLE = {"driver", "passenger", "rearLeft", "rearRight", "trunk"}


@pytest.fixture
def app(mesh: Mesh) -> App:
    return App(mesh, SECOND)


@pytest.fixture
def car(mesh: Mesh, app: App) -> Iterator[Car]:
    car = Car(mesh, SECOND)
    car.do("wake")
    car.do("door-time", seconds=0.05)
    finish(app, "lock")
    yield car
    car.do("enter-coverage")
    car.do("door-time", seconds=0.05)


def finish(app: App, action: str) -> dict:
    answer = eventually(lambda: (a := app.order(action)).status_code == 202 and a, 60)
    return app.end_of(answer.json()["commandId"])


def test_an_unlock_moves_its_doors(app: App, car: Car) -> None:
    ended = finish(app, "unlock")
    assert ended["status"] == "SUCCESS"
    assert car.moved(ended["commandId"]) == LOCKABLE
    eventually(lambda: app.get("status").json()["doors"]["trunk"]["locked"] is False)


def test_its_settings_arrive(app: App, car: Car) -> None:
    answer = app.send("PUT", "config", {"autoLockDelay": 77, "autoLockEnabled": True})
    assert answer.status_code == 200, answer.text
    eventually(lambda: car.state()["settings"]["auto_lock_delay_seconds"] == 77)


def test_out_of_reach_it_acts_on_coming_back(app: App, car: Car) -> None:
    car.do("leave-coverage")
    # The broker says it as the connection breaks; silence alone would say it after two intervals of reports.
    eventually(lambda: app.get("status").json()["connectivity"] == "LOST", 30)
    command_id = app.order("unlock").json()["commandId"]
    eventually(lambda: "SENT" in {stage["name"] for stage in app.command(command_id)["stages"]})
    assert car.actuations(command_id) == []
    car.do("enter-coverage")
    assert app.end_of(command_id)["status"] == "SUCCESS"
    assert car.moved(command_id) == LOCKABLE


def test_a_forced_cancellation_reaches_it_between_doors(app: App, car: Car) -> None:
    car.do("door-time", seconds=1.5)
    correlation_id = f"t-{uuid.uuid4()}"
    command_id = app.order("unlock", correlation_id=correlation_id).json()["commandId"]
    eventually(lambda: car.actuations(command_id))
    body = {"correlationId": correlation_id, "reason": "Emergency stop", "force": True}
    answer = app.send("POST", "cancel", body)
    assert answer.status_code == 202, answer.text
    ended = app.end_of(command_id)
    assert {r["doorId"] for r in ended["doorResults"] if r["success"]} == car.moved(command_id) < LOCKABLE


@pytest.mark.disturbs
@pytest.mark.timeout(200)
def test_its_result_survives_the_brokers_death(mesh: Mesh, app: App, car: Car) -> None:
    car.do("door-time", seconds=0.3)
    command_id = app.order("unlock").json()["commandId"]
    eventually(lambda: car.actuations(command_id))
    os.kill(mesh.pid_of("nats"), signal.SIGKILL)
    ended = app.end_of(command_id, 75)
    if (
        ended["status"] == "TIMEOUT"
    ):  # the broker was not back within the command's 30 s; the result comes all the same
        ended = eventually(lambda: app.command(command_id).get("lateResult"), 90)
    assert ended["status"] == "SUCCESS"
    assert car.moved(command_id) == LOCKABLE
    befores = [line["door"] for line in car.actuations(command_id) if line["phase"] == "BEFORE"]
    assert len(befores) == len(set(befores))

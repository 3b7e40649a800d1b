"""Cars in a garage without signal, over NATS and MQTT: in time they act, too late they never do."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.support.app import ASLEEP, SECOND, App, Car, eventually

if TYPE_CHECKING:
    from tests.support.running_mesh import Mesh


IN_TIME_SECONDS = 12
"""Longer than a car that is there waits before it asks the broker again (11 s), and well below a command's 30 s."""


@pytest.mark.timeout(150)
def test_in_time_it_acts_and_too_late_it_never_does(mesh: Mesh) -> None:
    cars = [(App(mesh, vin), Car(mesh, vin)) for vin in (ASLEEP, SECOND)]
    for app, car in cars:
        car.meet()
        car.do("door-time", seconds=0)
        locked = eventually(lambda app=app: (a := app.order("lock")).status_code == 202 and a, 45)
        assert app.end_of(locked.json()["commandId"])["status"] == "SUCCESS"

    in_time = _ordered_while_away(cars)
    time.sleep(IN_TIME_SECONDS)  # how long a car is away is what this is about
    for _, car in cars:
        assert car.state()["connected"] is False
        car.do("enter-coverage")
    for (app, car), command_id in zip(cars, in_time, strict=True):
        assert app.end_of(command_id)["status"] == "SUCCESS"
        assert car.moved(command_id)
        finished = app.order("lock").json()["commandId"]
        assert app.end_of(finished)["status"] == "SUCCESS"

    too_late = _ordered_while_away(cars)
    later = []
    for (app, car), command_id in zip(cars, too_late, strict=True):
        ended = app.end_of(command_id, 60)
        assert (ended["status"], ended["mayHaveSucceeded"]) == ("TIMEOUT", True)
        assert car.state()["connected"] is False
        # Who does not answer is neither there nor shown as it stands, however short ago its last report was.
        status = app.get("status").json()
        assert (status["connectivity"], status["stale"]) == ("LOST", True)
        accepted = app.order("lock").json()
        assert "not been heard of" in accepted["message"]
        assert accepted["estimatedDuration"] == 30
        later.append(accepted["commandId"])
    for (app, car), command_id, lock in zip(cars, too_late, later, strict=True):
        car.do("enter-coverage")
        # Whatever waited for the car has reached it before this has.
        assert app.end_of(lock)["status"] == "SUCCESS"
        assert car.actuations(command_id) == []
        status = eventually(lambda app=app: (s := app.get("status").json())["connectivity"] == "ONLINE" and s)
        assert status["stale"] is False
        usual = eventually(lambda app=app: (a := app.order("lock")).status_code == 202 and a).json()
        assert usual["estimatedDuration"] == 5
        assert app.end_of(usual["commandId"])["status"] == "SUCCESS"
    cars[0][1].do("sleep")


def _ordered_while_away(cars: list[tuple[App, Car]]) -> list[str]:
    """Unlocks that each car is away for. They are away still."""
    for _, car in cars:
        car.do("leave-coverage")
    return [app.order("unlock").json()["commandId"] for app, _ in cars]

"""What vehicles have and can do, through the edge: what a model lacks is refused before it reaches the car."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.app import ASLEEP, App, Car, eventually
from tests.support.vehicle_models import COUPE, SEDAN, VAN

if TYPE_CHECKING:
    from tests.support.running_mesh import Mesh

pytestmark = pytest.mark.system


def capabilities(app: App) -> dict[str, Any]:
    answer = app.get("capabilities")
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_each_vehicle_says_what_it_has_and_that_it_can_be_reached(mesh: Mesh) -> None:
    for vin, model, doors in ((SEDAN, "Sedan", 6), (COUPE, "Coupe", 4), (VAN, "Van", 5)):
        Car(mesh, vin).meet()
        told = capabilities(App(mesh, vin))
        assert (told["vin"], told["model"], len(told["doors"])) == (vin, model, doors)
        assert told["reachability"]["state"] == "ONLINE"
        shown = App(mesh, vin).get("status").json()["doors"]
        assert set(shown) == {door["doorId"] for door in told["doors"]}
        for door in told["doors"]:
            assert ("windowOpen" in shown[door["doorId"]]) == door["windowSensor"]
            assert ("childLock" in shown[door["doorId"]]) == door["childLock"]
            assert ("open" in shown[door["doorId"]]) == door["openSensor"]


def test_what_a_model_lacks_reaches_no_car_and_stands_in_history_and_audit(mesh: Mesh) -> None:
    coupe, car = App(mesh, COUPE), Car(mesh, COUPE)
    car.meet()
    before = len(car.actuations())
    refused = coupe.order("lock", ["rearLeft"])
    assert (refused.status_code, refused.json()["code"]) == (400, "INVALID_REQUEST")
    assert refused.json()["errors"] == [{"field": "targetDoors[0]", "reason": "this vehicle has no rearLeft"}]
    trunk = coupe.order("unlock", ["trunk"])
    assert (trunk.status_code, trunk.json()["code"]) == (409, "FUNCTION_NOT_AVAILABLE")
    assert trunk.json()["function"] == "TRUNK_RELEASE"
    child = coupe.send("PUT", "config", {"childLockEnabled": True})
    assert (child.status_code, child.json()["function"]) == (409, "CHILD_LOCK")
    van = App(mesh, VAN).order("unlock")
    assert (van.status_code, van.json()["function"]) == (409, "REMOTE_UNLOCK")
    eventually(
        lambda: (
            [entry["targetDoors"] for entry in coupe.history(limit=5)["history"] if entry["failureReason"]][
                :2
            ]
            == [["trunk"], ["rearLeft"]]
        )
    )
    assert len(car.actuations()) == before
    # The audit service gets the entries a moment later.
    refusals = eventually(
        lambda: (
            (found := [e["sentence"] for e in coupe.audit() if "refused" in e["sentence"]])
            and len(found) >= 3
            and found
        )
    )
    assert any("unlock the doors" in text for text in refusals)


def test_all_means_the_doors_that_there_are(mesh: Mesh) -> None:
    coupe, car = App(mesh, COUPE), Car(mesh, COUPE)
    car.meet()
    car.do("door-time", seconds=0)
    locked = coupe.end_of(coupe.order("lock").json()["commandId"])
    assert locked["status"] == "SUCCESS"
    assert {each["doorId"] for each in locked["doorResults"]} == {"driver", "passenger", "trunk"}
    unlocked = coupe.end_of(coupe.order("unlock").json()["commandId"])
    assert unlocked["status"] == "SUCCESS"
    assert {each["doorId"] for each in unlocked["doorResults"]} == {"driver", "passenger"}


def test_one_that_sleeps_says_when_it_may_be_woken(mesh: Mesh) -> None:
    app, car = App(mesh, ASLEEP), Car(mesh, ASLEEP)
    car.do("wake")
    eventually(lambda: capabilities(app)["reachability"]["state"] == "ONLINE")
    car.do("sleep")
    told = eventually(lambda: (reach := capabilities(app)["reachability"])["state"] == "ASLEEP" and reach)
    assert told["since"] < told["wakeUpAt"]


def test_one_whose_remote_access_is_switched_off_refuses_and_says_so(mesh: Mesh) -> None:
    app, car = App(mesh, COUPE), Car(mesh, COUPE)
    car.meet()
    try:
        car.do("remote-access", remoteAccess="DISABLED")
        eventually(lambda: capabilities(app)["reachability"]["state"] == "REMOTE_ACCESS_DISABLED")
        refused = eventually(lambda: (a := app.order("lock")).status_code == 409 and a)
        assert refused.json()["code"] == "REMOTE_ACCESS_DISABLED"
        car.do("remote-access", remoteAccess="PRIVACY_MODE")
        eventually(lambda: capabilities(app)["reachability"]["state"] == "PRIVACY_MODE")
        assert "ignitionStatus" not in app.get("status").json()
    finally:
        car.do("remote-access", remoteAccess="ENABLED")
    eventually(lambda: capabilities(app)["reachability"]["state"] == "ONLINE")
    # What stands in a command's way is told when it ends, a moment after the report.
    accepted = eventually(lambda: (a := app.order("lock")).status_code == 202 and a)
    assert app.end_of(accepted.json()["commandId"])["status"] == "SUCCESS"

"""The specification's scenarios 1 to 3, line by line: what the app, the vehicle and the call centre do in each.

Where the specification speaks of a push notification, a phone of the sandbox is looked at. What an app does with its
screen is in tests/browser.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from services.failure_texts import Language, failure_words
from tests.support.app import SAMPLE, App, Car, eventually
from tests.support.phones import PhoneOwner
from tests.system.test_websocket import opened, subscribe, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.phones import Phone
    from tests.support.running_mesh import Mesh

pytestmark = pytest.mark.system
LOCKABLE = {"driver", "passenger", "rearLeft", "rearRight", "trunk"}
COMMAND_LIFE_SECONDS = 30


@pytest.fixture
def car(mesh: Mesh) -> Iterator[Car]:
    """The customer's car, parked and shut, which moves its doors at once; left as it was found."""
    car = Car(mesh)
    car.meet()
    car.do("park")
    car.do("battery", percent=90)
    car.do("door-time", seconds=0)
    for door in ("driver", "passenger"):
        car.do(f"doors/{door}/close")
    yield car
    car.do("park")
    car.do("battery", percent=90)
    car.do("door-time", seconds=0)
    car.do("actuators/rearLeft/repair")
    for door in ("driver", "passenger"):
        car.do(f"doors/{door}/close")


@pytest.fixture
def app(mesh: Mesh, car: Car) -> App:  # noqa: ARG001  # the car is there before anybody asks for it
    """The customer's phone."""
    return App(mesh, bearer=mesh.token("user-123"))


@pytest.fixture
def phone(mesh: Mesh, app: App) -> Iterator[Phone]:
    """What the customer's phone is told by its push service."""
    with PhoneOwner(mesh, app.bearer).phone("FCM") as phone:
        yield phone


@pytest.fixture
def desk(mesh: Mesh, car: Car) -> App:  # noqa: ARG001  # the car is there before anybody asks for it
    """The call centre, with an agent's token for this customer and car."""
    token = mesh.token("user-123", vin=SAMPLE, actor=f"agent-{uuid.uuid4()}", case=f"C-{uuid.uuid4()}")
    return App(mesh, bearer=token)


def new_id() -> str:
    return f"scenario-{uuid.uuid4()}"


def accepted(who: App, action: str, doors: list[str] | None = None, **rest: Any) -> dict[str, Any]:
    """The answer to a command, once nothing of another test is in its way."""
    answer = eventually(lambda: (a := who.order(action, doors, **rest)).status_code != 409 and a)
    assert answer.status_code == 202, answer.text
    document: dict[str, Any] = answer.json()
    return document


def tells(kind: str, **data: Any) -> Any:
    """Whether an event of the stream is of this type and says this."""
    return lambda e: (
        e.get("event") == kind and all(e["data"]["data"].get(name) == value for name, value in data.items())
    )


# Scenario 1: Remote Door Control Request and Execution


def test_1_app_requests_an_unlock_after_it_has_generated_a_correlation_id(app: App) -> None:
    correlation_id = new_id()
    command = accepted(app, "unlock", ["driver"], correlation_id=correlation_id)
    assert command["correlationId"] == correlation_id
    again = app.order("unlock", ["driver"], correlation_id=correlation_id)
    assert (again.status_code, again.json()["commandId"]) == (202, command["commandId"])
    app.end_of(command["commandId"])


def test_1_app_receives_202_accepted(app: App) -> None:
    command = accepted(app, "lock")
    assert command["status"] == "PENDING"
    assert {"commandId", "vin", "message", "estimatedDuration", "timestamp"} <= command.keys()
    app.end_of(command["commandId"])


def test_1_app_receives_the_result_as_a_push_notification(app: App, phone: Phone) -> None:
    for action, title in (("unlock", "Unlocked"), ("lock", "Locked")):
        told = phone.message(accepted(app, action)["commandId"])
        assert told["title"] == title
        assert f"Your car is {title.lower()}." in told["body"]


def test_1_app_updates_its_screen_with_what_comes_within_30_seconds(app: App) -> None:
    """What comes later is `TIMEOUT`: tests/system/test_away_cars.py."""
    ended = app.end_of(accepted(app, "lock")["commandId"])
    times = {stage["name"]: datetime.fromisoformat(stage["time"]) for stage in ended["stages"]}
    assert (times["FINISHED"] - times["ACCEPTED"]).total_seconds() < COMMAND_LIFE_SECONDS
    doors = app.get("status").json()["doors"]
    assert all(doors[name]["locked"] for name in LOCKABLE)


def test_1_vehicle_receives_the_command(app: App, car: Car) -> None:
    command_id = accepted(app, "unlock", ["driver"])["commandId"]
    ended = app.end_of(command_id)
    assert "RECEIVED" in {stage["name"] for stage in ended["stages"]}
    assert car.state()["connected"]


def test_1_vehicle_controls_the_actuators(app: App, car: Car) -> None:
    app.end_of(accepted(app, "lock")["commandId"])
    command_id = accepted(app, "unlock", ["driver", "trunk"])["commandId"]
    app.end_of(command_id)
    assert car.moved(command_id) == {"driver", "trunk"}


def test_1_vehicle_publishes_the_result(app: App) -> None:
    app.end_of(accepted(app, "unlock", ["passenger"])["commandId"])
    ended = app.end_of(accepted(app, "lock")["commandId"])
    assert ended["status"] == "SUCCESS"
    assert {each["doorId"]: each["success"] for each in ended["doorResults"]} == dict.fromkeys(LOCKABLE, True)


def test_1_call_center_requests_for_the_customer_after_it_has_generated_a_correlation_id(
    app: App, desk: App
) -> None:
    correlation_id = new_id()
    command = accepted(desk, "unlock", ["driver"], correlation_id=correlation_id)
    assert command["correlationId"] == correlation_id
    desk.end_of(command["commandId"])
    entry = eventually(
        lambda: [e for e in app.history()["history"] if e["commandId"] == command["commandId"]]
    )
    assert (entry[0]["source"], entry[0]["userId"]) == ("CALL_CENTER", "user-123")


def test_1_call_center_receives_202_accepted(desk: App) -> None:
    command = accepted(desk, "lock")
    assert command["status"] == "PENDING"
    desk.end_of(command["commandId"])


def test_1_call_center_receives_the_result_on_the_websocket(mesh: Mesh, desk: App) -> None:
    with opened(mesh, desk.bearer) as events:
        assert subscribe(events, SAMPLE)[SAMPLE]["type"] == "SUBSCRIBED"
        command_id = accepted(desk, "lock")["commandId"]
        ended = until(
            events,
            lambda m: m["data"].get("commandId") == command_id and m["data"].get("status") == "SUCCESS",
        )
    assert (ended["type"], ended["vin"]) == ("COMMAND_STATUS_UPDATE", SAMPLE)


# Scenario 2: Door Control Failure and Exception Handling


def test_2_app_requests_a_lock_and_an_unlock(app: App) -> None:
    for action in ("unlock", "lock"):
        assert app.end_of(accepted(app, action)["commandId"])["status"] == "SUCCESS"


def test_2_app_receives_why_it_failed_as_a_push_notification(app: App, car: Car, phone: Phone) -> None:
    car.do("battery", percent=5)
    told = phone.message(accepted(app, "unlock", ["driver"])["commandId"])
    why = failure_words("LOW_BATTERY", Language.ENGLISH)
    assert told["title"] == "Not unlocked"
    assert f"{why.title}. {why.guidance}" in told["body"]


def test_2_app_checks_the_status_of_the_doors(app: App, car: Car) -> None:
    app.end_of(accepted(app, "lock")["commandId"])
    car.do("actuators/rearLeft/fail")
    ended = app.end_of(accepted(app, "unlock", ["driver", "rearLeft"])["commandId"])
    assert ended["failureReason"] == "PARTIAL_SUCCESS"
    doors = eventually(lambda: (d := app.get("status").json()["doors"])["driver"]["locked"] is False and d)
    assert doors["rearLeft"]["locked"] is True


def test_2_app_cancels_the_executing_command(app: App, car: Car) -> None:
    app.end_of(accepted(app, "lock")["commandId"])
    car.do("door-time", seconds=1.5)
    correlation_id = new_id()
    command_id = accepted(app, "unlock", unlockMode="EMERGENCY", correlation_id=correlation_id)["commandId"]
    eventually(lambda: car.actuations(command_id))
    body = {"correlationId": correlation_id, "reason": "Emergency stop", "force": True}
    assert app.send("POST", "cancel", body).status_code == 202
    assert app.end_of(command_id)["failureReason"] in {"PARTIAL_SUCCESS", "CANCELLED"}
    assert car.moved(command_id) < LOCKABLE


def test_2_vehicle_verifies_that_it_is_safe(app: App, car: Car) -> None:
    car.do("battery", percent=5)
    command_id = accepted(app, "unlock", ["driver"])["commandId"]
    assert app.end_of(command_id)["status"] == "FAILED"
    assert car.actuations(command_id) == []


def test_2_vehicle_gives_the_reason_when_it_cannot(app: App, car: Car) -> None:
    car.do("battery", percent=5)
    ended = app.end_of(accepted(app, "unlock", ["driver"])["commandId"])
    assert (ended["failureReason"], ended["mayHaveSucceeded"]) == ("LOW_BATTERY", False)
    assert "key" in ended["guidance"]


def test_2_vehicle_publishes_the_failure(app: App, car: Car) -> None:
    app.end_of(accepted(app, "unlock")["commandId"])
    car.do("actuators/rearLeft/fail")
    ended = app.end_of(accepted(app, "lock")["commandId"])
    assert ended["status"] == "FAILED"
    assert {each["doorId"]: each["success"] for each in ended["doorResults"]}["rearLeft"] is False


def test_2_call_center_queries_the_history_of_failures(app: App, desk: App, car: Car) -> None:
    car.do("battery", percent=5)
    command_id = accepted(app, "unlock", ["driver"])["commandId"]
    app.end_of(command_id)
    found = eventually(
        lambda: [
            each
            for each in desk.history(period="1h", status="FAILED", limit=200)["history"]
            if each["commandId"] == command_id
        ]
    )
    assert found[0]["failureReason"] == "LOW_BATTERY"


def test_2_call_center_checks_the_diagnostics(desk: App, car: Car) -> None:
    car.do("actuators/rearLeft/fail")

    def broken() -> bool:
        parts = desk.get("diagnostics").json()["components"]
        return any(part["id"] == "rear_left_actuator_01" and part["status"] == "ERROR" for part in parts)

    eventually(broken)


def test_2_call_center_analyzes_the_cause_and_guides_the_customer(app: App, desk: App, car: Car) -> None:
    car.do("battery", percent=5)
    command_id = accepted(app, "unlock", ["driver"])["commandId"]
    app.end_of(command_id)
    read = desk.command(command_id)
    assert read["failureReason"] == "LOW_BATTERY"
    assert read["guidance"]


# Scenario 3: Door Status Monitoring and Settings Management


def test_3_app_checks_the_status(app: App) -> None:
    status = app.get("status").json()
    assert (status["vin"], status["connectivity"]) == (SAMPLE, "ONLINE")
    assert set(status["doors"]) == {*LOCKABLE, "hood"}


def test_3_app_checks_the_settings(app: App) -> None:
    config = app.get("config").json()
    assert {
        "autoLockEnabled",
        "autoLockDelay",
        "unlockMode",
        "childLockEnabled",
        "updatedTime",
    } <= config.keys()


def test_3_app_changes_settings_such_as_auto_lock(app: App) -> None:
    before = app.get("config").json()["autoLockDelay"]
    changed = app.send("PUT", "config", {"autoLockDelay": 44})
    assert (changed.status_code, changed.json()["autoLockDelay"]) == (200, 44)
    eventually(lambda: app.get("config").json()["application"]["state"] == "APPLIED")
    app.send("PUT", "config", {"autoLockDelay": before})


def test_3_app_monitors_changes_on_the_event_stream(app: App, car: Car) -> None:
    app.end_of(accepted(app, "unlock", ["driver"])["commandId"])
    with app.stream() as told:
        car.do("doors/driver/open")
        told.wait_for(tells("DOOR_STATUS_UPDATE", doorId="driver", changeType="OPENED"))
        car.do("doors/driver/close")
        told.wait_for(tells("DOOR_STATUS_UPDATE", doorId="driver", changeType="CLOSED"))


def test_3_vehicle_collects_doors_locks_and_windows(app: App, car: Car) -> None:
    car.do("doors/driver/unlock")
    car.do("doors/driver/open")
    car.do("doors/passenger/window-open")

    def seen() -> bool:
        doors = app.get("status").json()["doors"]
        driver = doors["driver"]
        return driver["open"] and not driver["locked"] and doors["passenger"]["windowOpen"]

    eventually(seen)
    car.do("doors/passenger/window-close")


def test_3_vehicle_transmits_what_it_collected(app: App, car: Car) -> None:
    before = app.get("status").json()["receivedAt"]
    car.do("doors/driver/unlock")
    eventually(lambda: app.get("status").json()["receivedAt"] > before)


def test_3_vehicle_applies_the_settings(app: App, car: Car) -> None:
    changed = app.send("PUT", "config", {"speedBasedLockEnabled": True, "speedLockThreshold": 15})
    assert changed.status_code == 200, changed.text
    eventually(lambda: app.get("config").json()["application"]["state"] == "APPLIED")
    car.do("doors/driver/unlock")
    with app.stream() as told:
        car.do("drive", speedKmh=30)
        told.wait_for(tells("DOOR_STATUS_UPDATE", doorId="driver", changeType="LOCKED"))
    assert car.state_locked()


def test_3_call_center_sees_the_status_as_it_changes(mesh: Mesh, desk: App, car: Car) -> None:
    car.do("doors/driver/unlock")
    eventually(lambda: desk.get("status").json()["doors"]["driver"]["locked"] is False)
    with opened(mesh, desk.bearer) as events:
        subscribe(events, SAMPLE)
        car.do("doors/driver/open")
        until(
            events, lambda m: m["data"].get("doorId") == "driver" and m["data"].get("changeType") == "OPENED"
        )


def test_3_call_center_supports_settings(desk: App) -> None:
    before = desk.get("config").json()["autoLockDelay"]
    assert desk.send("PUT", "config", {"autoLockDelay": 50}).json()["autoLockDelay"] == 50
    desk.send("PUT", "config", {"autoLockDelay": before})


def test_3_call_center_performs_diagnostics(desk: App) -> None:
    told = desk.get("diagnostics").json()
    assert {"systemStatus", "components", "alerts", "lastCheck"} <= told.keys()
    assert all(0 <= part["health"] <= 100 for part in told["components"] if "health" in part)

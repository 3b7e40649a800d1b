"""Cars that lack doors or cannot tell how they stand: what they do not know is nowhere shown as known."""

from __future__ import annotations

import uuid
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from ecarus.remotecontrol.door.v1.door_command_pb2 import CommandStatus
from ecarus.remotecontrol.door.v1.door_command_service_pb2 import GetCommandRequest, ListCommandHistoryRequest
from ecarus.remotecontrol.door.v1.door_command_service_pb2_grpc import DoorCommandServiceStub
from ecarus.remotecontrol.door.v1.door_status_service_pb2 import GetDoorStatusRequest, WatchDoorUpdatesRequest
from ecarus.remotecontrol.door.v1.door_status_service_pb2_grpc import DoorStatusServiceStub
from google.protobuf.json_format import MessageToDict
from google.protobuf.timestamp_pb2 import Timestamp

from tests.support.app import SAMPLE, App, Car, eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ecarus.remotecontrol.door.v1.door_update_pb2 import DoorUpdate

    from tests.support.running_mesh import Mesh


pytestmark = pytest.mark.system
ALL = ("driver", "passenger", "rearLeft", "rearRight", "trunk", "hood")
FRONT = ["driver", "passenger", "trunk", "hood"]


@pytest.fixture
def app(mesh: Mesh) -> App:
    return App(mesh)


@pytest.fixture
def fit(mesh: Mesh) -> Iterator[Callable[..., Car]]:
    """Makes the sample car one of this equipment, parked and known to the cloud; puts it back at the end."""
    car, app = Car(mesh, SAMPLE), App(mesh)

    def rebuilt(**equipment: list[str]) -> Car:
        car.do("park")
        car.do("door-time", seconds=0.02)
        car.do("leave-coverage")  # so that what is received from now on is of the car that comes back
        left_at = datetime.now(UTC)
        car.do("equipment", equipment=equipment)
        eventually(lambda: received_at(app) > left_at, 40)
        return car

    yield rebuilt
    rebuilt()
    assert set(app.get("status").json()["doors"]) == set(ALL)


def received_at(app: App) -> datetime:
    """When the status that is shown was received."""
    return datetime.fromisoformat(app.get("status").json()["receivedAt"])


def finish(app: App, action: str, doors: list[str] | None = None, **rest: Any) -> dict[str, Any]:
    answer = eventually(lambda: (a := app.order(action, doors, **rest)).status_code != 409 and a)
    assert answer.status_code == 202, answer.text
    return app.end_of(answer.json()["commandId"])


def doors_of(app: App) -> dict[str, dict[str, bool]]:
    """The doors that the last report named. What an earlier one named may be shown with its age beside them."""
    doors: dict[str, dict[str, bool]] = app.get("status").json()["doors"]
    return {name: door for name, door in doors.items() if "receivedAt" not in door}


def in_history(app: App, command_id: str) -> dict[str, Any]:
    entry: dict[str, Any] = eventually(
        lambda: next((e for e in app.history()["history"] if e["commandId"] == command_id), None)
    )
    return entry


def unlocked_all(app: App) -> dict[str, Any]:
    """The end of an unlock of every door that was locked before."""
    finish(app, "lock")
    return finish(app, "unlock", unlockMode="EMERGENCY")


@pytest.mark.parametrize("missing", [("rearLeft", "rearRight"), ("rearLeft",)], ids=["two doors", "a van"])
def test_a_car_without_some_doors(app: App, fit: Callable[..., Car], missing: tuple[str, ...]) -> None:
    has = [door for door in ALL if door not in missing]
    car = fit(doors=has)
    assert set(doors_of(app)) == set(app.get("status").json()["doors"]) == set(has)

    ended = unlocked_all(app)
    lockable = [door for door in has if door != "hood"]
    assert ended["status"] == "SUCCESS"
    assert [result["doorId"] for result in ended["doorResults"]] == lockable
    assert car.moved(ended["commandId"]) == set(lockable)
    assert in_history(app, ended["commandId"])["doorResults"] == ended["doorResults"]
    eventually(lambda: doors_of(app)["trunk"].get("locked") is False)
    confirmed = eventually(lambda: app.command(ended["commandId"]).get("confirmation"))
    assert (confirmed["state"], [d["doorId"] for d in confirmed["doors"]]) == ("CONFIRMED", lockable)

    refused = finish(app, "lock", ["driver", "rearLeft"])
    assert (refused["status"], refused["failureReason"]) == ("FAILED", "NOT_SUPPORTED")
    assert "no door rearLeft" in refused["guidance"]
    assert {result["doorId"]: result.get("locked") for result in refused["doorResults"]} == {
        "driver": False,
        "rearLeft": None,
    }
    assert car.moved(refused["commandId"]) == set()
    assert in_history(app, refused["commandId"])["doorResults"] == refused["doorResults"]


def test_a_car_without_lock_switches(app: App, fit: Callable[..., Car]) -> None:
    car = fit(lockSwitches=[])
    doors = doors_of(app)
    assert [door.get("locked") for door in doors.values()] == [None] * 6
    assert all("open" in door for door in doors.values())

    with app.stream() as stream:
        ended = unlocked_all(app)
        car.do("doors/driver/open")
        told = stream.wait_for(lambda e: e["data"]["data"].get("changeType") == "OPENED")["data"]["data"]
        car.do("doors/driver/close")
        stream.wait_for(lambda e: e["data"]["data"].get("changeType") == "CLOSED")
    assert ended["status"] == "SUCCESS"
    assert len(car.moved(ended["commandId"])) == 5
    assert [(r["success"], r.get("locked")) for r in ended["doorResults"]] == [(True, None)] * 5
    assert in_history(app, ended["commandId"])["doorResults"] == ended["doorResults"]
    assert told == {
        "doorId": "driver",
        "open": True,
        "windowOpen": False,
        "changeType": "OPENED",
        "previousState": {"open": False},
    }
    kinds = {event["data"]["data"].get("changeType") for event in stream.events}
    assert not kinds & {"LOCKED", "UNLOCKED"}
    alerts = [event["data"]["data"].get("code") for event in stream.events]
    assert "COMMAND_CONTRADICTED" not in alerts
    assert "confirmation" not in app.command(ended["commandId"])


def test_a_car_without_window_sensors_or_door_switches(app: App, fit: Callable[..., Car]) -> None:
    car = fit(windowSensors=[], doorSwitches=["trunk", "hood"])
    doors = doors_of(app)
    assert not any("windowOpen" in door for door in doors.values())
    assert {name for name, door in doors.items() if "open" in door} == {"trunk", "hood"}

    with app.stream() as stream:
        finish(app, "lock")
        finish(app, "unlock", ["driver"], unlockMode="EMERGENCY")
        told = stream.wait_for(lambda e: e["data"]["data"].get("changeType") == "UNLOCKED")["data"]["data"]
        car.do("doors/driver/window-open")
        car.do("doors/driver/window-close")
    # Named by the report, which may come before the result or after it.
    assert told.pop("cause", "COMMAND") == "COMMAND"
    assert told == {
        "doorId": "driver",
        "locked": False,
        "changeType": "UNLOCKED",
        "previousState": {"locked": True},
    }


def test_a_car_that_tells_of_some_doors_only(app: App, fit: Callable[..., Car]) -> None:
    told = ["driver", "trunk"]
    fit(lockSwitches=told, doorSwitches=told, windowSensors=["driver"], childLocks=[])
    assert set(doors_of(app)) == set(told)

    ended = unlocked_all(app)
    assert ended["status"] == "SUCCESS"
    assert {r["doorId"]: r.get("locked") for r in ended["doorResults"]} == {
        "driver": False,
        "passenger": None,
        "rearLeft": None,
        "rearRight": None,
        "trunk": False,
    }
    eventually(lambda: doors_of(app)["trunk"].get("locked") is False)
    shown = app.get("status").json()["doors"]
    unsensed = {name: door for name, door in shown.items() if "receivedAt" in door}
    assert {name for name, door in unsensed.items() if "locked" in door} == {"hood"}  # that no command moves
    assert set(unsensed) == set(ALL) - set(told)


def test_a_setting_that_the_car_lacks_is_named_until_the_next_change(
    app: App, fit: Callable[..., Car]
) -> None:
    fit(doors=FRONT)
    usual = app.get("config").json()["autoLockDelay"]
    assert app.send("PUT", "config", {"childLockEnabled": True, "autoLockDelay": 45}).status_code == 200
    shown = eventually(lambda: (c := app.get("config").json())["application"].get("leftOut") and c)
    assert (shown["childLockEnabled"], shown["autoLockDelay"]) == (False, 45)
    assert shown["application"]["state"] == "APPLIED"
    assert shown["application"]["leftOut"] == {
        "settings": ["childLockEnabled"],
        "reason": "child_lock_enabled: this car has no child locks",
    }
    back = app.send("PUT", "config", {**shown, "autoLockDelay": usual})
    assert back.status_code == 200, back.text
    after = eventually(lambda: (c := app.get("config").json())["application"]["state"] == "APPLIED" and c)
    assert "leftOut" not in after["application"]


def test_the_history_shows_what_an_unlock_of_all_meant(
    app: App, fit: Callable[..., Car], team: grpc.Channel
) -> None:
    car = fit()
    usual = app.get("config").json()["unlockMode"]

    def run_with(mode: str) -> None:
        assert app.send("PUT", "config", {"unlockMode": mode}).status_code == 200
        eventually(lambda: car.state()["settings"]["unlock_mode"] == mode)

    run_with("DRIVER_ONLY")
    try:
        finish(app, "lock")
        with app.stream() as stream, watched(team, app) as updates:
            ended = finish(app, "unlock", correlation_id=f"t-{uuid.uuid4()}")
            event = stream.wait_for(lambda e: e["data"]["data"].get("status") == "SUCCESS")["data"]["data"]
            told = next(u for u in updates if u.command_status.status == CommandStatus.SUCCESS)
    finally:
        run_with(usual)
    assert (ended["status"], ended["targetDoors"]) == ("SUCCESS", ["all"])
    moved = [{"doorId": "driver", "success": True, "locked": False}]
    assert ended["doorResults"] == moved
    assert car.moved(ended["commandId"]) == {"driver"}
    entry = in_history(app, ended["commandId"])
    assert (entry["targetDoors"], entry["status"], entry["failureReason"]) == (["all"], "SUCCESS", None)
    assert entry["doorResults"] == moved
    assert event["doorResults"] == moved
    assert as_json(told.command_status)["doorResults"] == moved
    commands: Any = DoorCommandServiceStub(team)
    sent = (("authorization", f"Bearer {app.bearer}"),)
    command = commands.GetCommand(
        GetCommandRequest(vin=app.vin, command_id=ended["commandId"]), metadata=sent, timeout=30
    )
    history = commands.ListCommandHistory(ListCommandHistoryRequest(vin=app.vin), metadata=sent, timeout=30)
    [listed] = [each for each in history.history if each.command_id == ended["commandId"]]
    for each in (command, listed):
        assert as_json(each)["doorResults"] == moved
    status: Any = DoorStatusServiceStub(team).GetDoorStatus(
        GetDoorStatusRequest(vin=app.vin), metadata=sent, timeout=30
    )
    times = [at for each in (command, listed, told, status) for at in times_of(each)]
    assert len(times) > 6
    assert [at for at in times if at.nanos % 1_000_000] == []  # to the millisecond, like everybody's
    assert listed.failure_reason.WhichOneof("kind") == "null_value"


@pytest.fixture
def team(mesh: Mesh) -> Iterator[grpc.Channel]:
    """A team's channel to the edge."""
    pki = mesh.data / "pki"
    identity = grpc.ssl_channel_credentials(
        *((pki / name).read_bytes() for name in ("ca.crt", "team-demo.key", "team-demo.crt"))
    )
    with grpc.secure_channel(f"localhost:{mesh.ports.mtls}", identity) as channel:
        yield channel


@contextmanager
def watched(team: grpc.Channel, app: App) -> Iterator[Iterator[DoorUpdate]]:
    """The updates as typed messages, from now on."""
    stub: Any = DoorStatusServiceStub(team)
    call = stub.WatchDoorUpdates(
        WatchDoorUpdatesRequest(vin=app.vin),
        metadata=(("authorization", f"Bearer {app.bearer}"),),
        timeout=60,
    )
    call.initial_metadata()
    yield call
    call.cancel()


def as_json(message: Any) -> dict[str, Any]:
    return MessageToDict(message, always_print_fields_with_no_presence=True)


def times_of(message: Any) -> Iterator[Timestamp]:
    """Every time in a message."""
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for each in value if field.is_repeated else [value]:
            if isinstance(each, Timestamp):
                yield each
            else:
                yield from times_of(each)


def test_every_time_that_the_product_shows_has_three_digits(app: App, fit: Callable[..., Car]) -> None:
    fit()
    with app.stream() as stream:
        ended = unlocked_all(app)
        stream.wait_for(lambda e: e["data"]["data"].get("status") == "SUCCESS")
    shown = [
        ended,
        app.history(),
        *(app.get(path).json() for path in ("status", "config", "diagnostics")),
        *(event["data"] for event in stream.events),
    ]
    times = [text for each in shown for text in texts_of(each) if is_time(text)]
    assert len(times) > 20
    assert [text for text in times if len(text) != len("2026-01-12T14:30:18.000Z")] == []


def texts_of(value: Any) -> Iterator[str]:
    """Every text in a JSON document."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from texts_of(each)
    elif isinstance(value, str):
        yield value


def is_time(text: str) -> bool:
    return len(text) >= 20 and text[10] == "T" and text.endswith("Z")

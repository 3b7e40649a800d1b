"""The product as its users meet it: through Envoy, with a car that moves its doors."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.support.app import ASLEEP, FOREIGN, SAMPLE, SECOND, App, Car, eventually
from tests.support.plain_http import NO_TLS

if TYPE_CHECKING:
    from tests.support.running_mesh import Mesh

pytestmark = pytest.mark.system
LOCKABLE = {"driver", "passenger", "rearLeft", "rearRight", "trunk"}


@pytest.fixture
def app(mesh: Mesh) -> App:
    return App(mesh)


@pytest.fixture
def car(mesh: Mesh) -> Car:
    car = Car(mesh)
    car.do("door-time", seconds=0.05)
    return car


def finish(app: App, action: str, doors: list[str] | None = None, **rest: object) -> dict:
    answer = eventually(
        lambda: (a := app.order(action, doors, **rest)).status_code != 409 and a
    )  # what an earlier test left in flight
    assert answer.status_code == 202, answer.text
    return app.end_of(answer.json()["commandId"])


def test_an_unlock_moves_the_doors_and_everybody_hears_of_it(app: App, car: Car) -> None:
    finish(app, "lock")
    with app.stream() as stream:
        answer = app.order("unlock", unlockMode="EMERGENCY", correlation_id=f"t-{uuid.uuid4()}")
        body = answer.json()
        assert answer.status_code == 202
        assert body["status"] == "PENDING"
        assert answer.headers["location"].endswith(f"/door/commands/{body['commandId']}")
        ended = app.end_of(body["commandId"])
        assert ended["status"] == "SUCCESS"
        assert ended["correlationId"] == answer.headers["x-correlation-id"]
        assert [stage["name"] for stage in ended["stages"]] == [
            "ACCEPTED",
            "QUEUED",
            "SENT",
            "RECEIVED",
            "FINISHED",
        ]
        times = [stage["time"] for stage in ended["stages"]]
        assert times == sorted(times)
        assert car.moved(body["commandId"]) == LOCKABLE
        stream.wait_for(lambda e: e["data"]["data"].get("status") == "SUCCESS")
        stream.wait_for(lambda e: e["data"]["data"].get("changeType") == "UNLOCKED")
    ids = [event["id"] for event in stream.events]
    assert len(ids) == len(set(ids))
    status = eventually(lambda: (s := app.get("status").json())["doors"]["trunk"]["locked"] is False and s)
    assert status["stale"] is False
    entry = eventually(lambda: [e for e in app.history()["history"] if e["commandId"] == body["commandId"]])[
        0
    ]
    assert (entry["action"], entry["status"], entry["failureReason"]) == ("UNLOCK", "SUCCESS", None)


def test_who_prefers_to_wait_is_answered_with_the_end(app: App, car: Car) -> None:
    finish(app, "lock")
    body = {"targetDoors": ["driver"]}
    answer = app.send("POST", "unlock", body, Prefer="wait=25")
    assert (answer.status_code, answer.headers["preference-applied"]) == (200, "wait=25"), answer.text
    ended = answer.json()
    assert ended["status"] == "SUCCESS"
    assert car.moved(ended["commandId"]) == {"driver"}
    later = app.get(f"commands/{ended['commandId']}").json()
    assert {name: later[name] for name in ended} == ended
    car.do("actuators/driver/fail")
    try:
        failed = app.send("POST", "lock", body, Prefer="wait=25")
    finally:
        car.do("actuators/driver/repair")
    assert (failed.status_code, failed.json()["status"]) == (200, "FAILED"), failed.text
    assert failed.json()["failureReason"]


def test_the_same_request_twice_is_one_command(app: App, car: Car) -> None:
    finish(app, "lock")
    correlation_id = f"t-{uuid.uuid4()}"
    first = app.order("unlock", ["driver"], correlation_id=correlation_id)
    again = app.order("unlock", ["driver"], correlation_id=correlation_id)
    assert again.status_code == 202
    assert again.json() == first.json()
    other = app.order("unlock", ["trunk"], correlation_id=correlation_id)
    assert (other.status_code, other.json()["code"]) == (422, "CORRELATION_ID_REUSED")
    app.end_of(first.json()["commandId"])
    assert len([a for a in car.actuations(first.json()["commandId"]) if a["phase"] == "BEFORE"]) == 1


def test_the_same_doors_in_another_order_and_a_quoted_key_are_the_same_request(app: App, car: Car) -> None:
    finish(app, "lock")
    key = f"t-{uuid.uuid4()}"
    first = app.order("unlock", ["trunk", "driver", "rearLeft"], correlation_id=key)
    assert first.status_code == 202
    body = {"targetDoors": ["rearLeft", "trunk", "driver"]}
    for named in ({"X-Correlation-ID": key}, {"Idempotency-Key": key}, {"Idempotency-Key": f'"{key}"'}):
        again = app.send("POST", "unlock", body, **named)
        assert (again.status_code, again.json()) == (202, first.json())
        assert again.headers["x-correlation-id"] == key
    both = {"X-Correlation-ID": key, "Idempotency-Key": f'"{key}"'}
    assert app.send("POST", "unlock", body, **both).json() == first.json()
    fewer = app.send(
        "POST", "unlock", {"targetDoors": ["trunk", "driver"]}, **{"Idempotency-Key": f'"{key}"'}
    )
    assert (fewer.status_code, fewer.json()["code"]) == (422, "CORRELATION_ID_REUSED")
    for wrong in ('""', f'"{key}', f'"{key}";a=1', '"two words"'):
        refused = app.send("POST", "unlock", body, **{"Idempotency-Key": wrong})
        assert (refused.status_code, refused.json()["code"]) == (400, "INVALID_REQUEST"), wrong
        assert [error["field"] for error in refused.json()["errors"]] == ["Idempotency-Key"]
    app.end_of(first.json()["commandId"])
    assert len([a for a in car.actuations(first.json()["commandId"]) if a["phase"] == "BEFORE"]) == 3


def test_settings_that_were_read_are_put_back_with_a_member_changed(app: App) -> None:
    read = app.get("config").json()
    assert {"vin", "updatedTime"} <= read.keys()
    delay = 45 if read["autoLockDelay"] != 45 else 50
    changed = app.send("PUT", "config", {**read, "autoLockDelay": delay})
    assert (changed.status_code, changed.json()["autoLockDelay"]) == (200, delay), changed.text
    put_back = app.send("PUT", "config", {**changed.json(), "autoLockDelay": read["autoLockDelay"]})
    assert (put_back.status_code, put_back.json()["autoLockDelay"]) == (200, read["autoLockDelay"])
    later = app.send("PUT", "config", {**read, "updatedTime": "2020-01-01T00:00:00.000Z"})
    assert (later.status_code, [error["field"] for error in later.json()["errors"]]) == (400, ["updatedTime"])


def test_a_second_command_waits_for_the_first(app: App, car: Car) -> None:
    finish(app, "unlock", unlockMode="EMERGENCY")
    car.do("door-time", seconds=1)
    first = app.order("lock").json()
    second = app.order("unlock")
    assert int(second.headers["retry-after"]) > 0
    assert (second.status_code, second.json()["code"]) == (409, "COMMAND_IN_PROGRESS")
    assert second.json()["commandId"] == first["commandId"]
    app.end_of(first["commandId"])


def test_a_lock_does_not_wait_for_an_unlock(app: App, car: Car) -> None:
    finish(app, "lock")
    car.do("door-time", seconds=1)
    unlock = app.order("unlock", unlockMode="EMERGENCY").json()["commandId"]
    answer = app.order("lock")
    assert answer.status_code == 202
    lock = answer.json()["commandId"]
    assert app.end_of(lock)["status"] == "SUCCESS"
    ended = app.end_of(unlock)
    begun = [one["door"] for one in car.actuations(unlock) if one["phase"] == "BEFORE"]
    if begun:  # it had acted: it stopped between doors, and says which moved
        assert (ended["status"], ended["failureReason"]) == ("FAILED", "PARTIAL_SUCCESS")
        assert len(begun) < len(ended["doorResults"])
    else:
        assert (ended["status"], ended["failureReason"]) == ("CANCELLED", "SUPERSEDED")
    assert [one["command_id"] for one in car.actuations()][-1] == lock


def test_force_cancel_stops_between_doors(app: App, car: Car) -> None:
    finish(app, "lock")
    car.do("door-time", seconds=1.5)
    correlation_id = f"t-{uuid.uuid4()}"
    command_id = app.order("unlock", unlockMode="EMERGENCY", correlation_id=correlation_id).json()[
        "commandId"
    ]
    eventually(lambda: car.actuations(command_id))
    cancelled = app.send(
        "POST", "cancel", {"correlationId": correlation_id, "reason": "Emergency stop", "force": True}
    )
    assert cancelled.status_code == 202, cancelled.text
    ended = app.end_of(command_id)
    moved = car.moved(command_id)
    assert moved < LOCKABLE
    assert ended["status"] == "FAILED"
    assert {r["doorId"] for r in ended["doorResults"] if r["success"]} == moved
    entry = eventually(lambda: app.history(action="CANCEL")["history"])[0]
    assert entry["status"] == "SUCCESS"


def test_cancelling_what_has_ended_or_never_was(app: App, car: Car) -> None:
    car.do("door-time", seconds=0)
    correlation_id = f"t-{uuid.uuid4()}"
    finish(app, "lock", correlation_id=correlation_id)
    body = {"correlationId": correlation_id, "reason": "User cancellation"}
    late = app.send("POST", "cancel", body)
    assert (late.status_code, late.json()["code"]) == (409, "COMMAND_ALREADY_FINISHED")
    never = app.send("POST", "cancel", {**body, "correlationId": "uuid-12345678"})
    assert (never.status_code, never.json()["code"]) == (404, "COMMAND_NOT_FOUND")


def test_partial_success_names_the_doors(app: App, car: Car) -> None:
    finish(app, "lock")
    car.do("actuators/rearLeft/fail")
    try:
        ended = finish(app, "unlock", unlockMode="EMERGENCY")
        assert (ended["status"], ended["failureReason"]) == ("FAILED", "PARTIAL_SUCCESS")
        assert {r["doorId"] for r in ended["doorResults"] if not r["success"]} == {"rearLeft"}
        assert ended["guidance"]
        assert car.moved(ended["commandId"]) == LOCKABLE - {"rearLeft"}
        diagnosed = eventually(lambda: (d := app.get("diagnostics").json())["systemStatus"] == "FAULT" and d)
        assert diagnosed["alerts"]
    finally:
        car.do("actuators/rearLeft/repair")
    eventually(lambda: app.get("diagnostics").json()["systemStatus"] == "NORMAL")


def test_an_open_door_is_told_at_once(app: App, car: Car) -> None:
    finish(app, "unlock", unlockMode="EMERGENCY")
    car.do("doors/passenger/open")
    try:
        refused = eventually(lambda: (a := app.order("lock")).status_code == 409 and a)
        assert refused.json()["code"] == "DOOR_OPEN"
        assert refused.json()["openDoors"] == ["passenger"]
        assert refused.json()["mayHaveSucceeded"] is False
        refusals = eventually(
            lambda: [
                entry
                for entry in app.history(action="LOCK", status="FAILED")["history"]
                if entry["failureReason"] == "DOOR_OPEN"
            ]
        )
        assert refusals[0]["targetDoors"] == ["all"]
    finally:
        car.do("doors/passenger/close")
    eventually(lambda: app.get("status").json()["doors"]["passenger"]["open"] is False)
    assert finish(app, "lock")["status"] == "SUCCESS"


def test_pages_of_the_history_hold_while_it_grows(app: App) -> None:
    finish(app, "lock")
    finish(app, "lock")
    commands = {"excludeAction": "STATUS_CHECK"}
    page = eventually(lambda: (p := app.history(limit=1, **commands))["total"] > 1 and p)
    total, seen = page["total"], [page["history"][0]["commandId"]]
    while "nextPageToken" in page:
        later = finish(app, "lock")["commandId"]
        eventually(lambda later=later: app.history(limit=1, **commands)["history"][0]["commandId"] == later)
        page = app.history(limit=200, pageToken=page["nextPageToken"], **commands)
        seen += [entry["commandId"] for entry in page["history"]]
        assert later not in seen
    assert len(seen) == total


def test_a_moving_car_stays_locked(app: App, car: Car) -> None:
    finish(app, "lock")
    car.do("drive", speedKmh=30)
    try:
        refused = eventually(
            lambda: (a := app.order("unlock", unlockMode="EMERGENCY")).status_code == 409 and a
        )
        assert refused.json()["code"] == "VEHICLE_MOVING"
        assert app.get("status").json()["vehicleSpeed"] == 30
    finally:
        car.do("park")
        car.do("ignition", ignition="OFF")
    eventually(lambda: app.get("status").json()["ignitionStatus"] == "OFF")


def test_a_command_wakes_a_sleeping_car(mesh: Mesh) -> None:
    app, car = App(mesh, ASLEEP), Car(mesh, ASLEEP)
    car.meet()
    car.do("sleep")
    car.do("doors/driver/lock")
    car.do("door-time", seconds=0)
    eventually(lambda: app.get("status").json()["connectivity"] == "ASLEEP")
    command_id = app.order("unlock", ["driver"]).json()["commandId"]
    ended = app.end_of(command_id)
    assert ended["status"] == "SUCCESS"
    assert "WAKING" in [stage["name"] for stage in ended["stages"]]
    assert car.moved(command_id) == {"driver"}
    eventually(lambda: app.get("status").json()["connectivity"] == "ONLINE")
    car.do("sleep")


def test_a_success_is_confirmed_by_the_cars_next_report(mesh: Mesh) -> None:
    app, car = App(mesh, SECOND), Car(mesh, SECOND)
    car.do("door-time", seconds=0)
    ended = finish(app, "lock")
    assert ended["status"] == "SUCCESS"
    confirmation = eventually(lambda: app.command(ended["commandId"]).get("confirmation"))
    assert confirmation["state"] == "CONFIRMED"
    told = {door["doorId"] for door in ended["doorResults"]}  # also doors that were locked already
    assert {door["doorId"]: door["locked"] for door in confirmation["doors"]} == dict.fromkeys(told, True)
    assert car.moved(ended["commandId"]) <= told


def test_settings_reach_the_car_and_do_something(mesh: Mesh) -> None:
    app, car = App(mesh, SECOND), Car(mesh, SECOND)
    car.do("door-time", seconds=0)
    changed = app.send("PUT", "config", {"unlockMode": "DRIVER_ONLY", "autoLockDelay": 45})
    assert changed.status_code == 200
    assert changed.json()["autoLockDelay"] == 45
    eventually(lambda: app.get("config").json()["application"]["state"] == "APPLIED")
    finish(app, "lock")
    ended = finish(app, "unlock")
    assert ended["status"] == "SUCCESS"
    assert car.moved(ended["commandId"]) == {"driver"}
    empty = app.send("PUT", "config", {})
    assert (empty.status_code, empty.json()["code"]) == (400, "INVALID_REQUEST")
    app.send("PUT", "config", {"unlockMode": "ALL", "autoLockDelay": 30})


def test_who_may_not_learns_nothing(mesh: Mesh) -> None:
    unknown, foreign = App(mesh, "KMHSH81C7LU000000"), App(mesh, FOREIGN)
    answers = [
        {k: v for k, v in one.get("status").json().items() if k not in {"instance", "correlationId"}}
        for one in (unknown, foreign)
    ]
    assert answers[0] == answers[1]
    assert answers[0]["code"] == "VEHICLE_NOT_FOUND"
    owner = App(mesh, FOREIGN, bearer=mesh.token("user-456"))
    assert owner.get("status").status_code == 200
    nobody = App(mesh, bearer="sk_0000000000000000000000000000000000000000000000000000000000000000")
    refused = nobody.get("status")
    assert (refused.status_code, refused.json()["code"]) == (401, "TOKEN_INVALID")
    assert "www-authenticate" in refused.headers


def test_looks_at_the_status_are_in_the_history(app: App) -> None:
    httpx.get(f"{app.door}/status", headers={**app.headers, "X-Correlation-ID": "look-1"}, verify=NO_TLS)
    eventually(
        lambda: any(
            e["correlationId"] == "look-1" for e in app.history(action="STATUS_CHECK", limit=200)["history"]
        )
    )


@pytest.mark.usefixtures("car")
def test_a_stream_resumes_where_it_ended(app: App) -> None:
    finish(app, "lock")
    with app.stream() as stream:
        finish(app, "unlock", ["driver"])
        seen = stream.wait_for(lambda e: e["data"]["data"].get("status") == "SUCCESS")
    finish(app, "lock", ["driver"])
    with app.stream(seen["id"]) as resumed:
        resumed.wait_for(
            lambda e: e["data"]["data"].get("status") == "SUCCESS" and e["data"]["data"]["action"] == "LOCK"
        )
        ids = [e["id"] for e in resumed.events]
    assert len(ids) == len(set(ids))
    # What the first stream still brought after it is what the second one has to bring again.
    before = stream.events[: stream.events.index(seen) + 1]
    assert not {e["id"] for e in before} & set(ids), "shown before"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"targetDoors": []}, "targetDoors"),
        ({"targetDoors": ["all", "driver"]}, "targetDoors"),
        ({"targetDoors": ["driver", "driver"]}, "targetDoors"),
        ({"targetDoors": ["hood"]}, "targetDoors[0]"),
        ({"targetDoors": "all"}, "targetDoors"),
        ({"targetDoors": ["all"], "unlockMode": 1}, "unlockMode"),
        ({"targetDoors": ["all"], "unlockMode": "SECURE"}, "unlockMode"),
        ({"targetDoors": ["all"], "colour": "red"}, "colour"),
        ({"targetDoors": ["all"], "vin": FOREIGN}, "vin"),
    ],
)
def test_bad_bodies_name_the_field(app: App, body: object, field: str) -> None:
    refused = app.send("POST", "unlock", body)
    assert refused.status_code == 400, refused.text
    assert field in [error["field"] for error in refused.json()["errors"]]
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["correlationId"] == refused.headers["x-correlation-id"]


def test_a_status_that_no_list_is_of_is_answered_with_those_that_are(app: App) -> None:
    refused = app.get("history", status="PENDING")
    assert (refused.status_code, refused.json()["code"]) == (400, "INVALID_REQUEST"), refused.text
    (violation,) = refused.json()["errors"]
    assert violation["field"] == "status"
    assert violation["reason"] == "must be one of SUCCESS, FAILED, TIMEOUT, CANCELLED"


def test_lower_case_vins_are_the_same_vehicle(mesh: Mesh) -> None:
    answer = App(mesh, SAMPLE.lower()).get("status")
    assert (answer.status_code, answer.json()["vin"]) == (200, SAMPLE)

"""Why commands failed, as an app and a desk read it through Envoy."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

import pytest

from tests.support.app import App, Car, eventually

if TYPE_CHECKING:
    from tests.support.running_mesh import Mesh

pytestmark = pytest.mark.system


def failures_of(app: App, reason: str) -> int:
    answer = app.get("failures", period="7d")
    assert answer.status_code == 200, answer.text
    causes = answer.json()["causes"]
    return sum(each["failures"] for each in causes if each["failureReason"] == reason)


def test_a_broken_actuator_is_found_in_the_analysis_and_in_its_table(mesh: Mesh) -> None:
    app, car = App(mesh), Car(mesh)
    before = failures_of(app, "PARTIAL_SUCCESS")
    car.do("actuators/rearLeft/fail")
    try:
        answer = eventually(
            lambda: (a := app.order("unlock", unlockMode="EMERGENCY")).status_code == 202 and a
        )
        assert app.end_of(answer.json()["commandId"])["failureReason"] == "PARTIAL_SUCCESS"
    finally:
        car.do("actuators/rearLeft/repair")
    eventually(lambda: failures_of(app, "PARTIAL_SUCCESS") > before)
    told = app.get("failures", period="7d", language="ko").json()
    assert "rearLeft" in [each["doorId"] for each in told["doors"]]
    assert told["likelyCause"]["guidance"]
    assert told["buckets"][-1]["failures"] >= 1
    table = app.get("failures.csv", period="7d")
    assert (table.status_code, table.headers["content-type"].split(";")[0]) == (200, "text/csv")
    rows = list(csv.DictReader(io.StringIO(table.text, newline="")))
    assert "rearLeft" in [row["doorId"] for row in rows]
    assert app.get("failuresXcsv").status_code == 404
    assert app.get("failures", period="1h").json()["errors"][0]["field"] == "period"
    assert App(mesh, bearer="sk_nobody").get("failures").status_code == 401


def test_a_car_checks_itself_when_it_is_asked_and_its_trend_is_shown(mesh: Mesh) -> None:
    app = App(mesh)
    eventually(lambda: app.get("diagnostics").status_code == 200)
    before = app.get("diagnostics").json()["lastCheck"]
    answer = eventually(lambda: (a := app.send("POST", "diagnostics/check", None)).status_code == 202 and a)
    assert answer.headers["location"].endswith("/door/diagnostics")
    assert answer.json()["state"] == "REQUESTED"
    told = eventually(
        lambda: (d := app.get("diagnostics").json())["checks"]["state"] == "ANSWERED" and d, seconds=90
    )
    assert told["lastCheck"] > before
    assert told["checks"]["dueAt"] > told["checks"]["requestedAt"]
    trend = app.get("diagnostics/trend", period="7d").json()
    assert {each["id"] for each in told["components"]} <= {each["id"] for each in trend["components"]}
    assert all(each["points"] for each in trend["components"])
    assert app.get("diagnostics/trend", points="1").json()["errors"][0]["field"] == "points"

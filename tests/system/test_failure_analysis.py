"""Why commands failed, as an app and a desk read it through Envoy."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

import httpx
import pytest
from typer.testing import CliRunner

from doorctl.__main__ import app as doorctl
from tests.support.app import PLAINLY, SAMPLE, App, Car, eventually

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


def test_employees_and_operators_read_the_fleets_failures_and_nobody_else(mesh: Mesh) -> None:
    def fleet(path: str, bearer: str, **query: str) -> httpx.Response:
        headers = {"Authorization": f"Bearer {bearer}"}
        return httpx.get(f"{mesh.base_url}/fleet/{path}", headers=headers, params=query, **PLAINLY)

    employee = mesh.token("employee-1", client="operations", scope="fleet.failures.read")
    told = fleet("failures", employee, period="90d", language="ko")
    assert told.status_code == 200, told.text
    assert told.json()["minimumVehicles"] == 5
    assert not any(name in told.text for name in ("KMH", "KMF", "user-"))
    table = fleet("failures.csv", employee)
    assert table.text.startswith("model,failureReason,component,doorId,count,title,guidance\r\n")
    agent = mesh.token("user-123", vin=SAMPLE, actor="agent-7", scope="door fleet.failures.read")
    for bearer in (
        mesh.token("user-123"),
        agent,
        mesh.token("employee-1", client="operations", scope="case.read"),
    ):
        refused = fleet("failures", bearer)
        assert (refused.status_code, refused.json()["code"]) == (403, "ACTION_NOT_GRANTED")
    assert fleet("failures", employee, period="24h").json()["errors"][0]["field"] == "period"
    done = CliRunner().invoke(doorctl, ["fleet", "failures"], env={"DOORS_DATA_DIR": str(mesh.data)})
    assert done.exit_code == 0, done.output
    assert "vehicles were commanded" in done.output or " commands, " in done.output


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

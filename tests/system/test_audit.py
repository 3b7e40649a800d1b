"""The audit through Envoy: what was decided and done is there once each, and a command's receipt holds without us."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from typer.testing import CliRunner

from doorctl.__main__ import app as doorctl
from mesh.sandbox import Sandbox
from tests.support.app import FOREIGN, SAMPLE, App, Car, eventually
from tests.system.documents import ROOT, blocks, paste

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.running_mesh import Mesh

pytestmark = pytest.mark.system
ENDINGS = {"COMMAND_SUCCESS", "COMMAND_FAILED", "COMMAND_TIMEOUT", "COMMAND_CANCELLED"}


@pytest.fixture
def app(mesh: Mesh) -> App:
    return App(mesh)


@pytest.fixture
def car(mesh: Mesh) -> Car:
    car = Car(mesh)
    car.do("door-time", seconds=0.05)
    return car


def order(app: App, action: str, **rest: object) -> dict[str, Any]:
    """A command that was accepted, once nothing that an earlier test left is in its way."""
    answer = eventually(lambda: (a := app.order(action, **rest)).status_code == 202 and a)
    body: dict[str, Any] = answer.json()
    return body


def of(app: App, correlation_id: str) -> list[dict[str, Any]]:
    return [entry for entry in app.audit() if entry.get("correlationId") == correlation_id]


def test_who_asked_who_looked_and_who_was_refused_is_there_once_each(app: App, car: Car, mesh: Mesh) -> None:
    car.meet()
    order_id = f"audit-{uuid.uuid4()}"
    command = order(app, "lock", correlation_id=order_id)
    again = app.order("lock", correlation_id=order_id)
    assert again.json()["commandId"] == command["commandId"]
    app.end_of(command["commandId"])
    look_id, refused_id, key_id = (f"audit-{uuid.uuid4()}" for _ in range(3))
    # Of the status it looked while it waited for the command: a look that repeats another is told with its number.
    httpx.get(f"{app.door}/config", headers={**app.headers, "X-Correlation-ID": look_id}, timeout=30)
    stranger = App(mesh, SAMPLE, mesh.token("user-456"))
    answer = stranger.send("POST", "unlock", {"targetDoors": ["all"]}, **{"X-Correlation-ID": refused_id})
    assert answer.status_code == 404
    bad = app.send("POST", "unlock", {"targetDoors": ["roof"]}, **{"X-Correlation-ID": key_id})
    assert bad.status_code == 400

    def all_there() -> bool:
        kinds = Counter(entry["kind"] for entry in of(app, order_id))
        ours = ("COMMAND_ACCEPTED", "NOTHING_CHANGED", "COMMAND_SUCCESS")
        return all(kinds[kind] for kind in ours) and bool(of(app, look_id))

    eventually(all_there)
    told = Counter((entry["kind"], entry["decision"]) for entry in of(app, order_id))
    assert told == {
        ("COMMAND_ACCEPTED", "ALLOWED"): 1,
        ("NOTHING_CHANGED", "ALLOWED"): 1,
        ("COMMAND_SUCCESS", "NONE"): 1,
    }
    (look,) = of(app, look_id)
    assert (look["kind"], look["action"]) == ("ACCESS_ALLOWED", "door.config.read")
    assert look["sentence"].startswith("You looked at the door settings")
    (wrong,) = eventually(lambda: of(app, key_id))
    assert (wrong["kind"], wrong["decision"], wrong["rule"]) == (
        "ACCESS_REFUSED",
        "REFUSED",
        "INVALID_REQUEST",
    )
    strangers = [e for e in app.audit() if e["kind"] == "ACCESS_REFUSED" and e["rule"] == "VEHICLE_NOT_FOUND"]
    assert strangers
    assert all("userId" not in entry and "correlationId" not in entry for entry in strangers)
    assert "user-456" not in app.get("audit", period="1h", limit=200).text


def test_strangers_are_told_that_there_is_no_such_vehicle(mesh: Mesh) -> None:
    stranger = App(mesh, SAMPLE, mesh.token("user-456"))
    nobody = App(mesh, "KMHSH81C7LU999999", mesh.token("user-456"))
    for path in ("audit", "commands/cmd-1/receipt"):
        answers = [stranger.get(path), nobody.get(path)]
        assert {answer.status_code for answer in answers} == {404}
        assert {answer.json()["code"] for answer in answers} == {"VEHICLE_NOT_FOUND"}
    assert App(mesh, FOREIGN, mesh.token("user-456")).get("audit").status_code == 200


def test_a_receipt_verifies_without_asking_anybody(app: App, car: Car, mesh: Mesh, tmp_path: Path) -> None:
    car.meet()
    command = order(app, "unlock", unlockMode="EMERGENCY")
    command_id = command["commandId"]
    assert app.end_of(command_id)["status"] == "SUCCESS"
    path = f"commands/{command_id}/receipt"
    answer = eventually(lambda: (a := app.get(path)).status_code == 200 and a)
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.text.startswith("c2sp.org/tlog-proof@v1\n")
    assert "user-123" not in answer.text
    receipt = tmp_path / "receipt.txt"
    receipt.write_bytes(answer.content)
    sandbox = Sandbox(mesh.data)
    vehicle = sandbox.ceremony.make_car(SAMPLE).public
    words = ["receipt", "verify", str(receipt), "--key", str(sandbox.audit_log_public)]
    done = CliRunner().invoke(doorctl, [*words, "--vehicle-key", str(vehicle), "--command", command_id])
    assert done.exit_code == 0, done.output
    assert f"the vehicle {SAMPLE} signed SUCCEEDED (its signature holds)" in done.output
    receipt.write_bytes(answer.content.replace(b"index ", b"index 1", 1))
    assert CliRunner().invoke(doorctl, words).exit_code == 1
    unknown = app.get("commands/cmd-unknown/receipt")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "COMMAND_NOT_FOUND")
    assert unknown.headers["retry-after"] == "2"


def test_every_actuation_has_one_leaf_for_its_request_and_one_for_its_end(app: App, car: Car) -> None:
    """Of this file's commands, and of all others that moved this car's doors on this mesh."""
    car.meet()
    for action in ("lock", "unlock"):
        command = order(app, action)
        app.end_of(command["commandId"])
    moved = {line["command_id"] for line in car.actuations() if line["phase"] == "AFTER"}
    moved = {each for each in moved if each and each.startswith("cmd-")}
    assert moved

    def counted() -> Counter[tuple[str, bool]]:
        return Counter(
            (entry["commandId"], entry["kind"] in ENDINGS)
            for entry in app.audit("24h")
            if entry["kind"] in ENDINGS or entry["kind"] == "COMMAND_ACCEPTED"
        )

    expected = {(command_id, ended) for command_id in moved for ended in (False, True)}
    eventually(lambda: expected <= counted().keys() or time.sleep(0.5))
    found = counted()
    assert {key: found[key] for key in expected} == dict.fromkeys(expected, 1)


def test_the_lines_about_receipts_work_as_they_are_pasted(app: App, car: Car, mesh: Mesh) -> None:
    car.meet()
    app.end_of(order(app, "unlock", unlockMode="EMERGENCY")["commandId"])
    (lines,) = blocks("docs/clients.md", "## Receipts")
    for here, there in (
        ("127.0.0.1:8080", f"127.0.0.1:{mesh.ports.http}"),
        ("$(make -s token USER=user-123)", mesh.token("user-123")),
        (" .doors/", f" {mesh.data}/"),
    ):
        assert here in lines
        lines = lines.replace(here, there)
    done = paste(lines, ROOT)
    assert done.returncode == 0, done.stderr
    assert "COMMAND_SUCCESS at " in done.stdout
    assert "You asked to lock the doors, and it was accepted" in done.stdout

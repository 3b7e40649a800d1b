"""Consents through the edge, and what they decide about the history."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from ecarus.remotecontrol.access.v1 import grant_pb2

from tests.support.app import ANSWER_SECONDS, SAMPLE, App, Car, eventually
from tests.system.documents import ROOT, blocks, paste
from tests.system.test_rights import grant, operator

if TYPE_CHECKING:
    from tests.support.running_mesh import Mesh

pytestmark = pytest.mark.system


def consents(app: App, method: str = "GET", path: str = "", body: Any = None) -> httpx.Response:
    return httpx.request(
        method,
        f"{app.mesh.base_url}/consents{path}",
        headers=app.headers,
        json=body,
        timeout=ANSWER_SECONDS,
    )


def test_the_history_is_of_those_who_agreed(mesh: Mesh) -> None:
    who = f"sharer-{uuid.uuid4()}"
    app, car = App(mesh, bearer=mesh.token(who)), Car(mesh)
    car.meet()
    car.do("door-time", seconds=0)
    with operator(mesh) as access:
        grant(access, who, who, role=grant_pb2.GRANT_ROLE_SHARED_USER)
    eventually(lambda: app.get("status").status_code == 200)
    listed = consents(app).json()["consents"]
    assert {each["purpose"]: each["state"] for each in listed}["ACCESS_HISTORY"] == "NOT_ASKED"

    unlisted = app.end_of(app.order("lock").json()["commandId"])
    answer = app.history()
    assert (answer["history"], answer["collection"]["collected"]) == ([], False)

    text = consents(app, path="/ACCESS_HISTORY?language=ko").json()["text"]
    shown = {name: text[name] for name in ("version", "language", "sha256")}
    given = consents(app, "PUT", "/ACCESS_HISTORY", shown)
    assert (given.status_code, given.json()["state"]) == (200, "GIVEN")
    command = app.end_of(app.order("lock").json()["commandId"])
    entries = eventually(lambda: app.history(action="LOCK")["history"])
    assert [each["commandId"] for each in entries] == [command["commandId"]]
    assert "collection" not in app.history()
    owners = App(mesh).history(limit=200)["history"]
    ids = {each["commandId"] for each in owners}
    assert command["commandId"] in ids
    assert unlisted["commandId"] not in ids

    gone = consents(app, "DELETE", "/ACCESS_HISTORY")
    assert gone.json()["state"] == "WITHDRAWN"
    assert app.history()["collection"]["since"] == gone.json()["withdrawnAt"]
    said = consents(app, path="/ACCESS_HISTORY").json()["changes"]
    assert [(each["state"], each["source"]) for each in said] == [
        ("WITHDRAWN", "MOBILE_APP"),
        ("GIVEN", "MOBILE_APP"),
    ]


def test_what_cannot_be_asked_is_said(mesh: Mesh) -> None:
    app = App(mesh, bearer=mesh.token("user-123"))
    assert consents(app, path="/WEATHER").json()["code"] == "INVALID_REQUEST"
    assert consents(app, path="?language=fr").json()["code"] == "INVALID_REQUEST"
    assert consents(app, "POST").status_code == 405
    assert consents(App(mesh), path="/ACCESS_HISTORY").json()["code"] == "ACTION_NOT_GRANTED"
    agent = mesh.token("user-123", SAMPLE, actor="agent-7", case="case-1")
    assert consents(App(mesh, bearer=agent)).status_code == 403
    stale = {"version": 1, "language": "en", "sha256": "0" * 64}
    problem = consents(app, "PUT", "/ACCESS_HISTORY", stale).json()
    assert (problem["status"], problem["code"]) == (409, "CONSENT_TEXT_CHANGED")


def test_the_lines_of_the_readme(mesh: Mesh) -> None:
    (lines,) = blocks("README.md", "## Your data")
    lines = lines.replace(":8080/", f":{mesh.ports.http}/")
    done = paste(lines, ROOT, DOORS_DATA_DIR=str(mesh.data))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["state"] == "GIVEN"

"""Devices and preferences through the edge, and that nothing needs the service that tells people."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.support.app import ANSWER_SECONDS, SAMPLE, App, eventually

if TYPE_CHECKING:
    from tests.support.running_mesh import Mesh

pytestmark = pytest.mark.system


def ask(app: App, path: str, method: str = "GET", body: Any = None) -> httpx.Response:
    return httpx.request(
        method,
        f"{app.mesh.base_url}/notifications{path}",
        headers=app.headers,
        json=body,
        timeout=ANSWER_SECONDS,
    )


def test_preferences_are_said_and_read(mesh: Mesh) -> None:
    app = App(mesh, bearer=mesh.token(f"person-{uuid.uuid4()}"))
    assert ask(app, "/devices").json()["devices"] == []
    before = ask(app, "/preferences").json()
    assert (before["language"], before["timeZone"], before["doorResults"]) == ("en", "UTC", True)
    wanted = {
        "language": "ko",
        "timeZone": "Asia/Seoul",
        "quietHours": {"from": "22:00", "until": "07:00"},
        "ignoredPlaces": [{"name": "집", "vehicle": SAMPLE}],
        "diagnostics": False,
    }
    answer = ask(app, "/preferences", "PUT", wanted)
    assert answer.status_code == 200
    kept = ask(app, "/preferences").json()
    assert kept == answer.json()
    assert {name: kept[name] for name in wanted} == wanted
    assert ask(app, "/devices/none", "DELETE").json()["devices"] == []


def test_what_is_wrong_is_told_by_its_field(mesh: Mesh) -> None:
    app = App(mesh, bearer=mesh.token(f"person-{uuid.uuid4()}"))
    for path, body, field in (
        ("/preferences", {"timeZone": "Asia/Atlantis"}, "timeZone"),
        ("/preferences", {"security": False}, "security"),
        ("/preferences", {"quietHours": {"from": "25:00", "until": "07:00"}}, "quietHours.from"),
        ("/devices/phone", {"kind": "PIGEON", "token": "a-token-of-a-phone"}, "kind"),
        ("/devices/phone", {"kind": "FCM"}, "token"),
        ("/devices/phone", {"kind": "FCM", "token": "short"}, "token"),
    ):
        problem = ask(app, path, "PUT", body)
        assert problem.status_code == 400, (path, body)
        assert field in {each["field"] for each in problem.json()["errors"]}, (path, body)
    assert ask(app, "/devices", "POST", {}).status_code == 405


def test_nobody_registers_for_somebody_else(mesh: Mesh) -> None:
    assert ask(App(mesh), "/devices").json()["code"] == "ACTION_NOT_GRANTED"
    agent = mesh.token("user-123", SAMPLE, actor="agent-7", case="case-1")
    assert ask(App(mesh, bearer=agent), "/devices").status_code == 403
    narrow = App(mesh, bearer=mesh.token("user-123", scope="door"))
    assert ask(narrow, "/preferences").status_code == 403


def test_readiness_has_it_by_itself(mesh: Mesh) -> None:
    def ready(path: str) -> bool:
        return (
            httpx.get(f"{mesh.base_url.partition('/api/')[0]}{path}", timeout=ANSWER_SECONDS).status_code
            == 200
        )

    assert eventually(lambda: ready("/readyz/notification"))
    assert ready("/readyz")

"""A person has what is kept about them, and is erased: through the edge, and looked for in every file afterwards."""

from __future__ import annotations

import json
import time
import uuid
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from ecarus.remotecontrol.access.v1 import grant_pb2
from typer.testing import CliRunner

from doorctl.__main__ import app as doorctl
from mesh.broker_accounts import store_of
from mesh.sandbox import Sandbox
from protocol.streams import DOOR_UPDATES, ROOM_EVENTS
from tests.support.app import ANSWER_SECONDS, App, Car, eventually
from tests.system.test_rights import grant, operator

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.running_mesh import Mesh

pytestmark = pytest.mark.system
EVENTS, UPDATES = (
    f"nats/jetstream/{store_of(name)}/streams/{name}/msgs" for name in (ROOM_EVENTS, DOOR_UPDATES)
)


def data(app: App, method: str, path: str, body: Any = None) -> httpx.Response:
    return httpx.request(
        method,
        f"{app.mesh.base_url}/data/{path}",
        headers=app.headers,
        json=body,
        timeout=ANSWER_SECONDS,
    )


def files_with(mesh: Mesh, words: str) -> set[str]:
    """The files that hold these words, below the mesh's folder, but for the processes' logs: databases and the logs of
    their changes, what the broker keeps, the audit log's tiles and its second place.
    """
    files = [path for path in mesh.data.rglob("*") if path.is_file() and path.parent.name != "logs"]
    assert {"command.db", "command.db-wal", "1.blk"} <= {path.name for path in files}
    return {str(path.relative_to(mesh.data)) for path in files if _holds(path, words)}


def _holds(path: Path, words: str) -> bool:
    try:
        return words.encode() in path.read_bytes()
    except FileNotFoundError:  # a part of the log that the next one takes the place of
        return False


def audit_verified(mesh: Mesh, folder: Path) -> str:
    """What `doorctl audit verify` says of a copy that was made now, and of the tables behind it."""
    sandbox = Sandbox(mesh.data)
    assert (sandbox.audit_folder / "checkpoint").is_file()
    words = ["--key", str(sandbox.audit_log_public), "--tables"]
    for command in (["export", str(folder)], ["verify", str(folder), *words]):
        done = CliRunner().invoke(doorctl, ["audit", *command], env={"DOORS_DATA_DIR": str(mesh.data)})
        assert done.exit_code == 0, done.output
    return done.output


def logged_since(mesh: Mesh, begun: dict[Path, int], words: str) -> list[str]:
    """The logs that say these words in what was written since."""
    return sorted(
        path.name
        for path in (mesh.data / "logs").iterdir()
        if words.encode() in path.read_bytes()[begun.get(path, 0) :]
    )


def assert_receipt_holds(app: App, command_id: str, receipt: Path) -> None:
    """That the proof of somebody else's command is given, and verifies."""
    answer = eventually(lambda: (a := app.get(f"commands/{command_id}/receipt")).status_code == 200 and a)
    receipt.write_bytes(answer.content)
    words = ["receipt", "verify", str(receipt), "--key", str(Sandbox(app.mesh.data).audit_log_public)]
    assert CliRunner().invoke(doorctl, words).exit_code == 0


def _log_lines(mesh: Mesh) -> list[str]:
    return [
        line
        for path in (mesh.data / "logs").iterdir()
        if path.name.startswith("access")
        for line in path.read_text(errors="replace").splitlines()
    ]


def test_a_person_gets_all_of_theirs_and_is_erased_without_a_trace(mesh: Mesh, tmp_path: Path) -> None:
    who, word = f"canary-{uuid.uuid4()}", f"word-{uuid.uuid4()}"
    app, car = App(mesh, bearer=mesh.token(who)), Car(mesh)
    car.meet()
    car.do("door-time", seconds=0)
    with operator(mesh) as access:
        grant(access, f"g-{uuid.uuid4()}", who, role=grant_pb2.GRANT_ROLE_SHARED_USER)
    eventually(lambda: app.get("status").status_code == 200)
    consents = f"{mesh.base_url}/consents/ACCESS_HISTORY"
    text = httpx.get(consents, headers=app.headers, timeout=ANSWER_SECONDS).json()["text"]
    shown = {name: text[name] for name in ("version", "language", "sha256")}
    assert httpx.put(consents, headers=app.headers, json=shown, timeout=ANSWER_SECONDS).status_code == 200
    ordered = app.order("lock", correlation_id=word)
    app.end_of(ordered.json()["commandId"])
    app.get("status")
    eventually(lambda: len(app.history()["history"]) == 2)
    kept_by = {"data/access.db", "data/command.db", f"{EVENTS}/1.blk", f"{UPDATES}/1.blk"}
    eventually(lambda: {name.split("-")[0] for name in files_with(mesh, who)} >= kept_by)
    assert f"{UPDATES}/1.blk" in files_with(mesh, word)
    owner = App(mesh)
    others = owner.order("lock", correlation_id=f"others-{uuid.uuid4()}").json()["commandId"]
    owner.end_of(others)

    export = data(app, "POST", "exports")
    assert (export.status_code, export.json()["state"]) == (200, "READY")
    assert data(app, "POST", "exports").json()["exportId"] == export.json()["exportId"]
    path = f"exports/{export.json()['exportId']}"
    assert data(App(mesh, bearer=mesh.token("user-456")), "GET", path).status_code == 404
    document = json.loads(data(app, "GET", f"{path}/file").text)
    assert (document["subject"], document["complete"], document["missing"]) == (who, True, [])
    tables = {(each["service"], each["table"]) for each in document["rows"]}
    expected = {
        "access": ("access_grant", "consent", "audit_entry"),
        "command": ("command", "history", "audit"),
    }
    assert {(service, table) for service, kept in expected.items() for table in kept} <= tables
    assert word in json.dumps(document)

    asked = data(app, "POST", "erasures", {"confirmation": "ERASE MY DATA"})
    assert (asked.status_code, asked.json()["state"]) == (200, "WAITING")
    erasure = f"erasures/{asked.json()['erasureId']}"
    assert data(app, "POST", "erasures", {"confirmation": "yes"}).status_code == 400
    # Who asks leaves a trace of it, the erased one too: so the log is asked.
    erased = ('"event": "person_erased"', asked.json()["erasureId"])
    eventually(lambda: any(all(each in line for each in erased) for line in _log_lines(mesh)), seconds=180)
    begun = {each: each.stat().st_size for each in (mesh.data / "logs").iterdir()}
    assert (files_with(mesh, who), files_with(mesh, word)) == (set(), set())
    assert "whole and unchanged" in audit_verified(mesh, tmp_path / "copy")
    assert_receipt_holds(owner, others, tmp_path / "receipt.txt")
    told = data(app, "GET", erasure).json()
    assert (told["state"], told["detail"][:23]) == ("DONE", "Nothing is kept about y")
    assert app.get("status").status_code == 404
    eventually(lambda: owner.get("status").status_code == 200)
    assert ordered.json()["commandId"] not in json.dumps(owner.history(limit=200))
    time.sleep(0.2)  # what is logged of these answers has been
    assert logged_since(mesh, begun, who) == []
    assert logged_since(mesh, begun, word) == []


def test_a_weak_sign_in_and_somebody_else_get_nothing(mesh: Mesh) -> None:
    weak = App(mesh, bearer=mesh.token("user-456", acr="urn:ecarus:acr:1fa"))
    for method, path, body in (
        ("POST", "exports", None),
        ("GET", "exports/ex-1/file", None),
        ("POST", "erasures", {"confirmation": "ERASE MY DATA"}),
    ):
        answer = data(weak, method, path, body)
        assert (answer.status_code, answer.json()["code"]) == (401, "STEP_UP_REQUIRED")
    strong = App(mesh, bearer=mesh.token("user-456"))
    assert data(strong, "GET", "exports/ex-1/file").json()["code"] == "PERSONAL_DATA_NOT_FOUND"
    assert data(strong, "GET", "erasures/er-1").json()["code"] == "PERSONAL_DATA_NOT_FOUND"
    assert data(strong, "DELETE", "exports/ex-1").status_code == 405
    assert data(App(mesh), "POST", "exports").json()["code"] == "ACTION_NOT_GRANTED"  # an API key

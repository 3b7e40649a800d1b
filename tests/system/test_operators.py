"""What operators do with `bin/doorctl` to a running mesh: giving and ending rights, from any folder."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import uuid
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from typer.testing import CliRunner

from doorctl.__main__ import app as app_of_doorctl
from tests.support.app import SAMPLE, App, eventually
from tests.support.running_mesh import ROOT
from tests.system.documents import blocks, checkout

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.running_mesh import Mesh

pytestmark = pytest.mark.system


@pytest.fixture
def doorctl(mesh: Mesh) -> Any:
    """`bin/doorctl`, without the seconds that its process takes to start."""

    def run(*words: str, fails: int = 0) -> str:
        done = CliRunner().invoke(app_of_doorctl, words, env={"DOORS_DATA_DIR": str(mesh.data)})
        assert done.exit_code == fails, done.output
        assert done.exception is None or isinstance(done.exception, SystemExit)
        return done.stderr if fails else done.stdout

    return run


def test_it_works_from_any_folder_and_through_a_link(mesh: Mesh, tmp_path: Path) -> None:
    repository, elsewhere = tmp_path / "repository", tmp_path / "elsewhere"
    elsewhere.mkdir()
    repository.mkdir()
    checkout(repository)
    (elsewhere / "there").symlink_to(repository / "bin" / "doorctl")
    link = elsewhere / "dc"
    link.symlink_to("there")
    environment = {name: value for name, value in mesh.environment.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [link, "account", "show", "user-123"],
        cwd=elsewhere,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert f" user-123 {SAMPLE} OWNER not revoked\n" in done.stdout


def test_a_grant_is_given_shown_and_revoked(mesh: Mesh, doorctl: Any) -> None:
    guest = f"guest-{uuid.uuid4()}"
    app = App(mesh, bearer=mesh.token(guest))
    assert app.get("status").status_code == 404
    given = json.loads(
        doorctl("grant", "give", guest, SAMPLE, "--role", "digital-key", "--valid", "8h", "--json")
    )
    assert (given["role"], given["principal"]) == ("DIGITAL_KEY", guest)
    eventually(lambda: app.get("status").status_code == 200)
    assert given["grantId"] in doorctl("grant", "list", SAMPLE)
    shown = doorctl("account", "show", guest)
    assert f"grant {given['grantId']} {guest} {SAMPLE} DIGITAL_KEY not revoked ends " in shown
    assert f"{guest} not locked, 1 grants, 0 API keys\n" in doorctl("account", "list")
    with app.stream() as stream:
        assert stream.status == 200
        assert "revoked " in doorctl("grant", "revoke", given["grantId"])
        assert stream.ended.wait(1), "the stream outlived the right"
    assert app.get("status").status_code == 404
    assert given["grantId"] not in doorctl("grant", "list", SAMPLE)
    assert given["grantId"] in doorctl("grant", "list", SAMPLE, "--all")
    assert "was revoked before" in doorctl(
        "grant",
        "give",
        guest,
        SAMPLE,
        "--role",
        "digital-key",
        "--valid",
        "8h",
        "--id",
        given["grantId"],
        fails=1,
    )


def test_what_was_done_is_in_the_audit_log_and_verifies_offline(
    mesh: Mesh, doorctl: Any, tmp_path: Path
) -> None:
    guest = f"guest-{uuid.uuid4()}"
    given = json.loads(
        doorctl("grant", "give", guest, SAMPLE, "--role", "digital-key", "--valid", "8h", "--json")
    )
    doorctl("grant", "revoke", given["grantId"])
    copies: list[Path] = []

    def copied() -> bool:
        copies.append(tmp_path / f"copy-{len(copies)}")
        doorctl("audit", "export", str(copies[-1]), "--members", "--reason", "her request")
        rows = [path.read_text() for path in copies[-1].rglob("table/**/*.jsonl")]
        return sum(row.count(guest) > 0 for text in rows for row in text.splitlines()) >= 2

    def signed() -> bool:
        return (mesh.data / "audit" / "log" / "checkpoint").exists()

    eventually(signed)
    eventually(copied)
    doorctl("audit", "checkpoint", "--out", str(tmp_path / "saved"))
    known = ("--key", str(mesh.data / "public" / "audit-log.vkey"))
    assert "whole and unchanged" in doorctl("audit", "verify", str(copies[-1]), *known, "--tables")
    saved = ("--checkpoint", str(tmp_path / "saved"))
    published = tmp_path / "published"

    def current() -> bool:
        """The folder grows while it is copied: once more, where its checkpoint was older than the saved one."""
        shutil.rmtree(published, ignore_errors=True)
        shutil.copytree(mesh.data / "audit" / "log", published)
        return (
            "whole and unchanged"
            in CliRunner().invoke(app_of_doorctl, ["audit", "verify", str(published), *known, *saved]).output
        )

    eventually(current)


def test_an_issued_key_works_and_its_stream_ends_within_a_second_of_its_revocation(
    mesh: Mesh, doorctl: Any
) -> None:
    made = json.loads(
        doorctl(
            "key",
            "issue",
            "user-123",
            "--name",
            "garage robot",
            "--valid",
            "90d",
            "--source",
            "web",
            "--json",
        )
    )
    key, key_id = made["key"], made["apiKey"]["keyId"]
    app = App(mesh, bearer=key)
    eventually(lambda: app.get("status").status_code == 200)
    listed = doorctl("key", "list", "user-123")
    assert f"{key_id} user-123 'garage robot' not revoked ends " in listed
    assert key not in listed
    with app.stream() as stream:
        assert stream.status == 200
        doorctl("key", "revoke", key_id)
        assert stream.ended.wait(1), "the stream outlived the key"
        assert "TOKEN_INVALID" in stream.comments[-1]
    assert app.get("status").json()["code"] == "TOKEN_INVALID"


def test_an_account_is_locked_and_unlocked(mesh: Mesh, doorctl: Any) -> None:
    guest = f"guest-{uuid.uuid4()}"
    doorctl("grant", "give", guest, SAMPLE, "--role", "shared-user")
    app = App(mesh, bearer=mesh.token(guest))
    eventually(lambda: app.get("status").status_code == 200)
    doorctl("account", "lock", guest, "--reason", "phone stolen")
    assert app.get("status").json()["code"] == "ACCOUNT_LOCKED"
    assert "phone stolen" in doorctl("account", "list", "--locked")
    assert "phone stolen" in doorctl("account", "show", guest)
    assert doorctl("account", "unlock", guest) == f"{guest} not locked\n"
    eventually(lambda: app.get("status").status_code == 200)
    assert guest not in doorctl("account", "list", "--locked")


def test_what_cannot_be_is_said_with_a_next_step(doorctl: Any) -> None:
    nobody = doorctl("grant", "revoke", "nobody", fails=1)
    assert nobody == "doorctl: There is no grant with this id: list those of its vehicle.\n"
    no_key = doorctl("key", "revoke", "key_" + "0" * 32, fails=1)
    assert no_key == "doorctl: There is no such API key: list those of its account.\n"
    surplus = doorctl(
        "grant", "give", "guest", SAMPLE, "--role", "digital-key", "--action", "door.config.write", fails=1
    )
    assert "door.config.write is not an action of this role" in surplus
    assert "sandbox" not in doorctl("grant", "approve", "nobody", fails=1)
    assert "is not a VIN" in doorctl("grant", "list", "short", fails=2)
    too_long = doorctl("key", "issue", "user-123", "--name", "x", "--valid", "400d", fails=1)
    assert "validSeconds" in too_long


def test_the_lines_of_the_deployment_page(doorctl: Any) -> None:
    rights, *_ = blocks("docs/deployment.md", "## Grants, accounts, API keys, and keys that are withdrawn")
    lines = [shlex.split(line.replace("$VIN", SAMPLE), comments=True) for line in rights.splitlines()]
    assert lines[0] == [f"VIN={SAMPLE}"]
    assert {line[0] for line in lines[1:]} == {"bin/doorctl"}
    said = [doorctl(*line[1:]) for line in lines[1:]]
    assert said[0].startswith(f"garage-7 guest-7 {SAMPLE} DIGITAL_KEY not revoked ends ")
    assert any(line.startswith("sk_") for each in said for line in each.splitlines())
    assert said[-1].startswith(f"garage-7 guest-7 {SAMPLE} DIGITAL_KEY revoked ")


def test_without_an_environment_it_says_how_to_make_one(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin" / "doorctl"
    script.write_bytes((ROOT / "bin" / "doorctl").read_bytes())
    done = subprocess.run(["sh", script, "--help"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        1,
        f"doorctl: {tmp_path}/.venv is not made yet: make -C {tmp_path} setup\n",
    )


def security(mesh: Mesh, method: str, path: str, token: str, body: object = None) -> httpx.Response:
    url = f"{mesh.base_url}/security/{path}"
    return httpx.request(method, url, headers={"Authorization": f"Bearer {token}"}, json=body, timeout=30)


def employee(mesh: Mesh, name: str) -> str:
    """As `make token USER=... CLIENT=operations SCOPE="security.watch security.act"` prints it."""
    return mesh.token(name, client="operations", scope="security.watch security.act")


def test_employees_watch_over_access_through_the_edge(mesh: Mesh, doorctl: Any) -> None:
    who = f"guest-{uuid.uuid4()}"
    one, other = employee(mesh, "employee-1"), employee(mesh, "employee-2")
    listed = security(mesh, "GET", "cases?openOnly=true", one)
    assert (listed.status_code, list(listed.json())) == (200, ["cases"])
    stop = {"principal": who, "reason": "reported by phone"}
    restricted = security(mesh, "POST", "accounts/restrict", one, stop)
    assert (restricted.status_code, restricted.json()["state"]) == (200, "RESTRICTED")
    locked = security(mesh, "POST", "accounts/lock", one, stop)
    assert (locked.status_code, locked.json()["state"]) == (200, "LOCKED")
    assert "locked" in doorctl("account", "show", who)
    asked = security(mesh, "POST", "accounts/restore", one, {"principal": who})
    assert (asked.json()["state"], asked.json()["restoreRequestedBy"]) == ("LOCKED", "employee/employee-1")
    assert "another operator must too" in doorctl("account", "show", who)
    assert security(mesh, "POST", "accounts/restore", other, {"principal": who}).json()["state"] == "ACTIVE"
    unknown = security(mesh, "POST", "cases/ab-1/acknowledge", one)
    assert (unknown.status_code, unknown.json()["code"]) == (404, "GRANT_NOT_FOUND")
    customer = security(mesh, "GET", "cases", mesh.token("user-123"))
    assert (customer.status_code, customer.json()["code"]) == (403, "ACTION_NOT_GRANTED")
    wrong = security(mesh, "POST", "accounts/lock", one, {**stop, "surplus": 1})
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (400, "surplus")
    twin = security(mesh, "DELETE", "cases", one)
    assert (twin.status_code, twin.headers["allow"]) == (405, "GET, HEAD")
    assert security(mesh, "GET", "nothing", one).status_code == 404


def test_a_case_that_is_closed_ends_its_agents_streams_and_tokens(mesh: Mesh, doorctl: Any) -> None:
    number = f"case-{uuid.uuid4()}"
    doorctl("case", "open", number, "user-123", "--vin", SAMPLE)
    agent = App(mesh, bearer=mesh.token("user-123", vin=SAMPLE, actor="agent-7", case=number))
    assert agent.get("status").status_code == 200
    with agent.stream() as stream, App(mesh, bearer=mesh.token("user-123")).stream() as customers:
        assert stream.status == 200
        assert "CLOSED" in doorctl("case", "close", number)
        assert stream.ended.wait(30), "the stream outlived the case"
        assert "TOKEN_INVALID" in stream.comments[-1]
        assert not customers.ended.is_set()
    refused = agent.get("status")
    assert (refused.status_code, refused.json()["code"]) == (401, "TOKEN_INVALID")
    assert "case is closed" in refused.json()["detail"]

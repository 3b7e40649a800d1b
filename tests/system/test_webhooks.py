"""Webhooks as a partner has them: registered through the edge, challenged, delivered, retried, replayed, revived."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import standardwebhooks
from typer.testing import CliRunner

from doorctl.__main__ import app as app_of_doorctl
from mesh.sandbox_fleet import SAMPLE_KEY
from tests.support.app import SAMPLE, App, Car, eventually
from tests.support.phones import OWNER
from tests.support.ports import free_port
from tests.system.documents import ROOT, blocks, checkout, paste
from tests.system.test_readme import CURL, moved

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.running_mesh import Mesh

pytestmark = pytest.mark.system

ENOUGH_SECONDS = 50


class PartnerSide:
    """A partner with the sample's API key, and a receiver in the phones' process."""

    def __init__(self, mesh: Mesh, name: str, bearer: str = SAMPLE_KEY) -> None:
        self.mesh, self.name, self.bearer = mesh, name, bearer
        self.hook = f"http://127.0.0.1:{mesh.ports.phones}/webhooks/{name}"

    def ask(self, path: str = "", method: str = "GET", body: Any = None) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.bearer}"}
        url = f"{self.mesh.base_url}/webhooks{path}"
        return httpx.request(method, url, headers=headers, json=body, timeout=30)

    def received(self, kind: str, count: int = 1) -> list[dict[str, Any]]:
        """What was received of this type, once it is so many."""
        query = {"type": kind, "count": str(count), "wait": str(ENOUGH_SECONDS)}
        answer = httpx.get(self.hook, params=query, timeout=ENOUGH_SECONDS + 10)
        messages: list[dict[str, Any]] = answer.json()["messages"]
        assert len(messages) >= count, messages
        return messages

    def shown(self) -> dict[str, Any]:
        document: dict[str, Any] = self.ask(f"/{self.name}").json()
        return document

    def fail(self, status: int, times: int = 1) -> None:
        body = {"status": status, "times": times}
        assert httpx.post(f"{self.hook}/failures", json=body, timeout=10).status_code == 204

    def becomes(self, state: str) -> dict[str, Any]:
        found: dict[str, Any] = eventually(lambda: (s := self.shown())["state"] == state and s)
        return found


@pytest.fixture
def partner(mesh: Mesh) -> Iterator[PartnerSide]:
    side = PartnerSide(mesh, "system")
    yield side
    side.ask("/system", "DELETE")
    httpx.delete(side.hook, timeout=10)


def test_a_partner_from_registering_to_reviving(mesh: Mesh, partner: PartnerSide) -> None:
    car, app = Car(mesh), App(mesh)
    car.meet()
    made = partner.ask("/system", "PUT", {"url": partner.hook, "eventTypes": ["command.finished"]})
    assert made.status_code == 200, made.text
    secret = made.json()["secret"]
    httpx.put(f"{partner.hook}/secret", json={"secret": secret}, timeout=10)
    partner.becomes("ACTIVE")
    (challenge,) = partner.received("webhook.challenge")
    assert challenge["message"]["data"]["webhookId"] == "system"

    first = app.accepted("unlock")["commandId"]
    app.end_of(first)
    (told,) = partner.received("command.finished")
    assert told["verified"] is True
    data = told["message"]["data"]
    assert (data["vin"], data["data"]["commandId"], data["data"]["status"]) == (SAMPLE, first, "SUCCESS")
    assert data["id"] == told["webhookId"]

    partner.fail(503)  # down: it is sent again, under the same id
    second = app.accepted("lock")["commandId"]
    told = partner.received("command.finished", 2)[1]
    assert told["message"]["data"]["data"]["commandId"] == second
    (delivery, _) = partner.ask("/system/deliveries").json()["deliveries"]
    assert (delivery["status"], delivery["attempts"]) == ("DELIVERED", 2)

    partner.fail(410)
    third = app.accepted("unlock")["commandId"]
    assert partner.becomes("DISABLED")["disabledReason"] == "GONE"
    app.end_of(third)
    replay = {"after": told["webhookId"]}
    refused = partner.ask("/system/replay", "POST", replay)
    assert (refused.status_code, refused.json()["code"]) == (409, "WEBHOOK_NOT_ACTIVE")
    assert partner.ask("/system/enable", "POST").status_code == 200
    partner.becomes("ACTIVE")
    assert partner.ask("/system/replay", "POST", replay).json()["replayed"] == 1
    ids = [each["message"]["data"]["data"]["commandId"] for each in partner.received("command.finished", 3)]
    assert set(ids) == {first, second, third}


def test_a_key_as_the_page_makes_it_registers_one_and_operators_list_stop_and_enable_it(mesh: Mesh) -> None:
    def doorctl(*words: str) -> str:
        done = CliRunner().invoke(app_of_doorctl, words, env={"DOORS_DATA_DIR": str(mesh.data)})
        assert done.exit_code == 0, done.output
        return done.stdout

    (line,) = blocks("docs/webhooks.md", "## Who")
    program, *words = shlex.split(line)
    assert program == "bin/doorctl"
    made = json.loads(doorctl(*words, "--json"))
    key = made["apiKey"]["keyId"]
    side, other = (PartnerSide(mesh, name, made["key"]) for name in ("operated", "operated-2"))
    try:
        for each in (side, other):
            asked = eventually(
                lambda e=each: (a := e.ask(f"/{e.name}", "PUT", {"url": e.hook})).status_code == 200 and a
            )
            assert asked.json()["webhookId"] == each.name
            each.becomes("ACTIVE")
        listed = doorctl("webhook", "list", "--principal", OWNER)
        host = f"127.0.0.1:{mesh.ports.phones}"
        assert f"{OWNER} operated --key {key} {host} ACTIVE\n" in listed
        one = (OWNER, "operated", "--key", key)
        assert " DISABLED, OPERATOR since " in doorctl("webhook", "stop", *one, "--reason", "to try it")
        shown = side.shown()
        assert (shown["state"], shown["disabledReason"]) == ("DISABLED", "OPERATOR")
        (told,) = other.received("webhook.disabled")
        assert told["message"]["data"] == {"webhookId": "operated", "url": side.hook, "reason": "OPERATOR"}
        refused = side.ask("/operated/enable", "POST")
        assert (refused.status_code, refused.json()["code"]) == (409, "WEBHOOK_STOPPED")
        doorctl("webhook", "enable", *one)
        side.becomes("ACTIVE")
    finally:
        for each in (side, other):
            each.ask(f"/{each.name}", "DELETE")
            httpx.delete(each.hook, timeout=10)
        doorctl("key", "revoke", key)


def test_it_is_the_one_of_its_key_and_url_are_judged(mesh: Mesh, partner: PartnerSide) -> None:
    assert partner.ask("/system", "PUT", {"url": partner.hook}).status_code == 200
    owner = PartnerSide(mesh, "system", mesh.token(OWNER))
    assert owner.ask().json().get("webhooks", []) == []
    assert owner.ask("/system").json()["code"] == "WEBHOOK_NOT_FOUND"
    for url in ("http://10.0.0.1:9000/", "https://169.254.169.254/", f"{partner.hook}#x", "nonsense"):
        refused = owner.ask("/other", "PUT", {"url": url})
        assert (refused.status_code, refused.json()["code"]) == (400, "INVALID_REQUEST"), url
    agent = PartnerSide(mesh, "system", mesh.token(OWNER, vin=SAMPLE, actor="agent-7"))
    assert agent.ask().status_code == 403


def test_the_receiver_of_the_page_verifies_what_it_is_sent(tmp_path: Path) -> None:
    (receiver,) = blocks("docs/webhooks.md", "## A receiver in Python", "python")
    file, port = tmp_path / "receiver.py", free_port()
    file.write_text(receiver, encoding="utf-8")
    secret = "whsec_" + "c2VjcmV0" * 6
    environment = {**os.environ, "WEBHOOK_SECRET": secret, "PORT": str(port)}
    with subprocess.Popen(
        [sys.executable, file], env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        try:

            def post(message: dict[str, Any], *, signed: bool = True) -> httpx.Response:
                body, at = json.dumps(message), datetime.now(UTC)
                signature = standardwebhooks.Webhook(secret).sign("msg-1", at, body)
                headers = {
                    "webhook-id": "msg-1",
                    "webhook-timestamp": str(int(at.timestamp())),
                    "webhook-signature": signature if signed else "v1,AAAA",
                }
                return httpx.post(f"http://127.0.0.1:{port}/", content=body, headers=headers, timeout=10)

            def is_up() -> bool:
                try:
                    return post({"type": "webhook.test", "data": {}}, signed=False).status_code == 401
                except httpx.TransportError:
                    return False

            eventually(is_up)
            challenge = post({"type": "webhook.challenge", "data": {"challenge": "abc"}})
            assert challenge.json() == {"challenge": "abc"}
            assert post({"type": "webhook.test", "data": {"message": "hello"}}).status_code == 204
            assert process.stdout is not None
            assert "hello" in process.stdout.readline()
        finally:
            process.terminate()


def test_the_pages_lines_go_from_the_first_request_to_a_replay(mesh: Mesh, tmp_path: Path) -> None:
    (receiver,) = blocks("docs/webhooks.md", "## A receiver in Python", "python")
    (lines,) = blocks("docs/webhooks.md", "## From the first request to a replay")
    folder, port = checkout(tmp_path), free_port()
    (folder / "receiver.py").write_text(receiver, encoding="utf-8")
    made, token = "$(make -s token USER=user-123)", mesh.token(OWNER)
    assert made in lines
    lines = moved(lines, mesh.ports).replace("127.0.0.1:9100", f"127.0.0.1:{port}").replace(made, token)
    told = paste(f"trap 'kill $RECEIVER' ERR\n{lines}", folder, PORT=str(port))
    assert told.returncode == 0, told.stdout + told.stderr
    assert '"whsec_' in told.stdout
    assert "webhook.test {" in told.stdout
    assert '"DELIVERED"' in told.stdout
    assert '"replayed"' in told.stdout
    assert PartnerSide(mesh, "garage", token).ask("/garage").status_code == 404


def test_the_readmes_lines_bring_a_webhook(mesh: Mesh) -> None:
    Car(mesh).meet()
    (push,) = blocks("README.md", "## Push notifications")
    (lines,) = blocks("README.md", "## Webhooks")
    preamble = "\n".join(line for line in push.splitlines() if line.startswith(("API=", "DOOR=", "JSON=")))
    token = f"TOKEN={mesh.token(OWNER)}"
    told = paste(CURL + moved(f"{preamble}\n{token}\n{lines}", mesh.ports), ROOT)
    assert told.returncode == 0, told.stderr
    assert '"verified":true' in told.stdout.replace(" ", "")
    assert '"command.finished"' in told.stdout
    assert '"webhook.test"' in told.stdout

"""The WebSocket of live updates as its clients meet it: through Envoy, with clients of two makers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import uuid
from typing import TYPE_CHECKING, Any

import aiohttp
import httpx
import pytest
from ecarus.remotecontrol.access.v1 import access_service_pb2
from typer.testing import CliRunner
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from doorctl.__main__ import app as doorctl
from tests.support.app import ANSWER_SECONDS, FOREIGN, SAMPLE, SECOND, WAIT_SECONDS, App, Car
from tests.system.documents import blocks
from tests.system.test_rights import grant, operator

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.running_mesh import Mesh

pytestmark = pytest.mark.system
PATH = "/api/v1/remotecontrol/events/ws"


def opened(mesh: Mesh, bearer: str | None = None, query: str = "", **more: Any) -> ClientConnection:
    headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
    return connect(
        f"ws://127.0.0.1:{mesh.ports.http}{PATH}{query}",
        additional_headers=headers | more.pop("headers", {}),
        open_timeout=ANSWER_SECONDS,
        **more,
    )


def refused(opening: Callable[[], object]) -> httpx.Response:
    with pytest.raises(InvalidStatus) as caught:
        opening()
    response = caught.value.response
    answer = httpx.Response(
        response.status_code, headers=list(response.headers.raw_items()), content=bytes(response.body or b"")
    )
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == answer.status_code
    assert answer.json()["correlationId"] == answer.headers["x-correlation-id"]
    return answer


def said(client: ClientConnection) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(client.recv(WAIT_SECONDS))
    return document


def until(client: ClientConnection, is_it: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """The first message that is it."""
    while not is_it(message := said(client)):
        pass
    return message


def subscribe(
    client: ClientConnection, *vins: str, last: str | None = None, **more: Any
) -> dict[str, dict[str, Any]]:
    """What each vehicle was answered with."""
    vehicles = [{"vin": vin, **({"lastEventId": last} if last else {})} for vin in vins]
    client.send(json.dumps({"action": "subscribe", "vehicles": vehicles, **more}))
    answers: dict[str, dict[str, Any]] = {}
    while len(answers) < len(vins):
        answer = said(client)
        if answer["type"] in {"SUBSCRIBED", "REFUSED"}:
            answers[answer["vin"]] = answer
    return answers


def closed(client: ClientConnection) -> tuple[int, str]:
    with contextlib.suppress(ConnectionClosed):
        while True:
            client.recv(WAIT_SECONDS)
    return client.close_code or 0, client.close_reason or ""


def test_one_connection_tells_of_many_cars_and_comes_back_without_a_gap(mesh: Mesh) -> None:
    for vin in (SAMPLE, SECOND):
        Car(mesh, vin).meet()
    owner, other = App(mesh), App(mesh, SECOND)
    token = mesh.token("user-123")
    with opened(mesh, token) as client:
        answers = subscribe(client, SAMPLE, SECOND, FOREIGN, "KMHSH81C7LU999999", requestId="r-1")
        assert [answers[vin]["type"] for vin in (SAMPLE, SECOND)] == ["SUBSCRIBED"] * 2
        unknown = [{**answers[vin], "vin": ""} for vin in (FOREIGN, "KMHSH81C7LU999999")]
        assert unknown[0] == unknown[1]
        assert (unknown[0]["type"], unknown[0]["code"]) == ("REFUSED", "VEHICLE_NOT_FOUND")
        commands = {SAMPLE: owner.done("lock"), SECOND: other.done("lock")}
        for vin, command_id in commands.items():
            ended = until(
                client,
                lambda m, i=command_id: m["data"].get("commandId") == i and m["data"]["status"] == "SUCCESS",
            )
            assert ended["vin"] == vin
        last = ended["id"]
    missed = owner.done("lock")
    with opened(mesh, token) as client:
        subscribe(client, SAMPLE, last=last)
        seen = [
            until(client, lambda m: m["data"].get("commandId") == missed)["data"]["status"] for _ in range(3)
        ]
        assert seen == ["PENDING", "IN_PROGRESS", "SUCCESS"]
    with owner.stream(last) as stream:  # the ids are those of the event stream
        stream.wait_for(lambda e: e["data"]["data"].get("commandId") == missed)
        assert all(event["data"]["data"].get("code") != "UPDATES_RESET" for event in stream.events)


def test_a_browser_opens_it_with_a_ticket_that_is_good_once(mesh: Mesh) -> None:
    token = mesh.token("user-123")
    origin = {"Origin": f"http://localhost:{mesh.ports.http}"}
    given = httpx.post(
        f"{mesh.base_url}/events/tickets",
        headers={"Authorization": f"Bearer {token}"},
        json={},
        timeout=ANSWER_SECONDS,
    )
    assert given.status_code == 200, given.text
    assert given.json().keys() == {"ticket", "expiresIn"}
    assert given.json()["expiresIn"] == 30
    query = f"?ticket={given.json()['ticket']}"

    async def as_a_browser() -> dict[str, Any]:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=WAIT_SECONDS)) as session,
            session.ws_connect(f"http://127.0.0.1:{mesh.ports.http}{PATH}{query}", headers=origin) as client,
        ):
            await client.send_json({"action": "subscribe", "vehicles": [{"vin": SAMPLE}]})
            answer: dict[str, Any] = await client.receive_json()
            return answer

    assert asyncio.run(as_a_browser())["type"] == "SUBSCRIBED"
    again = refused(lambda: opened(mesh, query=query, headers=origin))
    assert (again.status_code, again.json()["code"]) == (401, "TOKEN_INVALID")
    for wrong in ("?ticket=", "?ticket=x", f"?ticket={'A' * 43}"):
        assert refused(lambda q=wrong: opened(mesh, token, query=q)).status_code == 401
    other = refused(lambda: opened(mesh, token, query="?vin=x"))
    assert (other.status_code, other.json()["code"]) == (400, "INVALID_REQUEST")
    for headers in ({}, {"Authorization": "Bearer x"}):
        answer = httpx.post(
            f"{mesh.base_url}/events/tickets", headers=headers, json={}, timeout=ANSWER_SECONDS
        )
        assert answer.status_code == 401
    unsound = httpx.post(
        f"{mesh.base_url}/events/tickets",
        headers={"Authorization": f"Bearer {token}"},
        json={"vehicle": SAMPLE},
        timeout=ANSWER_SECONDS,
    )
    assert (unsound.status_code, unsound.json()["code"]) == (400, "INVALID_REQUEST")


def test_who_is_nobody_and_whose_page_is_not_listed_opens_nothing(mesh: Mesh) -> None:
    nobody = refused(lambda: opened(mesh))
    assert (nobody.status_code, nobody.json()["code"]) == (401, "AUTHENTICATION_REQUIRED")
    assert nobody.headers["www-authenticate"].startswith("Bearer")
    token = mesh.token("user-123")
    page = refused(lambda: opened(mesh, token, headers={"Origin": "https://evil.example.com"}))
    assert (page.status_code, page.json()["code"]) == (403, "CALLER_NOT_ALLOWED")
    forged = {"X-Ecarus-Session": "x.y.z"}
    assert refused(lambda: opened(mesh, headers=forged)).status_code == 401


def test_what_is_no_websocket_is_told_so(mesh: Mesh) -> None:
    headers = {"Authorization": f"Bearer {mesh.token('user-123')}"}
    url = f"http://127.0.0.1:{mesh.ports.http}{PATH}"
    answer = httpx.get(url, headers=headers, timeout=ANSWER_SECONDS)
    assert (answer.status_code, answer.json()["code"]) == (400, "INVALID_REQUEST")
    answer = httpx.post(url, headers=headers, json={}, timeout=ANSWER_SECONDS)
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")
    bare = {**headers, "Connection": "Upgrade", "Upgrade": "websocket"}
    answer = httpx.get(url, headers=bare, timeout=ANSWER_SECONDS)
    assert (answer.status_code, answer.json()["code"]) == (400, "INVALID_REQUEST")


def test_the_end_of_a_right_closes_it_with_its_reason(mesh: Mesh) -> None:
    Car(mesh).meet()
    guest = f"guest-{uuid.uuid4()}"
    with operator(mesh) as access:
        grant(access, guest, guest)
        with opened(mesh, mesh.token(guest)) as client:
            assert subscribe(client, SAMPLE)[SAMPLE]["type"] == "SUBSCRIBED"
            access.RevokeGrant(access_service_pb2.RevokeGrantRequest(grant_id=guest), timeout=30)
            assert closed(client) == (4403, "ACTION_NOT_GRANTED")


def test_the_end_of_a_case_closes_what_its_agent_has_open(mesh: Mesh) -> None:
    Car(mesh).meet()
    case, agent = f"case-{uuid.uuid4()}", f"agent-{uuid.uuid4()}"
    token = mesh.token("user-123", vin=SAMPLE, actor=agent, case=case)
    with opened(mesh, token) as client, opened(mesh, token) as idle:
        assert subscribe(client, SAMPLE)[SAMPLE]["type"] == "SUBSCRIBED"
        done = CliRunner().invoke(doorctl, ["case", "close", case], env={"DOORS_DATA_DIR": str(mesh.data)})
        assert done.exit_code == 0, done.output
        assert closed(client) == (4401, "TOKEN_INVALID")
        # One over which nothing was told is told nothing any more either.
        idle.send(json.dumps({"action": "subscribe", "vehicles": [{"vin": SAMPLE}]}))
        assert closed(idle) == (4401, "TOKEN_INVALID")
        answer = refused(lambda: opened(mesh, token))
        assert (answer.status_code, answer.json()["code"]) == (401, "TOKEN_INVALID")


def test_an_agent_without_a_case_opens_nothing(mesh: Mesh) -> None:
    token = mesh.token("user-123", vin=SAMPLE, actor=f"agent-{uuid.uuid4()}", case="")
    answer = refused(lambda: opened(mesh, token))
    assert (answer.status_code, answer.json()["code"]) == (401, "TOKEN_INVALID")
    ticket = httpx.post(
        f"{mesh.base_url}/events/tickets",
        headers={"Authorization": f"Bearer {token}"},
        json={},
        timeout=ANSWER_SECONDS,
    )
    assert (ticket.status_code, ticket.json()["code"]) == (401, "TOKEN_INVALID")


def test_the_documents_client_tells_of_its_cars(mesh: Mesh, tmp_path: Path) -> None:
    Car(mesh).meet()
    (script,) = blocks("docs/clients.md", "## WebSocket", "python")
    (tmp_path / "client.py").write_text(script)
    environment = {
        "TOKEN": mesh.token("user-123"),
        "EVENTS": f"ws://127.0.0.1:{mesh.ports.http}{PATH}",
        "PATIENCE": "20",
        "PYTHONUNBUFFERED": "1",
    }
    with subprocess.Popen(
        [sys.executable, "client.py"], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True
    ) as client:
        assert client.stdout is not None
        begun = {client.stdout.readline().split()[1] for _ in range(2)}
        assert begun == {SAMPLE, SECOND}
        App(mesh).done("lock")
        lines = client.stdout.read().splitlines()
        assert client.wait(WAIT_SECONDS) == 0
    assert any(line.startswith(f"COMMAND_STATUS_UPDATE {SAMPLE}") and "SUCCESS" in line for line in lines)

"""The event stream by a ticket, through Envoy in the running mesh: what a browser's EventSource has in place of a
bearer, and what a thief makes of one.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import httpx
import pytest
from ecarus.remotecontrol.access.v1 import access_service_pb2
from typer.testing import CliRunner

from doorctl.__main__ import app as doorctl
from mesh.sandbox import Sandbox
from mesh.tokens import LIFETIME_SECONDS, Bearer, issue_token
from services.access.domain.tickets import TICKET_SECONDS
from tests.support.app import FOREIGN, PLAINLY, PUBLISHED_KEY, SAMPLE, SECOND, App, Car, eventually
from tests.support.stream_tickets import by_ticket, refusal_of, ticket_of
from tests.system.test_rights import grant, operator

if TYPE_CHECKING:
    from tests.support.running_mesh import Mesh

pytestmark = pytest.mark.system

UNUSED = "A" * 43


def test_it_is_told_as_with_a_bearer_and_goes_on_where_it_was(mesh: Mesh) -> None:
    Car(mesh).meet()
    app, token = App(mesh), mesh.token("user-123")
    with by_ticket(app, ticket_of(mesh, token)) as stream:
        assert stream.status == 200
        place = stream.wait_for(lambda event: event["event"] == "STREAM_OPENED")["id"]
        accepted = app.accepted("lock")["commandId"]
        last = stream.wait_for(lambda e: e["data"]["data"].get("commandId") == accepted)["id"]
        assert last != place
    assert app.end_of(accepted)["status"] == "SUCCESS"
    with app.stream(place) as whole, by_ticket(app, ticket_of(mesh, token), place) as again:
        for stream in (whole, again):
            stream.wait_for(lambda event: event["data"]["data"].get("status") == "SUCCESS")
        told = [event["id"] for event in again.events]
        assert told[0] == last or told[0] == whole.events[0]["id"]
        assert len(set(told)) == len(told)
        assert all(event["event"] != "STREAM_OPENED" for event in again.events)


def test_it_opens_one_stream_of_one_vehicle_and_nothing_else(mesh: Mesh) -> None:
    Car(mesh).meet()
    token = mesh.token("user-123")
    ticket, socket = ticket_of(mesh, token), ticket_of(mesh, token, None)
    for path, code in (
        (f"vehicles/{SECOND}/door/updates/stream", "TOKEN_INVALID"),
        (f"vehicles/{FOREIGN}/door/updates/stream", "TOKEN_INVALID"),
        (f"vehicles/{SAMPLE}/door/status", "AUTHENTICATION_REQUIRED"),
        (f"vehicles/{SAMPLE}/door/history", "AUTHENTICATION_REQUIRED"),
        ("vehicles", "AUTHENTICATION_REQUIRED"),
    ):
        assert refusal_of(mesh, ticket, path) == (401, code)
    upgrade = {"connection": "Upgrade", "upgrade": "websocket"}
    answer = httpx.get(f"{mesh.base_url}/events/ws", params={"ticket": ticket}, headers=upgrade, **PLAINLY)
    assert (answer.status_code, answer.json()["code"]) == (401, "TOKEN_INVALID")
    assert refusal_of(mesh, socket) == (401, "TOKEN_INVALID")
    with by_ticket(App(mesh), ticket) as stream:
        assert stream.status == 200
        assert refusal_of(mesh, ticket) == (401, "TOKEN_INVALID")
        assert not stream.ended.is_set()


def test_of_many_that_come_at_once_one_opens_it(mesh: Mesh) -> None:
    ticket = ticket_of(mesh, mesh.token("user-123"))

    async def statuses() -> list[int]:
        async with httpx.AsyncClient(**PLAINLY) as client:

            async def opened() -> int:
                url = f"{App(mesh).door}/updates/stream"
                async with client.stream("GET", url, params={"ticket": ticket}) as answer:
                    return answer.status_code

            return await asyncio.gather(*(opened() for _ in range(12)))

    assert sorted(asyncio.run(statuses())) == [200, *[401] * 11]


def test_it_is_no_key_to_another_s_vehicle(mesh: Mesh) -> None:
    ticket = ticket_of(mesh, mesh.token("user-123"), FOREIGN)
    unknown = ticket_of(mesh, mesh.token("user-123"), "KMHSH81C7LU999999")
    told = {
        refusal_of(mesh, each, f"vehicles/{vin}/door/updates/stream")
        for each, vin in ((ticket, FOREIGN), (unknown, "KMHSH81C7LU999999"))
    }
    assert told == {(404, "VEHICLE_NOT_FOUND")}


def test_it_opens_nothing_once_the_right_has_ended_and_what_it_opened_ends_with_it(mesh: Mesh) -> None:
    Car(mesh).meet()
    guest = f"guest-{uuid.uuid4()}"
    token = mesh.token(guest)
    with operator(mesh) as access:
        grant(access, guest, guest)
        with by_ticket(App(mesh), ticket_of(mesh, token)) as stream:
            assert stream.status == 200
            later = ticket_of(mesh, token)
            access.RevokeGrant(access_service_pb2.RevokeGrantRequest(grant_id=guest), timeout=30)
            assert stream.ended.wait(30)
            assert any("ACTION_NOT_GRANTED" in comment for comment in stream.comments)
        assert refusal_of(mesh, later) == (404, "VEHICLE_NOT_FOUND")


def test_what_it_opened_ends_with_the_token_it_was_asked_for_with(mesh: Mesh) -> None:
    Car(mesh).meet()
    sandbox, almost_over = Sandbox(mesh.data), datetime.now(UTC) - timedelta(seconds=LIFETIME_SECONDS - 8)
    token = issue_token(sandbox.issuer_key, sandbox.issuer, Bearer("user-123"), almost_over)
    with by_ticket(App(mesh), ticket_of(mesh, token)) as stream:
        assert stream.status == 200
        assert stream.ended.wait(60)
        assert any("TOKEN_EXPIRED" in comment for comment in stream.comments)


def test_an_agent_s_ends_with_the_case(mesh: Mesh) -> None:
    Car(mesh).meet()
    case, agent = f"case-{uuid.uuid4()}", f"agent-{uuid.uuid4()}"
    token = mesh.token("user-123", vin=SAMPLE, actor=agent, case=case)
    with by_ticket(App(mesh), ticket_of(mesh, token)) as stream:
        assert stream.status == 200
        later = ticket_of(mesh, token)
        done = CliRunner().invoke(doorctl, ["case", "close", case], env={"DOORS_DATA_DIR": str(mesh.data)})
        assert done.exit_code == 0, done.output
        assert stream.ended.wait(30)
    assert refusal_of(mesh, later) == (401, "TOKEN_INVALID")


def test_it_is_in_no_log(mesh: Mesh) -> None:
    token = mesh.token("user-123")
    used, wrong = ticket_of(mesh, token), ticket_of(mesh, token, None)
    with by_ticket(App(mesh), used) as stream:
        assert stream.status == 200
    correlation_id = f"after-{uuid.uuid4()}"
    assert refusal_of(mesh, wrong) == (401, "TOKEN_INVALID")
    httpx.get(f"{App(mesh).door}/status", headers={"X-Correlation-ID": correlation_id}, **PLAINLY)
    logs = mesh.data / "logs"

    def written() -> str:
        return "".join(file.read_text(errors="replace") for file in sorted(logs.rglob("*.log")))

    text = eventually(lambda: correlation_id in (t := written()) and t)  # all from before it is there, too
    assert used not in text
    assert wrong not in text


def test_a_key_s_ticket_is_the_key_s(mesh: Mesh) -> None:
    with by_ticket(App(mesh), ticket_of(mesh, PUBLISHED_KEY)) as stream:
        assert stream.status == 200
        assert stream.wait_for(lambda event: event["event"] == "STREAM_OPENED")


@pytest.mark.alone
def test_a_late_one_opens_nothing(mesh: Mesh) -> None:
    ticket = ticket_of(mesh, mesh.token("user-123"))
    time.sleep(TICKET_SECONDS + 1)  # real time is what it is about
    assert refusal_of(mesh, ticket) == refusal_of(mesh, UNUSED) == (401, "TOKEN_INVALID")

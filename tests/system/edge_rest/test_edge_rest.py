"""REST through Envoy: what reaches a service, and how its answer comes back."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest
from ecarus.remotecontrol.door.v1 import door_command_pb2, door_diagnostics_pb2
from grpc_health.v1 import health_pb2

from tests.system.edge_harness import BASE, CAPABILITY, OTHER_VIN, VIN, EdgeHarness

if TYPE_CHECKING:
    import httpx

from tests.system.edge_rest.conftest import GOOD, UNLOCK, assert_problem

pytestmark = pytest.mark.asyncio(loop_scope="module")

WHOLE, SHORT, USUAL = 1_768_228_218_000, 1_768_228_218_120, 1_768_228_218_005
"""Milliseconds: a whole second, and such as print one digit or three when nobody takes care."""


async def test_an_accepted_command_is_202_with_location(edge: EdgeHarness, client: httpx.AsyncClient) -> None:
    answer = await client.post(f"{BASE}/unlock", headers=GOOD, json=UNLOCK)
    assert answer.status_code == 202
    assert answer.headers["location"] == f"{BASE}/commands/c1"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json()["commandId"] == "c1"
    assert not {"x-http-code", "grpc-status", "grpc-message", "grpc-encoding"} & answer.headers.keys()
    request, metadata = edge.received.last
    assert list(request.unlock.target_doors) == ["all"]
    assert metadata[CAPABILITY] == f"for:{VIN}"
    assert "authorization" not in metadata


async def test_a_command_that_was_waited_for_is_200_with_what_a_look_at_it_shows(
    edge: EdgeHarness, client: httpx.AsyncClient
) -> None:
    answer = await client.post(
        f"{BASE}/unlock", headers=GOOD | {"Prefer": "respond-async, Wait=20"}, json=UNLOCK
    )
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json() == {"commandId": "c1", "status": "SUCCESS", "timestamp": "2026-01-12T14:30:18.000Z"}
    assert answer.headers["content-length"] == str(len(answer.content))
    assert answer.headers["preference-applied"] == "wait=20"
    assert answer.headers["location"] == f"{BASE}/commands/c1"
    assert "x-http-body" not in answer.headers
    assert 30 < edge.services.seconds_left < 36
    assert (await client.post(f"{BASE}/unlock", headers=GOOD, json=UNLOCK)).status_code == 202


async def test_a_preference_for_something_else_changes_no_deadline(
    edge: EdgeHarness, client: httpx.AsyncClient
) -> None:
    await client.post(f"{BASE}/unlock", headers=GOOD | {"Prefer": "return=minimal"}, json=UNLOCK)
    assert edge.services.seconds_left < 5


async def test_every_time_has_three_digits(edge: EdgeHarness, client: httpx.AsyncClient) -> None:
    command = door_command_pb2.DoorCommandDetails(
        command_id="c1", message="At 2026-01-12T14:30:18Z it was done."
    )
    for millis in (WHOLE, SHORT, USUAL):
        command.stages.add().time.FromMilliseconds(millis)
    command.timestamp.FromMilliseconds(WHOLE)
    accepted = door_command_pb2.DoorCommand(command_id="c1")
    accepted.timestamp.FromMilliseconds(WHOLE)
    history = door_command_pb2.DoorHistory(vin=VIN)
    history.as_of.FromMilliseconds(WHOLE)
    for number in range(200):
        history.history.add(command_id=f"c{number}").timestamp.FromMilliseconds(WHOLE + number % 2)
    diagnostics = door_diagnostics_pb2.DoorDiagnostics(vin=VIN)
    diagnostics.components.add().last_maintenance.FromMilliseconds(WHOLE)
    messages = (command, accepted, history, diagnostics)
    edge.services.answers = {type(message): message for message in messages}
    try:
        told = [
            (await client.get(f"{BASE}/{path}", headers=GOOD)).json()
            for path in ("commands/c1", "history", "diagnostics")
        ]
        answer = await client.post(f"{BASE}/unlock", headers=GOOD, json=UNLOCK)
    finally:
        edge.services.answers = {}

    assert (answer.status_code, answer.json()["timestamp"]) == (202, "2026-01-12T14:30:18.000Z")
    assert [stage["time"] for stage in told[0]["stages"]] == [
        "2026-01-12T14:30:18.000Z",
        "2026-01-12T14:30:18.120Z",
        "2026-01-12T14:30:18.005Z",
    ]
    assert told[0]["timestamp"] == "2026-01-12T14:30:18.000Z"
    assert told[0]["message"] == "At 2026-01-12T14:30:18Z it was done."
    times = {entry["timestamp"] for entry in told[1]["history"]}
    assert (len(told[1]["history"]), times) == (200, {"2026-01-12T14:30:18.000Z", "2026-01-12T14:30:18.001Z"})
    assert told[1]["asOf"] == "2026-01-12T14:30:18.000Z"
    assert told[2]["components"][0]["lastMaintenance"] == "2026-01-12T14:30:18.000Z"


async def test_every_endpoint_reaches_its_rpc(edge: EdgeHarness, client: httpx.AsyncClient) -> None:
    for method, path, request_name in (
        ("POST", "lock", "LockDoorsRequest"),
        ("POST", "cancel", "CancelCommandRequest"),
        ("GET", "commands/c-1", "GetCommandRequest"),
        ("GET", "history?period=24h&limit=50&offset=0&action=UNLOCK", "ListCommandHistoryRequest"),
        ("GET", "status", "GetDoorStatusRequest"),
        ("GET", "config", "GetDoorConfigRequest"),
        ("PUT", "config", "UpdateDoorConfigRequest"),
        ("GET", "diagnostics", "GetDoorDiagnosticsRequest"),
    ):
        body: dict[str, str] | None = {} if method != "GET" else None
        answer = await client.request(method, f"{BASE}/{path}", headers=GOOD, json=body)
        assert answer.status_code == 200, (path, answer.text)
        assert type(edge.received.last[0]).__name__ == request_name
        assert edge.received.last[0].vin == VIN


async def test_a_lower_case_vin_passes_the_routes(edge: EdgeHarness, client: httpx.AsyncClient) -> None:
    await client.get(f"{BASE}/status".replace(VIN, VIN.lower()), headers=GOOD)
    assert edge.access.checks[-1].attributes.request.http.path.split("/")[5] == VIN.lower()


async def test_the_access_service_gets_the_body_untouched(
    edge: EdgeHarness, client: httpx.AsyncClient
) -> None:
    body = b'{"targetDoors": ["all"], "targetDoors": "all", "nonsense": 1}'
    await client.post(f"{BASE}/unlock", headers=GOOD, content=body)
    assert edge.access.checks[-1].attributes.request.http.raw_body == body


@pytest.mark.parametrize("query", [f"vin={OTHER_VIN}", f"%76in={OTHER_VIN}"])
async def test_a_forged_vin_gets_through_the_transcoder_but_the_capability_tells(
    edge: EdgeHarness, client: httpx.AsyncClient, query: str
) -> None:
    await client.get(f"{BASE}/status?{query}", headers=GOOD)
    request, metadata = edge.received.last
    assert request.vin == OTHER_VIN  # why every service compares
    assert metadata[CAPABILITY] == f"for:{VIN}"
    # and the access service sees the query, to refuse it before that
    assert query in edge.access.checks[-1].attributes.request.http.path


async def test_a_forged_vin_in_the_body_of_a_get_too(edge: EdgeHarness, client: httpx.AsyncClient) -> None:
    once, twice = f'{{"vin":"{OTHER_VIN}"}}', f'{{"vin":"{VIN}","vin":"{OTHER_VIN}"}}'
    assert_problem(
        await client.request("GET", f"{BASE}/status", headers=GOOD, content=once), 400, "INVALID_REQUEST"
    )
    await client.request("GET", f"{BASE}/status", headers=GOOD, content=twice)
    request, metadata = edge.received.last
    assert request.vin == OTHER_VIN  # past the transcoder's check
    assert metadata[CAPABILITY] == f"for:{VIN}"
    assert edge.access.checks[-1].attributes.request.http.raw_body == twice.encode()


@pytest.mark.parametrize("body", [f'{{"vin":"{OTHER_VIN}"}}', f'{{"vin":"{VIN}","vin":"{OTHER_VIN}"}}'])
async def test_a_vin_in_the_body_of_a_command_is_not_the_command_s(
    edge: EdgeHarness, client: httpx.AsyncClient, body: str
) -> None:
    await client.post(f"{BASE}/unlock", headers=GOOD, content=body)
    assert edge.received.last[0].vin == VIN


async def test_what_only_we_may_say_is_stripped(edge: EdgeHarness, client: httpx.AsyncClient) -> None:
    forged = {
        CAPABILITY: "forged",
        "x-ecarus-anything": "forged",
        "x-http-code": "299",
        "x-problem": "forged",
        "x-envoy-original-path": "/forged",
        "x-envoy-upstream-rq-timeout-ms": "1",
        "x-request-id": "forged",
        "x-forwarded-client-cert": "URI=spiffe://ecarus/team/forged",
        "grpc-timeout": "1n",
    }
    answer = await client.post(f"{BASE}/lock", headers=GOOD | forged, json=UNLOCK)
    assert answer.status_code == 200
    assert "forged" not in str(edge.received.last[1])
    assert "forged" not in str(edge.access.checks[-1].attributes.request.http.headers)


async def test_healthz_needs_no_token(client: httpx.AsyncClient) -> None:
    answer = await client.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    assert "x-correlation-id" in answer.headers


async def test_a_correlation_id_is_kept_or_made(edge: EdgeHarness, client: httpx.AsyncClient) -> None:
    kept = await client.get(f"{BASE}/status", headers=GOOD | {"x-correlation-id": "Mine_1.2-3"})
    assert kept.headers["x-correlation-id"] == "Mine_1.2-3"
    assert edge.received.last[1]["x-correlation-id"] == "Mine_1.2-3"
    made = await client.get(f"{BASE}/status", headers=GOOD)
    assert made.headers["x-correlation-id"] == edge.received.last[1]["x-correlation-id"]


async def test_an_idempotency_key_is_the_correlation_id_unless_one_is_sent(
    edge: EdgeHarness, client: httpx.AsyncClient
) -> None:
    alone = await client.post(f"{BASE}/unlock", headers=GOOD | {"idempotency-key": "key-1"}, json=UNLOCK)
    assert alone.headers["x-correlation-id"] == "key-1"
    assert edge.received.last[1]["x-correlation-id"] == "key-1"
    quoted = await client.post(f"{BASE}/unlock", headers=GOOD | {"idempotency-key": '"key-2"'}, json=UNLOCK)
    assert quoted.headers["x-correlation-id"] == "key-2"
    assert edge.received.last[1]["x-correlation-id"] == "key-2"
    both = {"idempotency-key": "key-1", "x-correlation-id": "id-1"}
    answer = await client.post(f"{BASE}/unlock", headers=GOOD | both, json=UNLOCK)
    assert answer.headers["x-correlation-id"] == "id-1"
    seen = edge.access.checks[-1].attributes.request.http.headers
    assert (seen["idempotency-key"], seen["x-correlation-id"]) == ("key-1", "id-1")


@pytest.mark.parametrize("bad", ["with space", "x" * 65, 'quote"', ""])
async def test_a_malformed_id_is_left_for_access_to_refuse_and_never_echoed(
    edge: EdgeHarness, client: httpx.AsyncClient, bad: str
) -> None:
    answer = await client.get(f"{BASE}/status", headers=GOOD | {"x-correlation-id": bad})
    seen = edge.access.checks[-1].attributes.request.http.headers
    assert seen["x-correlation-id"] == bad
    assert answer.headers["x-correlation-id"] == seen["x-request-id"]


async def test_two_correlation_ids_are_none(edge: EdgeHarness, client: httpx.AsyncClient) -> None:
    headers = [*GOOD.items(), ("x-correlation-id", "a"), ("x-correlation-id", "b")]
    answer = await client.get(f"{BASE}/status", headers=headers)
    seen = edge.access.checks[-1].attributes.request.http.headers
    assert seen["x-correlation-id"] == "a,b"
    assert answer.headers["x-correlation-id"] == seen["x-request-id"]


async def test_a_stream_starts_at_once(edge: EdgeHarness, client: httpx.AsyncClient) -> None:
    headers = GOOD | {"last-event-id": "41"}
    async with asyncio.timeout(30), client.stream("GET", f"{BASE}/updates/stream", headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/event-stream"
        assert answer.headers["cache-control"] == "no-store"
        assert "x-correlation-id" in answer.headers
        async for text in answer.aiter_text():
            assert text == "retry: 1000\n\n"
            break
    assert edge.received.last[1]["last-event-id"] == "41"


async def test_a_stream_refused_before_it_began_is_a_problem(client: httpx.AsyncClient) -> None:
    answer = await client.get(f"{BASE}/updates/stream", headers=GOOD | {"x-fail": "document-503"})
    assert answer.status_code == 503
    assert answer.json()["code"] == "FROM_SERVICE"


async def test_the_access_log_names_neither_vin_nor_token(
    edge: EdgeHarness, client: httpx.AsyncClient
) -> None:
    wanted = "log-me"
    await client.get(f"{BASE}/status", headers=GOOD | {"x-correlation-id": wanted})
    async with asyncio.timeout(30):
        while not any(line["correlation_id"] == wanted for line in edge.log_lines()):  # noqa: ASYNC110  # a file
            await asyncio.sleep(0.02)
    text = edge.log.read_text(encoding="utf-8")
    assert VIN not in text
    assert "Bearer" not in text
    assert "good" not in text


async def test_access_is_told_whose_connection_it_is_and_not_what_a_caller_says(
    edge: EdgeHarness, client: httpx.AsyncClient
) -> None:
    said = {"x-forwarded-for": "203.0.113.9", "x-real-ip": "203.0.113.9", "forwarded": "for=203.0.113.9"}
    await client.get(f"{BASE}/status", headers={**GOOD, **said})
    assert edge.access.checks[-1].attributes.source.address.socket_address.address == "127.0.0.1"


async def test_where_commands_cannot_be_handed_on_they_are_refused_and_all_else_goes_on(
    edge: EdgeHarness, client: httpx.AsyncClient
) -> None:
    order = json.dumps({"targetDoors": ["all"]})
    checks = edge.checks["command"]
    await checks.set("commands", health_pb2.HealthCheckResponse.NOT_SERVING)
    try:
        async with asyncio.timeout(60):
            while (await client.post(f"{BASE}/unlock", headers=GOOD, content=order)).status_code != 503:  # noqa: ASYNC110  # Envoy decides
                await asyncio.sleep(0.1)
        refused = await client.post(f"{BASE}/unlock", headers=GOOD, content=order)
        assert assert_problem(refused, 503, "DEPENDENCY_UNAVAILABLE")["retryable"] is True
        assert (await client.get(f"{BASE}/history", headers=GOOD)).status_code == 200
        assert (await client.get(f"{BASE}/status", headers=GOOD)).status_code == 200
        cancelled = await client.post(
            f"{BASE}/cancel", headers=GOOD, content=json.dumps({"correlationId": "c-1"})
        )
        assert cancelled.status_code != 503
    finally:
        await checks.set("commands", health_pb2.HealthCheckResponse.SERVING)
    async with asyncio.timeout(60):
        while (await client.post(f"{BASE}/unlock", headers=GOOD, content=order)).status_code == 503:  # noqa: ASYNC110  # Envoy decides
            await asyncio.sleep(0.1)

"""Every failure of the edge is one problem document."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from tests.system.edge_harness import BASE, EdgeHarness

if TYPE_CHECKING:
    import httpx

from tests.system.edge_rest.conftest import GOOD, UNLOCK, assert_problem

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize(
    "failure", ["document-409", "document-late-409", "document-detailed-409", "document-late-detailed-409"]
)
async def test_a_room_s_document_is_the_answer(client: httpx.AsyncClient, failure: str) -> None:
    answer = await client.post(f"{BASE}/lock", headers=GOOD | {"x-fail": failure}, json=UNLOCK)
    assert answer.status_code == 409
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {"type": "t", "title": "T", "status": 409, "code": "FROM_SERVICE"}
    assert answer.headers["retry-after"] == "9"
    assert answer.headers["ratelimit"] == "r=0"
    assert not {"x-problem", "grpc-status", "grpc-message"} & answer.headers.keys()


@pytest.mark.parametrize("stated", [422, 503, 599])
async def test_the_document_states_the_status(client: httpx.AsyncClient, stated: int) -> None:
    answer = await client.get(f"{BASE}/status", headers=GOOD | {"x-fail": f"document-{stated}"})
    assert answer.status_code == stated


@pytest.mark.parametrize("stated", [200, 302, 999])
async def test_a_document_can_not_turn_an_error_into_something_else(
    client: httpx.AsyncClient, stated: int
) -> None:
    answer = await client.get(f"{BASE}/status", headers=GOOD | {"x-fail": f"document-{stated}"})
    assert answer.status_code == 409  # of the gRPC status


async def test_an_error_without_a_document_gets_one_without_secrets(client: httpx.AsyncClient) -> None:
    write = await client.post(f"{BASE}/lock", headers=GOOD | {"x-fail": "bare"}, json=UNLOCK)
    assert assert_problem(write, 503, "DEPENDENCY_UNAVAILABLE")["mayHaveSucceeded"] is True
    read = await client.get(f"{BASE}/status", headers=GOOD | {"x-fail": "bare"})
    assert assert_problem(read, 503, "DEPENDENCY_UNAVAILABLE")["mayHaveSucceeded"] is False
    crash = await client.get(f"{BASE}/status", headers=GOOD | {"x-fail": "crash"})
    assert_problem(crash, 500, "INTERNAL_ERROR")
    assert "secret" not in write.text + read.text + crash.text


async def test_a_command_without_an_answer_in_time_may_have_succeeded(
    edge: EdgeHarness, client: httpx.AsyncClient
) -> None:
    del edge
    write = client.post(f"{BASE}/unlock", headers=GOOD | {"x-fail": "hang"}, json=UNLOCK)
    read = client.get(f"{BASE}/status", headers=GOOD | {"x-fail": "hang"})
    wrote, looked = await asyncio.gather(write, read)
    assert assert_problem(wrote, 504, "DEADLINE_EXCEEDED")["mayHaveSucceeded"] is True
    assert assert_problem(looked, 504, "DEADLINE_EXCEEDED")["mayHaveSucceeded"] is False


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 503])
async def test_the_access_service_s_refusal_is_the_answer(client: httpx.AsyncClient, status: int) -> None:
    answer = await client.get(f"{BASE}/status", headers={"authorization": f"Bearer {status}"})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "FROM_ACCESS"
    assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'
    assert answer.headers["retry-after"] == "7"
    assert answer.headers["ratelimit"] == '"default";r=0;t=7'
    assert "x-correlation-id" in answer.headers


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "unlock", "POST"),
        ("PUT", "lock", "POST"),
        ("DELETE", "cancel", "POST"),
        ("POST", "status", "GET, HEAD"),
        ("POST", "history", "GET, HEAD"),
        ("POST", "diagnostics", "GET, HEAD"),
        ("POST", "updates/stream", "GET"),
        ("PATCH", "commands/c1", "GET, HEAD"),
        ("POST", "config", "GET, HEAD, PUT"),
    ],
)
async def test_a_wrong_method_is_405_with_allow(
    client: httpx.AsyncClient, method: str, path: str, allow: str
) -> None:
    answer = await client.request(method, f"{BASE}/{path}", headers=GOOD)
    assert_problem(answer, 405, "METHOD_NOT_ALLOWED")
    assert answer.headers["allow"] == allow


@pytest.mark.parametrize(
    "path", ["/", "/nope", f"{BASE}/", f"{BASE}/status/", "/ecarus.remotecontrol.door.v1.DoorStatusService/X"]
)
async def test_an_unknown_path_is_a_404_problem(client: httpx.AsyncClient, path: str) -> None:
    document = assert_problem(await client.get(path, headers=GOOD), 404, "PATH_NOT_FOUND")
    assert document["instance"] == path


async def test_native_grpc_is_refused_on_the_rest_port(edge: EdgeHarness, client: httpx.AsyncClient) -> None:
    calls = len(edge.received.calls)
    answer = await client.post(
        f"{BASE}/unlock", headers=GOOD | {"content-type": "application/grpc"}, content=b"{}"
    )
    assert_problem(answer, 415, "UNSUPPORTED_MEDIA_TYPE")  # to whoever asks for a path of REST
    rpc = "/ecarus.remotecontrol.door.v1.DoorCommandService/UnlockDoors"
    native = await client.post(rpc, headers=GOOD | {"content-type": "application/grpc"}, content=b"{}")
    assert native.headers["grpc-status"] != "0"  # to a gRPC client Envoy speaks gRPC
    assert len(edge.received.calls) == calls


async def test_a_body_over_64_kib_is_413(edge: EdgeHarness, client: httpx.AsyncClient) -> None:
    calls = len(edge.received.calls)
    for size in (65_536, 1_000_000):
        body = json.dumps({"targetDoors": ["x" * size]})
        answer = await client.post(f"{BASE}/unlock", headers=GOOD, content=body)
        assert assert_problem(answer, 413, "PAYLOAD_TOO_LARGE")["mayHaveSucceeded"] is False
    assert len(edge.received.calls) == calls


async def test_what_envoy_itself_refuses_is_a_problem_too(client: httpx.AsyncClient) -> None:
    too_large = await client.get(f"{BASE}/status", headers=GOOD | {"x-large": "y" * 70_000})
    assert_problem(too_large, 431, "INVALID_REQUEST")
    assert_problem(await client.get("/api/v1%2fx"), 400, "INVALID_REQUEST")
    assert_problem(await client.get(f"{BASE}/status", headers={"x_y": "1"}), 400, "INVALID_REQUEST")
    assert_problem(await client.get(f"{BASE}/history?nope=1", headers=GOOD), 400, "INVALID_REQUEST")


async def test_garbage_instead_of_http_is_a_problem(edge: EdgeHarness) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.ports.http)
    writer.write(b"GARBAGE\r\n\r\n")
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    assert head.startswith(b"HTTP/1.1 400 ")
    assert json.loads(body)["correlationId"].encode() in head

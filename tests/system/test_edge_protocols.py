"""What HTTP and JSON allow and a client may send: each gets the answer that it understands, through a real Envoy."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc
import pytest
from ecarus.remotecontrol.door.v1 import door_status_service_pb2, door_status_service_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.system.edge_harness import BASE, HEALTH_NAMES, VIN, EdgeHarness

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.asyncio(loop_scope="module")

ORDER = b'{"targetDoors":["all"]}'
JSON = "Content-Type: application/json"
OF_COMMAND = "ecarus.remotecontrol.door.v1.DoorCommandService"


@dataclass
class Answer:
    version: str
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """The code of a problem document, which must be a whole one."""
        document = json.loads(self.body)
        assert self.headers["content-type"] == "application/problem+json"
        assert document["status"] == self.status
        assert document["correlationId"] == self.headers["x-correlation-id"]
        return str(document["code"])


async def send(
    edge: EdgeHarness,
    method: str = "GET",
    path: str = f"{BASE}/status",
    *headers: str,
    body: bytes = b"",
    version: str = "1.1",
    bearer: str = "good",
) -> Answer:
    """The answer to a request as it is written here, octet by octet."""
    lines = [
        f"{method} {path} HTTP/{version}",
        "Host: localhost",
        f"Authorization: Bearer {bearer}",
        *headers,
    ]
    lines += [f"Content-Length: {len(body)}"] if body else []
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.ports.http)
    try:
        async with asyncio.timeout(60):
            writer.write("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            word, status, *_ = head[0].split(" ")
            found = dict(line.lower().split(": ", 1) for line in head[1:] if line)
            length = 0 if method == "HEAD" else int(found.get("content-length", "0"))
            return Answer(word, int(status), found, await reader.readexactly(length))
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (["x-a-bin: !"], b""),
        (["grpc-encoding: nonsense"], b""),
        (["grpc-status: 3", "grpc-message: x", "grpc-timeout: 1n", "grpc-tags-bin: !!"], b""),
        (["te: gzip"], b""),
        (["x!: 1", "#$%&'*+^`|~: 2", "x-a%b: 3"], b""),
        (["x-name: \xfc\xe4"], b""),
        (["Connection: Upgrade", "Upgrade: websocket2"], b""),
        (["Connection: Upgrade", "Upgrade: web"], b""),
        (["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"], b""),
        (["Connection: Upgrade", "Upgrade: some-protocol/2"], b""),
    ],
)
async def test_what_means_nothing_here_changes_nothing(
    edge: EdgeHarness, headers: Sequence[str], body: bytes
) -> None:
    read = await send(edge, "GET", f"{BASE}/status", *headers, body=body)
    assert (read.status, json.loads(read.body)["vin"]) == (200, VIN)
    write = await send(edge, "POST", f"{BASE}/unlock", JSON, *headers, body=ORDER)
    assert write.status == 202
    assert not [name for name in edge.received.last[1] if name.endswith("-bin")]


@pytest.mark.parametrize("name", ["websocket", "WebSocket"])
async def test_a_websocket_is_opened_on_its_path_alone(edge: EdgeHarness, name: str) -> None:
    calls = len(edge.received.calls)
    upgrade = ["Connection: Upgrade", f"Upgrade: {name}", "Sec-WebSocket-Version: 13"]
    for method, path in (("GET", "status"), ("POST", "unlock")):
        answer = await send(edge, method, f"{BASE}/{path}", *upgrade)
        assert (answer.status, answer.code) == (403, "INVALID_REQUEST")
    assert len(edge.received.calls) == calls


@pytest.mark.parametrize("kind", ["application/grpc", "application/grpc+proto", "application/grpc-web+proto"])
@pytest.mark.parametrize(("method", "path"), [("POST", "unlock"), ("GET", "status"), ("PUT", "config")])
async def test_a_request_for_rest_that_calls_itself_grpc_is_told_so_in_rest(
    edge: EdgeHarness, kind: str, method: str, path: str
) -> None:
    calls = len(edge.received.calls)
    answer = await send(edge, method, f"{BASE}/{path}", f"Content-Type: {kind}", body=ORDER)
    assert (answer.status, answer.code) == (415, "UNSUPPORTED_MEDIA_TYPE")
    assert "grpc-status" not in answer.headers
    assert len(edge.received.calls) == calls


@pytest.mark.parametrize("number", ["30", "30.0", "3e1"])
async def test_an_integer_is_the_same_however_it_is_written(edge: EdgeHarness, number: str) -> None:
    body = f'{{"autoLockDelay": {number}}}'.encode()
    assert (await send(edge, "PUT", f"{BASE}/config", JSON, body=body)).status == 200
    assert edge.received.last[0].config.auto_lock_delay == 30


@pytest.mark.parametrize("kind", ["application/json;", "application/json; charset=utf8"])
async def test_the_transcoder_reads_what_access_takes(edge: EdgeHarness, kind: str) -> None:
    answer = await send(edge, "POST", f"{BASE}/unlock", f"Content-Type: {kind}", body=ORDER)
    assert answer.status == 202
    assert list(edge.received.last[0].unlock.target_doors) == ["all"]


async def test_http_1_0_is_answered_and_the_connection_closed(edge: EdgeHarness) -> None:
    answer = await send(edge, version="1.0")
    assert (answer.version, answer.status) == ("HTTP/1.0", 200)
    assert answer.headers["connection"] == "close"
    assert json.loads(answer.body)["vin"] == VIN


@pytest.mark.parametrize("other", ["evil", "localhost"])
async def test_two_hosts_are_none(edge: EdgeHarness, other: str) -> None:
    calls = len(edge.received.calls)
    answer = await send(edge, "GET", f"{BASE}/status", f"Host: {other}")
    assert (answer.status, answer.code) == (400, "INVALID_REQUEST")
    assert "more than one Host" in json.loads(answer.body)["detail"]
    assert len(edge.received.calls) == calls


@pytest.mark.parametrize("path", ["status", "config", "diagnostics", "history", "commands/c1"])
async def test_head_is_get_without_the_body(edge: EdgeHarness, path: str) -> None:
    got, head = await send(edge, "GET", f"{BASE}/{path}"), await send(edge, "HEAD", f"{BASE}/{path}")
    assert (head.status, head.body) == (200, b"")
    for name in ("content-length", "content-type", "cache-control"):
        assert head.headers[name] == got.headers[name]


async def test_head_of_what_fails_or_is_open(edge: EdgeHarness) -> None:
    assert (await send(edge, "HEAD", "/healthz")).status == 200
    assert (await send(edge, "HEAD", "/readyz")).status == 200
    assert (await send(edge, "HEAD", "/nope")).status == 404
    assert (await send(edge, "HEAD", bearer="401")).status == 401
    refused = await send(edge, "HEAD", f"{BASE}/status", "x-fail: document-409")
    assert (refused.status, refused.headers["content-type"]) == (409, "application/problem+json")
    stream = await send(edge, "HEAD", f"{BASE}/updates/stream")  # it has no end, and so no length
    assert (stream.status, stream.headers["allow"]) == (405, "get")
    assert (await send(edge, "HEAD", f"{BASE}/unlock")).status == 405


async def test_head_over_http_2(edge: EdgeHarness) -> None:
    words = ("-sS", "-I", "--http2", "--cacert", str(edge.pki.ca), "-H", "authorization: Bearer good")
    curl = await asyncio.create_subprocess_exec(
        "curl", *words, f"https://localhost:{edge.ports.https}{BASE}/status", stdout=asyncio.subprocess.PIPE
    )
    output, _ = await curl.communicate()
    assert curl.returncode == 0
    assert output.startswith(b"HTTP/2 200")


@pytest.mark.parametrize("status", [429, 500, 503, 504])
async def test_an_event_source_is_told_in_a_stream_to_come_back(edge: EdgeHarness, status: int) -> None:
    path, accept = f"{BASE}/updates/stream", "Accept: text/event-stream"
    for answer in (
        await send(edge, "GET", path, accept, f"x-fail: document-{status}"),
        await send(edge, "GET", path, accept, bearer=str(status)),
    ):
        assert (answer.status, answer.headers["content-type"]) == (200, "text/event-stream")
        delay, _, reason = answer.body.decode().partition("\n")
        assert delay in {"retry: 9000", "retry: 7000"}
        assert reason.startswith(": the stream ends: FROM_")
        assert reason.endswith("\n")
        assert "\n\n" not in answer.body.decode(), "a blank line is an event to some readers"
    plain = await send(edge, "GET", path, f"x-fail: document-{status}")
    assert plain.status == status, "who did not ask for events gets the document"


@pytest.mark.parametrize("status", [400, 401, 403, 404])
async def test_an_event_source_that_may_not_read_is_told_so(edge: EdgeHarness, status: int) -> None:
    answer = await send(
        edge, "GET", f"{BASE}/updates/stream", "Accept: text/event-stream", bearer=str(status)
    )
    assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json")


async def readiness(edge: EdgeHarness, path: str, status: int) -> Answer:
    """The answer once it has this status: Envoy looks at its clusters in its own time."""
    async with asyncio.timeout(60):
        while (answer := await send(edge, "GET", path)).status != status:  # noqa: ASYNC110  # Envoy's own pace
            await asyncio.sleep(0.05)
    return answer


@pytest.mark.parametrize(
    ("service", "name", "part"),
    [
        ("command", OF_COMMAND, "command"),
        ("command", "commands", "commands"),
        ("status", "ecarus.remotecontrol.door.v1.DoorStatusService", "status"),
        ("status", "streams", "streams"),
        ("config", "ecarus.remotecontrol.door.v1.DoorConfigService", "config"),
        ("diagnostics", "ecarus.remotecontrol.door.v1.DoorDiagnosticsService", "diagnostics"),
        ("access", "ecarus.remotecontrol.access.v1.AccessService", "access"),
    ],
)
async def test_readiness_and_health_tell_of_each_part(
    edge: EdgeHarness, service: str, name: str, part: str
) -> None:
    ready = await readiness(edge, "/readyz", 200)
    assert json.loads(ready.body) == {"status": "ready"}
    assert "x-envoy-upstream-healthchecked-cluster" not in ready.headers
    async with edge.team_channel() as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        await until_health(stub, name, serves=True)
        await edge.checks[service].set(name, health_pb2.HealthCheckResponse.NOT_SERVING)
        try:
            assert (await readiness(edge, "/readyz", 503)).code == "DEPENDENCY_UNAVAILABLE"
            await readiness(edge, f"/readyz/{part}", 503)
            await until_health(stub, name, serves=False)
            for other in set(HEALTH_NAMES) - {name}:
                await until_health(stub, other, serves=True)
            assert (await send(edge, "GET", "/healthz")).status == 200
        finally:
            await edge.checks[service].set(name, health_pb2.HealthCheckResponse.SERVING)
    await readiness(edge, f"/readyz/{part}", 200)


async def serving(stub: health_pb2_grpc.HealthStub, name: str) -> bool:
    """What `name` answers: NOT_SERVING itself, or UNAVAILABLE where Envoy knows it already."""
    try:
        answer = await stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=30)
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.UNAVAILABLE:
            return False
        raise
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


async def until_health(stub: health_pb2_grpc.HealthStub, name: str, *, serves: bool) -> None:
    """Wait until that is the answer: Envoy gathers what it finds for a second before it acts on it."""
    async with asyncio.timeout(60):
        while await serving(stub, name) is not serves:  # noqa: ASYNC110  # Envoy's own pace
            await asyncio.sleep(0.05)


async def test_health_is_watched_and_an_unknown_name_is_not_found(edge: EdgeHarness) -> None:
    async with edge.team_channel() as channel, asyncio.timeout(30):
        stub = health_pb2_grpc.HealthStub(channel)
        watch = stub.Watch(health_pb2.HealthCheckRequest(service="streams"))
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        watch.cancel()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Check(health_pb2.HealthCheckRequest(service="no.Such"))
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_a_native_stream_of_a_quiet_car_outlives_keepalive_pings(edge_that_pings: EdgeHarness) -> None:
    """Both sides ping far more often than in production; the stream must still tell what happens afterwards."""
    options = (
        ("grpc.keepalive_time_ms", 400),
        ("grpc.keepalive_timeout_ms", 2_000),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.keepalive_permit_without_calls", 1),
    )
    edge = edge_that_pings
    async with edge.team_channel(options=options) as channel, asyncio.timeout(20):
        request = door_status_service_pb2.WatchDoorUpdatesRequest(vin=VIN)
        stub = door_status_service_pb2_grpc.DoorStatusServiceStub(channel)
        call = stub.WatchDoorUpdates(request, metadata=(("x-quiet-seconds", "4"),))
        assert [update.vin async for update in call] == [VIN]

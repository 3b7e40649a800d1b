"""What somebody else does to the edge, from another address, while a person locks a car from theirs."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import ssl
import stat
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import httpx
import pytest
import pytest_asyncio
from ecarus.remotecontrol.door.v1 import door_command_service_pb2, door_command_service_pb2_grpc

from mesh.edge_config import EdgeLimits
from services.platform.origins import allowlist_of
from tests.system.edge_harness import BASE, VIN, EdgeHarness

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = [pytest.mark.system, pytest.mark.alone, pytest.mark.asyncio(loop_scope="module")]

LIMITS = EdgeLimits(connections=1_000, requests_per_second=50)
OF_A_PUBLIC_LISTENER, OF_ONE_ADDRESS = 400, 200
GOOD = {"authorization": "Bearer good"}
PAGE = "https://app.example.com"
ATTACKER = "127.0.0.2"
NORMAL_SECONDS = 2.0  # generous: these machines are shared


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def edge(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EdgeHarness]:
    envoy = Path(sys.executable).with_name("envoy")
    shorter = {
        "idle_timeout: 60s}": "idle_timeout: 3s}",
        "transport_socket_connect_timeout: 5s": "transport_socket_connect_timeout: 2s",
        "request_headers_timeout: 5s": "request_headers_timeout: 2s",
        "request_timeout: 15s": "request_timeout: 3s",
    }
    folder = tmp_path_factory.mktemp("limits")
    async with EdgeHarness(folder, envoy, LIMITS, shorter, allowlist_of(PAGE)) as harness:
        yield harness


def trusting(edge: EdgeHarness) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=edge.pki.ca)


async def lock(
    edge: EdgeHarness, *, tls: bool = False, address: str = "127.0.0.1", **more: Any
) -> httpx.Response:
    transport = httpx.AsyncHTTPTransport(verify=trusting(edge), local_address=address)
    base = f"https://127.0.0.1:{edge.ports.https}" if tls else edge.http
    async with httpx.AsyncClient(base_url=base, transport=transport, trust_env=False, timeout=10) as client:
        return await client.post(f"{BASE}/lock", headers=GOOD, json={"targetDoors": ["all"]}, **more)


async def locks_as_ever(edge: EdgeHarness) -> None:
    for tls in (False, True):
        began = time.monotonic()
        assert (await lock(edge, tls=tls)).status_code == 200
        assert time.monotonic() - began < NORMAL_SECONDS


async def team_locks(edge: EdgeHarness) -> None:
    async with edge.team_channel() as channel:
        stub = door_command_service_pb2_grpc.DoorCommandServiceStub(channel)
        request = door_command_service_pb2.LockDoorsRequest(vin=VIN)
        answer = await stub.LockDoors(
            request, metadata=(("authorization", "Bearer good"),), timeout=NORMAL_SECONDS
        )
        assert answer.vin == VIN


class Crowd:
    """Connections from one address that do as little as they may. Use as an async context manager."""

    def __init__(
        self, port: int, address: str = ATTACKER, words: bytes = b"", tls: ssl.SSLContext | None = None
    ) -> None:
        self._port = port
        self._address = address
        self._words = words
        self._tls = tls
        self._streams: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def __aenter__(self) -> Crowd:
        return self

    async def __aexit__(self, *_: object) -> None:
        for _, writer in self._streams:
            writer.transport.abort()
        await asyncio.sleep(0)

    async def come(self, count: int) -> None:
        """Open so many, some at a time; what the edge refuses at once is no matter."""
        for start in range(0, count, 50):
            await asyncio.gather(*(self._open() for _ in range(min(50, count - start))))

    async def _open(self) -> None:
        with contextlib.suppress(OSError):
            stream = await asyncio.open_connection(
                "127.0.0.1", self._port, local_addr=(self._address, 0), ssl=self._tls
            )
            stream[1].write(self._words)
            self._streams.append(stream)

    async def staying(self) -> int:
        """How many the edge has not closed."""
        ended = await asyncio.gather(*(self._has_ended(reader) for reader, _ in self._streams))
        return ended.count(False)

    async def until_gone(self, seconds: float) -> None:
        async with asyncio.timeout(seconds):
            while await self.staying():  # noqa: ASYNC110  # another process's doing
                await asyncio.sleep(0.1)

    @staticmethod
    async def _has_ended(reader: asyncio.StreamReader) -> bool:
        try:
            async with asyncio.timeout(0.05):
                while await reader.read(4_096):
                    pass
        except TimeoutError:
            return False
        except OSError:
            return True
        return True


SLOW_HEADERS = f"POST {BASE}/lock HTTP/1.1\r\nHost: a\r\nX-Slow: ".encode()
SLOW_BODY = (
    f"POST {BASE}/lock HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer good\r\n"
    "Content-Type: application/json\r\nContent-Length: 60000\r\n\r\n{"
).encode()
HTTP, HTTPS, HTTPS_AFTER_HANDSHAKE, MTLS = "http", "https", "https after the handshake", "mtls"


def crowd(edge: EdgeHarness, at: str, words: bytes = b"", address: str = ATTACKER) -> Crowd:
    ports = {HTTP: edge.ports.http, MTLS: edge.ports.mtls}
    tls = trusting(edge) if at == HTTPS_AFTER_HANDSHAKE else None
    return Crowd(ports.get(at, edge.ports.https), address, words, tls)


@pytest.mark.parametrize(
    ("at", "words"),
    [
        (HTTP, b""),
        (HTTP, SLOW_HEADERS),
        (HTTP, SLOW_BODY),
        (HTTPS, b""),
        (HTTPS, b"\x16\x03\x01"),
        (HTTPS_AFTER_HANDSHAKE, b""),
        (HTTPS_AFTER_HANDSHAKE, SLOW_HEADERS),
        (MTLS, b""),
    ],
)
async def test_a_thousand_slow_connections_of_one_address_cost_nobody_else_anything(
    edge: EdgeHarness, at: str, words: bytes
) -> None:
    async with crowd(edge, at, words) as attackers:
        await attackers.come(1_000)
        assert await attackers.staying() <= OF_ONE_ADDRESS
        await locks_as_ever(edge)
        await team_locks(edge)
        await attackers.until_gone(20)  # by the edge's own doing


async def test_what_stays_is_bounded_by_the_address_and_not_by_the_timeouts_alone(edge: EdgeHarness) -> None:
    async with crowd(edge, HTTP) as attackers:
        await attackers.come(OF_ONE_ADDRESS + 100)
        assert 0 < await attackers.staying() <= OF_ONE_ADDRESS


async def test_the_teams_get_in_while_many_addresses_fill_the_public_listeners(edge: EdgeHarness) -> None:
    async with contextlib.AsyncExitStack() as stack:
        crowds = [
            await stack.enter_async_context(crowd(edge, at, address=f"127.0.0.{digit}"))
            for at in (HTTP, HTTPS)
            for digit in range(2, 10)
        ]
        for each in crowds:
            await each.come(OF_ONE_ADDRESS // 2)
        staying = sum([await each.staying() for each in crowds])
        assert staying <= 2 * OF_A_PUBLIC_LISTENER
        await team_locks(edge)
    await eventually_locks(edge)


async def eventually_locks(edge: EdgeHarness) -> None:
    async with asyncio.timeout(10):
        while True:
            with contextlib.suppress(httpx.TransportError):
                if (await lock(edge)).status_code == 200:
                    return
            await asyncio.sleep(0.1)


async def test_too_many_requests_of_one_address_reach_nobody(edge: EdgeHarness) -> None:
    transport = httpx.AsyncHTTPTransport(local_address=ATTACKER)
    async with httpx.AsyncClient(base_url=edge.http, transport=transport, trust_env=False) as client:
        before = len(edge.access.checks)
        url = f"{BASE}/status"
        answers = [await client.get(url, headers={"authorization": "Bearer 401"}) for _ in range(400)]
        refused = [answer for answer in answers if answer.status_code == 429]
        assert len(refused) > 100
        assert len(edge.access.checks) - before == len(answers) - len(refused)
        document = json.loads(refused[0].text)
        assert (document["code"], document["retryable"], document["mayHaveSucceeded"]) == (
            "RATE_LIMITED",
            True,
            False,
        )
        assert refused[0].headers["retry-after"] == "1"
        assert refused[0].headers["x-correlation-id"] == document["correlationId"]
        assert refused[0].headers["content-type"] == "application/problem+json"
        await locks_as_ever(edge)  # another address has a bucket of its own


async def test_a_team_that_asks_too_often_is_told_so_in_grpc(edge: EdgeHarness) -> None:
    async with edge.team_channel() as channel:
        stub = door_command_service_pb2_grpc.DoorCommandServiceStub(channel)
        request = door_command_service_pb2.LockDoorsRequest(vin=VIN)
        codes = set()
        for _ in range(300):
            try:
                await stub.LockDoors(request, metadata=(("authorization", "Bearer good"),))
            except grpc.aio.AioRpcError as error:
                codes.add((error.code(), error.details()))
    told = "Too many requests; nothing was accepted. Try again in a second."
    assert codes == {(grpc.StatusCode.RESOURCE_EXHAUSTED, told)}


async def test_only_tls_is_asked_for_where_it_is_spoken(edge: EdgeHarness) -> None:
    await asyncio.sleep(1)  # the bucket that other tests of this address emptied
    over_tls, plain = await lock(edge, tls=True), await lock(edge)
    assert over_tls.headers["strict-transport-security"] == "max-age=63072000"
    assert "strict-transport-security" not in plain.headers


async def test_the_client_s_own_address_is_what_is_seen_inside(edge: EdgeHarness) -> None:
    await asyncio.sleep(1)
    for tls in (False, True):
        await lock(edge, tls=tls, address="127.0.0.7")
        assert edge.received.last[1]["x-forwarded-for"] == "127.0.0.7"


async def test_the_admin_interface_is_a_file_of_its_owner(edge: EdgeHarness) -> None:
    mode = os.stat(edge.admin).st_mode  # noqa: PTH116  # one look
    assert stat.S_ISSOCK(mode)
    assert mode & 0o777 == 0o600


async def test_what_an_address_asks_beforehand_counts_as_anything_else_it_asks(edge: EdgeHarness) -> None:
    head = f"{BASE}/status HTTP/1.1\r\nHost: e\r\nConnection: close\r\nOrigin: {PAGE}\r\n"
    asking = f"OPTIONS {head}Access-Control-Request-Method: GET\r\n\r\n"
    opened = [
        await asyncio.open_connection("127.0.0.1", edge.ports.http, local_addr=("127.0.0.9", 0))
        for _ in range(LIMITS.requests_per_second * 3)
    ]
    # All at once, so that a busy machine asks as fast as a quiet one.
    for number, (_, writer) in enumerate(opened):
        writer.write((asking if number % 3 else f"GET {head}Authorization: Bearer good\r\n\r\n").encode())
    async with asyncio.timeout(60):
        answers = [(await reader.read(-1)).decode().lower() for reader, _ in opened]
    for _, writer in opened:
        writer.close()
    asked = [answer for number, answer in enumerate(answers) if number % 3]
    read = [answer for number, answer in enumerate(answers) if not number % 3]
    assert {answer[:12] for answer in asked} == {"http/1.1 200", "http/1.1 429"}
    assert not any(
        "access-control-allow-methods" in each for each in asked if each.startswith("http/1.1 429")
    )
    # What else it asks counts beside it, and its script reads that it was too much, and when to come back.
    refused = [answer for answer in read if answer.startswith("http/1.1 429")]
    assert refused
    for answer in refused:
        assert f"access-control-allow-origin: {PAGE}\r\n" in answer
        assert "retry-after: 1\r\n" in answer
    await locks_as_ever(edge)

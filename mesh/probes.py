"""How it is known that a component is ready to be used. Each probe answers once; the caller repeats it."""

from __future__ import annotations

import errno
import json
import os
import socket as sockets
import ssl
from typing import TYPE_CHECKING

import grpc
import grpc.aio
import httpx
from grpc_health.v1 import health_pb2, health_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from mesh.pki import Pair


TIMEOUT_SECONDS = 1.0
ALIVE_SECONDS = 5.0
"""How long a service that runs may take to answer: one that is only busy must not be restarted for it."""
ALIVE = "alive"
"""The name under which a service's health service says whether a restart would help (services/platform/health.py)."""
_LOOPBACK = "127.0.0.1"
# Trusts nobody, for what is asked without TLS: reading whom the machine trusts takes 20 ms of each client.
_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


async def http_request(method: str, socket: Path, path: str) -> httpx.Response:
    """Return one request to a component's own interface, behind a socket file. Raises httpx.TransportError."""
    transport = httpx.AsyncHTTPTransport(uds=str(socket), verify=_NO_TLS)
    async with httpx.AsyncClient(transport=transport, trust_env=False, timeout=TIMEOUT_SECONDS) as client:
        return await client.request(method, f"http://localhost{path}")


def admin_ready(socket: Path) -> Callable[[], Awaitable[bool]]:
    """Ready when Envoy's admin interface, behind a socket file, says so."""

    async def probe() -> bool:
        try:
            return (await http_request("GET", socket, "/ready")).is_success
        except httpx.TransportError:
            return False

    return probe


def http_ok(port: int, path: str) -> Callable[[], Awaitable[bool]]:
    """Ready when GET answers 2xx."""

    async def probe() -> bool:
        if _nobody_listens(port):
            return False
        async with httpx.AsyncClient(trust_env=False, timeout=TIMEOUT_SECONDS, verify=_NO_TLS) as client:
            try:
                return (await client.get(f"http://{_LOOPBACK}:{port}{path}")).is_success
            except httpx.TransportError:
                return False

    return probe


def https_ok(port: int, path: str, ca: Path, pair: Pair) -> Callable[[], Awaitable[bool]]:
    """Ready when GET, over mutual TLS, answers 2xx."""
    return _https(port, path, ca, pair, TIMEOUT_SECONDS, lambda answer: answer.is_success)


def https_answers(port: int, path: str, ca: Path, pair: Pair) -> Callable[[], Awaitable[bool]]:
    """Alive when GET, over mutual TLS, answers anything: what it needs may be away without its fault."""
    return _https(port, path, ca, pair, ALIVE_SECONDS, lambda _answer: True)


def _https(
    port: int, path: str, ca: Path, pair: Pair, seconds: float, is_good: Callable[[httpx.Response], bool]
) -> Callable[[], Awaitable[bool]]:
    async def probe() -> bool:
        if _nobody_listens(port):
            return False
        tls = ssl.create_default_context(cafile=str(ca))
        tls.load_cert_chain(pair.cert, pair.key)
        async with httpx.AsyncClient(trust_env=False, timeout=seconds, verify=tls) as client:
            try:
                return is_good(await client.get(f"https://{_LOOPBACK}:{port}{path}"))
            except httpx.TransportError:
                return False

    return probe


def _nobody_listens(port: int) -> bool:
    """Return whether the kernel refuses at once: while components start, that is found out without making a client."""
    with sockets.socket() as probe:
        probe.setblocking(False)
        begun = probe.connect_ex((_LOOPBACK, port))
        return errno.ECONNREFUSED in {begun, probe.getsockopt(sockets.SOL_SOCKET, sockets.SO_ERROR)}


def grpc_serving(port: int, ca: Path, pair: Pair) -> Callable[[], Awaitable[bool]]:
    """Ready when the standard health service, asked over mutual TLS, answers SERVING."""
    credentials = grpc.ssl_channel_credentials(ca.read_bytes(), pair.key.read_bytes(), pair.cert.read_bytes())
    # A failed attempt must not be followed by gRPC's usual pause of a second.
    options = (("grpc.initial_reconnect_backoff_ms", 20), ("grpc.max_reconnect_backoff_ms", 50))

    async def probe() -> bool:
        if _nobody_listens(port):
            return False
        async with grpc.aio.secure_channel(f"{_LOOPBACK}:{port}", credentials, options=options) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            try:
                answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=TIMEOUT_SECONDS)
            except grpc.aio.AioRpcError:
                return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    return probe


class GrpcAlive:
    """Whether the standard health service, asked over mutual TLS, does not say that only a restart helps.

    It is asked every few seconds for as long as the mesh runs, so its connection is kept.
    """

    def __init__(self, port: int, ca: Path, pair: Pair) -> None:
        self._port = port
        self._ca = ca
        self._pair = pair
        self._channel: grpc.aio.Channel | None = None

    async def __call__(self) -> bool:
        """Ask once."""
        if self._channel is None:
            credentials = grpc.ssl_channel_credentials(
                self._ca.read_bytes(), self._pair.key.read_bytes(), self._pair.cert.read_bytes()
            )
            self._channel = grpc.aio.secure_channel(f"{_LOOPBACK}:{self._port}", credentials)
        stub = health_pb2_grpc.HealthStub(self._channel)
        try:
            request = health_pb2.HealthCheckRequest(service=ALIVE)
            answer = await stub.Check(request, timeout=ALIVE_SECONDS, wait_for_ready=True)
        except grpc.aio.AioRpcError:
            channel, self._channel = self._channel, None
            await channel.close()
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def ready_line(log: Path) -> Callable[[], Awaitable[bool]]:
    """Ready when the log, from its present end on, has a JSON line with `"event": "ready"`."""
    start = log.stat().st_size if log.exists() else 0

    async def probe() -> bool:
        return _says_ready(log, start)

    return probe


def _says_ready(log: Path, start: int) -> bool:
    if not log.exists():
        return False
    with log.open("rb") as file:
        if os.fstat(file.fileno()).st_size >= start:  # else it has been cut since
            file.seek(start)
        return any(_is_ready_event(line) for line in file)


def _is_ready_event(line: bytes) -> bool:
    try:
        record = json.loads(line)
    except ValueError:
        return False
    return isinstance(record, dict) and record.get("event") == "ready"

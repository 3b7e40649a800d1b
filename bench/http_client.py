"""A load client that costs little: HTTP/1.1 keep-alive on bare transports, requests built beforehand.

It reads of an answer what a measurement needs, its status and its body, and trusts the rest to the edge's
own tests.
"""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Iterator

LOOPBACK = "127.0.0.1"
OK = 200
ACCEPTED = 202
API = "/api/v1/remotecontrol/vehicles"
_HEAD_END = b"\r\n\r\n"
_LINE_END = b"\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_BODIES = {
    "unlock": b'{"targetDoors":["all"],"unlockMode":"NORMAL"}',
    "lock": b'{"targetDoors":["all"],"lockMode":"NORMAL"}',
}


class BenchFailedError(Exception):
    """What was measured broke, so that a figure would mean nothing; the text says how."""


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """Status and decoded body of one answer."""

    status: int
    body: bytes


@dataclass(slots=True)
class LoopOutcome:
    """What a closed loop saw. `latencies_ms` is sorted and holds the answers with the expected status."""

    seconds: float
    statuses: dict[int, int]
    latencies_ms: list[float]
    cpu_seconds: float


def command_request(vin: str, action: str, token: str) -> bytes:
    """POST .../door/unlock or .../door/lock for all doors; the edge makes the correlation id."""
    body = _BODIES[action]
    head = (
        f"POST {API}/{vin}/door/{action} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def get_request(vin: str, path: str, token: str) -> bytes:
    """GET .../door/<path>."""
    return f"GET {API}/{vin}/door/{path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n\r\n".encode()


class Chunks:
    """Decodes a chunked body as it comes in (RFC 9112, section 7.1), without extensions and trailers."""

    def __init__(self) -> None:
        self._held = bytearray()
        self.ended = False

    def feed(self, data: bytes) -> bytes:
        """Return the content of every chunk that is complete by now."""
        held = self._held
        held += data
        content = bytearray()
        while not self.ended:
            line_end = held.find(_LINE_END)
            if line_end < 0:
                break
            start = line_end + len(_LINE_END)
            end = start + int(held[:line_end], 16)
            if len(held) < end + len(_LINE_END):
                break
            content += held[start:end]
            self.ended = start == end
            del held[: end + len(_LINE_END)]
        return bytes(content)


class HttpConnection(asyncio.Protocol):
    """One keep-alive connection with one request in flight at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.WriteTransport | None = None
        self._received = bytearray()
        self._answered: asyncio.Future[HttpResponse] | None = None

    @classmethod
    async def open(cls, port: int) -> HttpConnection:
        """Connect to a loopback port. Raises OSError."""
        _, connection = await asyncio.get_running_loop().create_connection(cls, LOOPBACK, port)
        return connection

    async def ask(self, request: bytes) -> HttpResponse:
        """Send and wait for the whole answer. Raises BenchFailedError when the connection ends first."""
        if self._transport is None or self._transport.is_closing():
            raise BenchFailedError("a connection to the edge was closed")
        self._answered = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answered

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # a TCP transport can write

    @override
    def data_received(self, data: bytes) -> None:
        self._received += data
        answer = parse_answer(self._received)
        if answer is not None:
            self._received.clear()
            if self._answered is not None and not self._answered.done():
                self._answered.set_result(answer)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(BenchFailedError(f"cut off before the answer: {exc or 'closed'}"))


def parse_answer(received: bytearray) -> HttpResponse | None:
    """Return the answer when it is complete. Raises BenchFailedError when its length is not told."""
    head_end = received.find(_HEAD_END)
    if head_end < 0:
        return None
    head = bytes(received[:head_end])
    start = head_end + len(_HEAD_END)
    status = int(head[9:12])
    length = _LENGTH.search(head)
    if length is not None:
        end = start + int(length[1])
        return HttpResponse(status, bytes(received[start:end])) if len(received) >= end else None
    if not _CHUNKED.search(head):
        raise BenchFailedError(f"an answer {status} without a length")
    chunks = Chunks()
    body = chunks.feed(bytes(received[start:]))
    return HttpResponse(status, body) if chunks.ended else None


async def drive(
    port: int, requests: Iterator[bytes], *, clients: int, seconds: float, expect: int
) -> LoopOutcome:
    """`clients` connections, each sending the next request as soon as its last one is answered.

    Ends after `seconds`, or when there is no request left. Raises BenchFailedError when a connection
    is cut or nothing was answered with `expect`.
    """
    connections = [await HttpConnection.open(port) for _ in range(clients)]
    statuses: dict[int, int] = {}
    latencies: list[float] = []
    cpu = time.process_time()
    began = time.perf_counter()
    until = began + seconds

    async def client(connection: HttpConnection) -> None:
        for request in requests:
            asked = time.perf_counter()
            answer = await connection.ask(request)
            answered = time.perf_counter()
            statuses[answer.status] = statuses.get(answer.status, 0) + 1
            if answer.status == expect:
                latencies.append((answered - asked) * 1_000)
            if answered >= until:
                break

    try:
        await asyncio.gather(*(client(connection) for connection in connections))
        elapsed = time.perf_counter() - began
    finally:
        for connection in connections:
            connection.close()
    if not latencies:
        raise BenchFailedError(f"no answer was {expect}: {statuses}")
    return LoopOutcome(elapsed, statuses, sorted(latencies), time.process_time() - cpu)

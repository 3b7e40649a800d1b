"""The case files of the Autobahn testsuite against the gateway's connections (`kosoku` runs them; docs/decisions/0163).

What is served is the gateway's own server with its admission, options and bounds of frames; only what it does with a
message is the suite's: it is sent back, where the gateway would answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

import pytest
from kosoku import FailureError, run_fuzzingclient
from typing_extensions import override
from websockets.exceptions import ConnectionClosed

from gateway.server import WebSocketServer
from gateway.settings import GatewaySettings
from services.platform.capability import CapabilityVerifier
from services.platform.session import SESSION_KEY

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from websockets.asyncio.server import ServerConnection

    from tests.contract.gateway.conftest import GatewayHarness

SECTIONS = {
    "framing": ("1.*", 16),
    "pings and pongs": ("2.*", 11),
    "reserved bits": ("3.*", 7),
    "opcodes": ("4.*", 10),
    "fragmentation": ("5.*", 20),
    "UTF-8": ("6.*", 145),
    "closing": ("7.*", 37),
    "limits": ("9.*", 30),
    "fragmentation by itself": ("10.*", 1),
}
TOO_LARGE = ["9.1.4", "9.1.5", "9.1.6", "9.2.4", "9.2.5", "9.2.6", "9.3.*", "9.4.*"]
"""Messages of 4 MiB and more, half of them in more parts than a message may have."""
MOST_BYTES = 1_048_576
"""The longest message of the others; the gateway's own limit is tried in test_rfc6455."""
OTHERWISE: dict[str, int | None] = {"7.1.5": 1002}
"""What is done otherwise than the suite would have it, and the code that closes it (docs/decisions/0163)."""
TRIES = 4


class EchoServer(WebSocketServer):
    """Sends every message back."""

    @override
    async def _handle(self, connection: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for message in connection:
                await connection.send(message)


class Edge:
    """Passes connections on over TLS with a session, as Envoy does."""

    def __init__(self, gateway: GatewayHarness, port: int) -> None:
        self._gateway, self._port = gateway, port

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request, _, rest = (await reader.readuntil(b"\r\n\r\n")).partition(b"\r\n")
        inner, out = await asyncio.open_connection("127.0.0.1", self._port, ssl=self._gateway.tls())
        session = f"{SESSION_KEY}: {self._gateway.session()}\r\n".encode()
        out.write(request + b"\r\n" + session + rest)
        there = asyncio.create_task(copied(reader, out))
        await copied(inner, writer)
        there.cancel()
        await asyncio.gather(there, return_exceptions=True)
        for each in (writer, out):
            each.transport.abort()


async def copied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        while data := await reader.read(262_144):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError, RuntimeError):
        writer.close()


@pytest.fixture
async def address(gateway: GatewayHarness) -> AsyncIterator[str]:
    """Where the suite finds it."""
    settings = GatewaySettings(
        **gateway.server_settings("gateway", 0), access_target="localhost:1", status_target="localhost:1"
    ).model_copy(update={"websocket_message_bytes": MOST_BYTES, "websocket_frames_per_minute": 10**9})
    verifier = CapabilityVerifier(gateway.signer.jwks)
    server = EchoServer(settings, gateway.feed, None, verifier, gateway.health, time.time)
    await server.start()
    async with await asyncio.start_server(Edge(gateway, server.port).serve, "127.0.0.1", 0) as edge:
        yield f"ws://127.0.0.1:{edge.sockets[0].getsockname()[1]}/api/v1/remotecontrol/events/ws"
    await server.stop()


async def failed(address: str, cases: list[str], count: int) -> dict[str, int | None]:
    """Of `count` cases, those that were not passed, with the code that their connection was closed with."""
    try:
        results = await run_fuzzingclient(address, cases, TOO_LARGE)
    except FailureError as failure:
        return {each.case_id: each.remote_close_code for each in failure.results}
    assert len(results) == count
    return {}


@pytest.mark.parametrize("section", SECTIONS)
async def test_a_section_of_the_suite_is_passed(address: str, section: str) -> None:
    cases, count = SECTIONS[section]
    found = await failed(address, [cases], count)
    for _ in range(TRIES):  # the suite waits a second, and a busy machine may take longer
        if not (late := sorted(found.keys() - OTHERWISE)):
            break
        found = {
            **await failed(address, late, len(late)),
            **{n: c for n, c in found.items() if n in OTHERWISE},
        }
    expected = {
        number: code for number, code in OTHERWISE.items() if number.split(".")[0] == cases.split(".")[0]
    }
    assert found == expected

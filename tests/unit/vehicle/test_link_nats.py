"""A broker that is there and does not get on with it: many cars come back together, and it has no time for this one."""

from __future__ import annotations

import asyncio
import ssl

import pytest

from vehicle.link import LinkDown
from vehicle.link_nats import NatsAccount, NatsLink

VIN = "KMHSH81C7LU123456"
_INFO = b'INFO {"server_id":"x","version":"2.15.1","max_payload":1024,"tls_required":true}\r\n'


@pytest.mark.timeout(30)
async def test_a_handshake_that_is_never_finished_is_given_up() -> None:
    met = asyncio.Event()

    async def greet_and_fall_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(_INFO)
        met.set()
        while await reader.read(1_024):
            pass
        writer.close()

    server = await asyncio.start_server(greet_and_fall_silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    link = NatsLink(VIN, NatsAccount(f"tls://127.0.0.1:{port}", tls=ssl.create_default_context()))
    with pytest.raises(LinkDown):
        await link.open()
    assert met.is_set()
    await link.close()
    server.close()
    await server.wait_closed()

"""The link to a broker that is there and does not get anywhere."""

from __future__ import annotations

import asyncio
import ssl

import pytest

from vehicle.link import nats_link as link_nats
from vehicle.link.nats_link import NatsAccount, NatsLink
from vehicle.link.port import LinkDownError

INFO = b'INFO {"server_id":"s","version":"2.15.0","max_payload":1024,"headers":true,"tls_required":true}\r\n'


async def test_a_handshake_that_never_ends_is_given_up_and_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        link_nats, "CONNECT_SECONDS", 0.5
    )  # the broker greets within it, on a busy machine as well
    monkeypatch.setattr(link_nats, "CLOSE_SECONDS", 0.05)
    callers: list[asyncio.StreamWriter] = []

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        callers.append(writer)
        writer.write(INFO)
        await reader.read()  # until the caller hangs up; its handshake is answered with nothing
        writer.close()

    broker = await asyncio.start_server(greet, "127.0.0.1", 0)
    port = broker.sockets[0].getsockname()[1]
    tls = ssl.create_default_context()
    link = NatsLink("KMHSH81C7LU123456", NatsAccount(f"tls://127.0.0.1:{port}", tls=tls))
    async with broker, asyncio.timeout(60):
        for _ in range(2):
            with pytest.raises(LinkDownError):
                await link.open()
    assert len(callers) == 2


async def test_an_address_that_is_not_found_in_time_is_a_link_that_is_down(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(link_nats, "CONNECT_SECONDS", 0.01)
    link = NatsLink("KMHSH81C7LU123456", NatsAccount("tls://127.0.0.1:1", tls=ssl.create_default_context()))

    async def never() -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(link._endpoints, "current_address", never)
    with pytest.raises(LinkDownError):
        await link.open()
    await link.close()

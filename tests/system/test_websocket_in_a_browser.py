"""A ticket in a real browser: a page of the service's own origin opens the WebSocket, and a page of another does not.

Skipped where there is no Chromium.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.app import SAMPLE, App, Car, eventually
from tests.support.chromium import browser_binary, chromium_page

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.support.chromium import ChromiumPage
    from tests.support.running_mesh import Mesh

BINARY = browser_binary()
pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(BINARY is None, reason="there is no Chromium"),
    pytest.mark.timeout(300),
]
PATH = "/api/v1/remotecontrol/events/ws"
TICKETS = "/api/v1/remotecontrol/events/tickets"

OPENED = """new Promise((resolve) => {
  const socket = new WebSocket(`ws://%(host)s%(path)s?ticket=${encodeURIComponent(%(ticket)s)}`);
  self.told = [];
  self.socket = socket;
  socket.onopen = () => socket.send(JSON.stringify({action: "subscribe", vehicles: [{vin: %(vin)s}]}));
  socket.onmessage = (event) => { self.told.push(JSON.parse(event.data)); resolve("told"); };
  socket.onclose = (event) => resolve(`closed ${event.code}`);
})"""


async def ticket_of(page: ChromiumPage, token: str) -> str:
    """As a page of the service's origin asks for one."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    asked = json.dumps({"method": "POST", "headers": headers, "body": "{}"})
    answer: dict[str, Any] = await page.run(f"fetch('{TICKETS}', {asked}).then((answer) => answer.json())")
    return str(answer["ticket"])


async def opened(page: ChromiumPage, host: str, ticket: str) -> str:
    """What became of a WebSocket of this page: "told" once something came over it, or how it was closed."""
    names = {"host": host, "path": PATH, "ticket": json.dumps(ticket), "vin": json.dumps(SAMPLE)}
    return str(await page.run(OPENED % names))


async def refusal_of(page: ChromiumPage, host: str, ticket: str) -> str:
    """What the browser says of a WebSocket of this page that is refused; the page itself hears nothing of it."""
    await page.command("Network.enable")
    page.forget_events()
    assert await opened(page, host, ticket) == "closed 1006"
    assert await page.run("self.told.length") == 0
    return str(await page.event("Network.webSocketFrameError", "errorMessage"))


@contextlib.asynccontextmanager
async def other_origin() -> AsyncIterator[str]:
    """Where a page of an origin is that is not listed: the sandbox lists `localhost` and 127.0.0.1, on any port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        text = b"<!doctype html><title>elsewhere</title>"
        head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {len(text)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + text)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.2", 0) as server:
        yield f"http://127.0.0.2:{server.sockets[0].getsockname()[1]}/"


async def test_a_page_of_the_service_is_told_with_a_ticket_and_a_page_of_another_origin_is_not(
    mesh: Mesh, tmp_path: Path
) -> None:
    assert BINARY is not None
    Car(mesh).meet()
    app, token, host = App(mesh), mesh.token("user-123"), f"127.0.0.1:{mesh.ports.http}"
    async with chromium_page(BINARY, tmp_path / "profile") as page, other_origin() as elsewhere:
        await page.open(f"http://{host}/readyz")
        ticket = await ticket_of(page, token)
        assert await opened(page, host, ticket) == "told"
        assert await page.run("self.told[0].type") == "SUBSCRIBED"
        accepted = await asyncio.to_thread(
            eventually, lambda: (a := app.order("lock")).status_code == 202 and a
        )
        command = json.dumps(accepted.json()["commandId"])
        await page.until(
            f"self.told.some((m) => m.data?.commandId === {command} && m.data.status === 'SUCCESS')"
        )
        assert "Authentication failed" in await refusal_of(page, host, ticket)  # 401: it was good once
        unused = await ticket_of(page, token)
        await page.open(elsewhere)
        assert (await refusal_of(page, host, unused)).endswith("response code: 403")
        await page.open(f"http://{host}/readyz")
        assert await opened(page, host, await ticket_of(page, token)) == "told"

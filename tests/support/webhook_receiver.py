"""A partner's receiver of webhooks over TLS on the loopback: it verifies with somebody else's library, and does as
the test says.
"""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import standardwebhooks
import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request

    from mesh.pki import Pair

ENOUGH_SECONDS = 30


@dataclass
class PartnerReceiver:
    """What it received, verified. `answers` are given to the next messages, challenges excepted; a number of seconds
    among them is waited for first.
    """

    port: int
    secret: str = ""
    received: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    answers: list[Response | float] = field(default_factory=list)
    asked: int = 0
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    def url(self, scheme: str = "https") -> str:
        return f"{scheme}://localhost:{self.port}/hook?who=partner"

    async def receive(self, request: Request) -> Response:
        body = await request.body()
        async with self.changed:
            self.asked += 1
            self.changed.notify_all()
        message = json.loads(body)
        if message["type"] == "webhook.challenge":
            return JSONResponse({"challenge": message["data"]["challenge"]})
        while self.answers:
            answer = self.answers.pop(0)
            if isinstance(answer, Response):
                return answer
            await asyncio.sleep(answer)
            return Response(status_code=500)
        if self.secret:  # raises where it is not signed as Standard Webhooks says
            message = standardwebhooks.Webhook(self.secret).verify(body, dict(request.headers))
        async with self.changed:
            self.raw.append(body)
            self.headers.append(dict(request.headers))
            self.received.append(message)
            self.changed.notify_all()
        return Response(status_code=204)

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [each for each in self.received if each["type"] == kind]

    async def until(self, kind: str, count: int = 1) -> list[dict[str, Any]]:
        """Wait until it has received so many of this type."""
        async with asyncio.timeout(ENOUGH_SECONDS), self.changed:
            await self.changed.wait_for(lambda: len(self.of(kind)) >= count)
        return self.of(kind)

    async def until_asked(self, times: int) -> None:
        async with asyncio.timeout(ENOUGH_SECONDS), self.changed:
            await self.changed.wait_for(lambda: self.asked >= times)


@asynccontextmanager
async def partner_receiver(pair: Pair) -> AsyncIterator[PartnerReceiver]:
    """Serve one under this certificate."""
    listener = socket.create_server(("127.0.0.1", 0))
    receiver = PartnerReceiver(listener.getsockname()[1])
    app = Starlette(routes=[Route("/hook", receiver.receive, methods=["POST"])])
    config = uvicorn.Config(
        app,
        ssl_certfile=str(pair.cert),
        ssl_keyfile=str(pair.key),
        log_level="error",
        lifespan="off",
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]  # the test's own are left alone
    serving = asyncio.create_task(server._serve([listener]))
    async with asyncio.timeout(ENOUGH_SECONDS):
        while not server.started:  # noqa: ASYNC110  # it tells of it in no other way
            await asyncio.sleep(0.01)
    try:
        yield receiver
    finally:
        server.should_exit = True
        await serving

"""Receivers of webhooks (Standard Webhooks), as a partner would run them: each takes what it is sent, and shows it.

A receiver is there once something is sent to it. It answers challenges; told its secret, it says of each message
whether its signature is good.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import json
import re
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeGuard

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from phones.directory import PhoneError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

MAX_RECEIVERS = 20
MAX_MESSAGES = 200
MAX_MESSAGE_BYTES = 65_536
MAX_FAILURES = 1_000
LONGEST_WAIT_SECONDS = 60.0
TOLERANCE_SECONDS = 300
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,31}")
_PREFIX = "whsec_"
_FAILURES = range(300, 600)


@dataclass(slots=True)
class WebhookReceiver:
    """One receiver. `failures` are what it answers next: a status, and after how many seconds to try again."""

    secret: bytes = b""
    received: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=MAX_MESSAGES))
    failures: deque[tuple[int, int | None]] = field(default_factory=deque)
    count: int = 0
    refused: int = 0


class WebhookReceivers:
    """The handlers."""

    def __init__(self) -> None:
        self._receivers: dict[str, WebhookReceiver] = {}
        self._changed = asyncio.Condition()

    @property
    def routes(self) -> list[Route]:
        """Where they are."""
        return [
            Route("/webhooks/{name}", self.receive, methods=["POST"]),
            Route("/webhooks/{name}", self.show, methods=["GET"]),
            Route("/webhooks/{name}", self.forget, methods=["DELETE"]),
            Route("/webhooks/{name}/secret", self.learn, methods=["PUT"]),
            Route("/webhooks/{name}/failures", self.fail, methods=["POST"]),
            Route("/webhooks/{name}/failures", self.recover, methods=["DELETE"]),
        ]

    async def receive(self, request: Request) -> Response:
        """Take a message, or fail as it was told to."""
        receiver = self._named(request, make=True)
        body = await _body(request, MAX_MESSAGE_BYTES)
        async with self._changed:
            if receiver.failures:
                receiver.refused += 1
                self._changed.notify_all()
                status, after = receiver.failures.popleft()
                headers = {} if after is None else {"retry-after": str(after)}
                return Response(status_code=status, headers=headers)
            try:
                message = json.loads(body)
            except (ValueError, RecursionError):
                return Response(status_code=400)
            if not isinstance(message, dict):
                return Response(status_code=400)
            receiver.count += 1
            receiver.received.append(
                {
                    "number": receiver.count,
                    "webhookId": request.headers.get("webhook-id", ""),
                    "verified": _is_good(receiver.secret, request.headers, body) if receiver.secret else None,
                    "message": message,
                }
            )
            self._changed.notify_all()
        data = message.get("data")
        if message.get("type") == "webhook.challenge" and isinstance(data, dict):
            return JSONResponse({"challenge": data.get("challenge")})
        return Response(status_code=204)

    async def show(self, request: Request) -> JSONResponse:
        """Return what it received, the oldest first. `?count=N&wait=S` waits up to S seconds for N messages in all;
        with `type` only those are counted and shown.
        """
        receiver = self._named(request, make=True)
        kind = request.query_params.get("type", "")
        try:
            count = int(request.query_params.get("count", "0"))
            wait = float(request.query_params.get("wait", "0"))
        except ValueError as error:
            raise PhoneError(422, "count is a number of messages, and wait of seconds") from error
        if not 0 <= wait <= LONGEST_WAIT_SECONDS:
            raise PhoneError(422, f"waits {LONGEST_WAIT_SECONDS:g} seconds at most")

        def shown() -> list[dict[str, Any]]:
            return [each for each in receiver.received if not kind or each["message"].get("type") == kind]

        if wait:
            await self._until(lambda: len(shown()) >= count, wait)
        return JSONResponse({"count": receiver.count, "refused": receiver.refused, "messages": shown()})

    async def forget(self, request: Request) -> Response:
        """Know nothing of it any more."""
        self._receivers.pop(request.path_params["name"], None)
        return Response(status_code=204)

    async def learn(self, request: Request) -> Response:
        """Verify what comes from now on with this secret."""
        receiver = self._named(request, make=True)
        members = _members(await _body(request, 1_024), {"secret"})
        secret = members.get("secret")
        if not isinstance(secret, str) or not secret.startswith(_PREFIX):
            raise PhoneError(422, "needs a secret: whsec_ and base64")
        try:
            receiver.secret = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
        except (binascii.Error, ValueError) as error:
            raise PhoneError(422, "needs a secret: whsec_ and base64") from error
        return Response(status_code=204)

    async def fail(self, request: Request) -> Response:
        """Have it answer its next messages with an error."""
        receiver = self._named(request, make=True)
        members = _members(await _body(request, 1_024), {"status", "times", "retryAfterSeconds"})
        status, times, after = (
            members.get("status"),
            members.get("times", 1),
            members.get("retryAfterSeconds"),
        )
        if not _is_whole(status) or status not in _FAILURES or not _is_whole(times):
            raise PhoneError(422, "needs a status of 300 to 599; times is how often")
        if not 1 <= times <= MAX_FAILURES - len(receiver.failures) or not (after is None or _is_whole(after)):
            raise PhoneError(422, f"up to {MAX_FAILURES} failures may be waiting")
        receiver.failures.extend([(status, after)] * times)
        return Response(status_code=204)

    async def recover(self, request: Request) -> Response:
        """Have it fail no more."""
        self._named(request, make=True).failures.clear()
        return Response(status_code=204)

    async def _until(self, is_so: Any, seconds: float) -> None:
        async with self._changed:
            try:
                async with asyncio.timeout(seconds):
                    await self._changed.wait_for(is_so)
            except TimeoutError:
                return

    def _named(self, request: Request, *, make: bool) -> WebhookReceiver:
        name = request.path_params["name"]
        if (receiver := self._receivers.get(name)) is not None:
            return receiver
        if not make or not _NAME.fullmatch(name):
            raise PhoneError(422, "a name has 1 to 32 letters, digits and hyphens")
        if len(self._receivers) >= MAX_RECEIVERS:
            raise PhoneError(409, f"there are {MAX_RECEIVERS} receivers already")
        return self._receivers.setdefault(name, WebhookReceiver())


def _is_good(secret: bytes, headers: Mapping[str, str], body: bytes) -> bool:
    """Return whether a message is signed with this secret, and new (Standard Webhooks)."""
    message_id, at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not at.isdecimal() or abs(time.time() - int(at)) > TOLERANCE_SECONDS:
        return False
    digest = hmac.new(secret, f"{message_id}.{at}.".encode() + body, hashlib.sha256).digest()
    expected = f"v1,{base64.b64encode(digest).decode()}"
    return any(
        hmac.compare_digest(each.encode(), expected.encode())
        for each in headers.get("webhook-signature", "").split(" ")
    )


def _is_whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


async def _body(request: Request, most: int) -> bytes:
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > most:
            raise PhoneError(413, f"a body has at most {most} bytes")
    return body


def _members(body: bytes, names: set[str]) -> dict[str, Any]:
    try:
        members = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise PhoneError(400, "the body is no JSON") from error
    if not isinstance(members, dict) or members.keys() - names:
        raise PhoneError(422, f"the body is an object of {', '.join(sorted(names))}")
    return members

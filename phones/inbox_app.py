"""The inbox: a page and JSON that show what each phone received, in plain HTTP on the loopback.

404 for an unknown phone, 409 for one too many, 422 for what makes no sense, 403 for what a website may have caused.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from phones.directory import FailureOrder, PhoneError, PhoneFailure, PhoneKind
from phones.inbox_page import inbox_page
from phones.loopback_guard import LoopbackGuard
from phones.new_phones import registration_of
from phones.webhook_receivers import WebhookReceivers

if TYPE_CHECKING:
    from starlette.requests import Request

    from phones.directory import Phone, PhoneDirectory
    from phones.new_phones import PhoneMaker

MAX_BODY_BYTES = 4_096
LONGEST_WAIT_SECONDS = 60.0
LONGEST_RETRY_SECONDS = 86_400
STATIC = Path(__file__).with_name("static")


def inbox_app(directory: PhoneDirectory, maker: PhoneMaker) -> Starlette:
    """Return the application."""
    inbox = _Inbox(directory, maker)
    return Starlette(
        routes=[
            Route("/", inbox.page),
            Route("/healthz", inbox.health),
            Route("/phones", inbox.list, methods=["GET"]),
            Route("/phones", inbox.add, methods=["POST"]),
            Route("/phones/{name}", inbox.show, methods=["GET"]),
            Route("/phones/{name}", inbox.remove, methods=["DELETE"]),
            Route("/phones/{name}/inbox", inbox.received, methods=["GET"]),
            Route("/phones/{name}/inbox", inbox.empty, methods=["DELETE"]),
            Route("/phones/{name}/failures", inbox.fail, methods=["POST"]),
            Route("/phones/{name}/failures", inbox.recover, methods=["DELETE"]),
            *WebhookReceivers().routes,
            Mount("/static", StaticFiles(directory=STATIC)),
        ],
        middleware=[Middleware(LoopbackGuard)],
        exception_handlers={PhoneError: _refused},
    )


class _Inbox:
    """The handlers."""

    def __init__(self, directory: PhoneDirectory, maker: PhoneMaker) -> None:
        self._directory = directory
        self._maker = maker

    async def health(self, _request: Request) -> JSONResponse:
        """Say that it serves."""
        return JSONResponse({"phones": len(list(self._directory))})

    async def page(self, request: Request) -> Response:
        """Return the page."""
        return inbox_page(self._directory, request.headers["host"])

    async def list(self, _request: Request) -> JSONResponse:
        """Return all phones."""
        return JSONResponse({"phones": [_summary(each) for each in self._directory]})

    async def add(self, request: Request) -> JSONResponse:
        """Make a phone, and return what its app hands in at the product's registration of push devices."""
        members = await _members(request, {"name", "kind", "applicationServerKey"})
        name, kind, server = (members.get(each, "") for each in ("name", "kind", "applicationServerKey"))
        if not isinstance(name, str) or not isinstance(server, str) or kind not in list(PhoneKind):
            raise PhoneError(422, f"needs a name, and a kind: {', '.join(PhoneKind)}")
        phone = self._maker.make(name, PhoneKind(kind), server)
        self._directory.add(phone)
        return JSONResponse(registration_of(phone), 201, {"location": f"/phones/{phone.name}"})

    async def show(self, request: Request) -> JSONResponse:
        """Return what its app hands in."""
        return JSONResponse(registration_of(self._named(request)))

    async def remove(self, request: Request) -> Response:
        """Throw the phone away: its token is dead."""
        self._directory.remove(request.path_params["name"])
        return Response(status_code=204)

    async def received(self, request: Request) -> JSONResponse:
        """Return what it received, the oldest first. `?count=N&wait=S` waits up to S seconds for N messages in all."""
        phone = self._named(request)
        try:
            count = int(request.query_params.get("count", "0"))
            wait = float(request.query_params.get("wait", "0"))
        except ValueError as error:
            raise PhoneError(422, "count is a number of messages, and wait of seconds") from error
        if not 0 <= wait <= LONGEST_WAIT_SECONDS:
            raise PhoneError(422, f"waits {LONGEST_WAIT_SECONDS:g} seconds at most")
        if wait:
            await self._directory.until_received(phone, count, wait)
        return JSONResponse({"phone": phone.name, "count": phone.count, "messages": list(phone.received)})

    async def empty(self, request: Request) -> Response:
        """Take what it received from its screen."""
        self._named(request).received.clear()
        return Response(status_code=204)

    async def fail(self, request: Request) -> Response:
        """Have the phone's push service fail for its next messages."""
        phone = self._named(request)
        members = await _members(request, {"failure", "times", "retryAfterSeconds"})
        times, after = members.get("times", 1), members.get("retryAfterSeconds")
        if members.get("failure") not in list(PhoneFailure) or not _is_whole(times):
            raise PhoneError(422, f"needs a failure: {', '.join(PhoneFailure)}; times is how often")
        if after is not None and not (_is_whole(after) and 0 <= after <= LONGEST_RETRY_SECONDS):
            raise PhoneError(422, "retryAfterSeconds is a day at most")
        self._directory.fail(phone, FailureOrder(PhoneFailure(members["failure"]), after), times)
        return Response(status_code=204)

    async def recover(self, request: Request) -> Response:
        """Have it fail no more."""
        self._named(request).failures.clear()
        return Response(status_code=204)

    def _named(self, request: Request) -> Phone:
        return self._directory.named(request.path_params["name"])


def _summary(phone: Phone) -> dict[str, Any]:
    return {
        "name": phone.name,
        "kind": phone.kind,
        "count": phone.count,
        "failuresWaiting": len(phone.failures),
    }


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


async def _members(request: Request, names: set[str]) -> dict[str, Any]:
    """Return the body's JSON object. Raises PhoneError."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_BODY_BYTES:
            raise PhoneError(413, f"a body has at most {MAX_BODY_BYTES} bytes")
    try:
        members = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise PhoneError(400, "the body is no JSON") from error
    if not isinstance(members, dict) or members.keys() - names:
        raise PhoneError(422, f"the body is an object of {', '.join(sorted(names))}")
    return members


async def _refused(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, PhoneError)  # noqa: S101  # it is registered for these
    return JSONResponse({"error": str(error)}, error.status)

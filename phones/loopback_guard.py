"""Keeps websites out: the inbox asks for no password, and a browser on this machine runs whatever page it has opened.

A browser always tells: by the Host it believes to talk to (DNS rebinding), by Origin, by Sec-Fetch-Site.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from starlette.datastructures import MutableHeaders
from starlette.responses import JSONResponse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_HERE = re.compile(rb"(127\.0\.0\.1|localhost|\[::1\])(:[0-9]{1,5})?", re.IGNORECASE)
_OWN_SITES = {b"same-origin", b"none"}
_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'none'; "
        "form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class LoopbackGuard:
    """Answers 403 to what a foreign page may have caused, and passes on the rest."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, as ASGI has it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def hardened(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        reason = _foreign(scope["headers"])
        app = JSONResponse({"error": reason}, 403) if reason else self._app
        await app(scope, receive, hardened)


def _foreign(headers: list[tuple[bytes, bytes]]) -> str:
    """Return why it is not from here; empty when it is."""
    hosts = [value for name, value in headers if name == b"host"]
    if len(hosts) != 1 or not _HERE.fullmatch(hosts[0]):
        return "the Host must be this machine by its address or as localhost"
    if any(name == b"origin" and value.lower() != b"http://" + hosts[0].lower() for name, value in headers):
        return "a page of another origin may not use the inbox"
    if any(name == b"sec-fetch-site" and value not in _OWN_SITES for name, value in headers):
        return "a page of another site may not use the inbox"
    return ""

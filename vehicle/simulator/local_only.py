"""For programs on this machine, and for no website that runs in a browser on it.

The control interface asks for no password, because only this machine reaches it. But a browser here does,
too, and runs whatever page somebody has opened: a page whose own name was made to point at this machine
(DNS rebinding), or one that sends forms and requests across origins. A browser always tells: by the Host it
believes to talk to, by Origin, by Sec-Fetch-Site.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from starlette.responses import JSONResponse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

_HERE = re.compile(rb"(127\.0\.0\.1|localhost|\[::1\])(:[0-9]{1,5})?", re.IGNORECASE)
_OWN_SITES = {b"same-origin", b"none"}
"""Sec-Fetch-Site: from a page of this interface's own, or typed by a person."""


class LocalOnly:
    """Answers 403 to what a foreign page may have caused, and passes on the rest."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, as ASGI has it."""
        app = self._app
        if scope["type"] == "http" and (reason := _foreign(scope["headers"])):
            app = JSONResponse({"error": reason}, 403)
        await app(scope, receive, send)


def _foreign(headers: list[tuple[bytes, bytes]]) -> str:
    """Return why it is not from here; empty when it is."""
    hosts = [value for name, value in headers if name == b"host"]
    if len(hosts) != 1 or not _HERE.fullmatch(hosts[0]):
        return "the Host must be this machine by its address or as localhost"
    if any(name == b"origin" and value.lower() != b"http://" + hosts[0].lower() for name, value in headers):
        return "a page of another origin may not use this interface"
    if any(name == b"sec-fetch-site" and value not in _OWN_SITES for name, value in headers):
        return "a page of another site may not use this interface"
    return ""

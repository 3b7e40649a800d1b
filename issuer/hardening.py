"""What every request meets: a rate for each address, and headers that keep answers where they belong."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from issuer.limits import RequestRates

_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
}


_FOR_SCRIPTS = re.compile(r"/\.well-known/.*|/token|/par|/revoke|/mandates/.*")
"""What a page's script calls; everything else people see, and no page of another origin reads it."""
_PREFLIGHT_SECONDS = 600


class PageOrigins:
    """Middleware: lets the scripts of listed origins ask for tokens (CORS), without the browser's cookies."""

    def __init__(self, app: ASGIApp, origins: Sequence[str]) -> None:
        self._app = app
        self._origins = frozenset(origins)
        self._shared = CORSMiddleware(
            app,
            allow_origins=origins,
            allow_methods=("GET", "POST"),
            allow_headers=("Authorization", "DPoP"),
            expose_headers=("Retry-After", "WWW-Authenticate"),
            max_age=_PREFLIGHT_SECONDS,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        is_shared = (
            scope["type"] == "http"
            and Headers(scope=scope).get("origin") in self._origins
            and _FOR_SCRIPTS.fullmatch(scope["path"]) is not None
        )
        await (self._shared if is_shared else self._app)(scope, receive, send)


class RequestBounds:
    """Middleware: refuses an address that asks too often, and adds the headers."""

    def __init__(self, app: ASGIApp, rates: RequestRates) -> None:
        self._app = app
        self._rates = rates

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        address = scope["client"][0] if scope.get("client") else ""

        async def hardened(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("cache-control", "no-store")
            await send(message)

        if not self._rates.allows(address):
            answer = JSONResponse({"error": "slow_down"}, 429, {"retry-after": "1"})
            await answer(scope, receive, hardened)
            return
        await self._app(scope, receive, hardened)

"""The listener for pages: what was read at the start, to the edge and nobody else, over connections that stay open."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import socket
import ssl
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from typing_extensions import override
from uvicorn.protocols.http.h11_impl import H11Protocol

from gateway.negotiation import weights
from gateway.page_files import APPS, NOT_FOUND, PORTAL, Page, headers_of_every_page, read_pages
from gateway.portal_layout import DOCS, PROBLEMS
from gateway.portal_pages import PortalPages, json_twin, read_portal
from services.platform.policy import EDGE
from services.platform.workload import Workloads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from gateway.settings import GatewaySettings

_CONNECTIONS = 256
_KEEP_ALIVE_SECONDS = 75
"""Longer than Envoy keeps a connection that is not used, so that it never sends a request to one that closes."""
_STOP_SECONDS = 2
_READING = frozenset({"GET", "HEAD"})


class EdgeConnection(H11Protocol):
    """A connection of the edge: anybody else's is cut off before a byte of it is read."""

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if not _is_edge(transport.get_extra_info("ssl_object")):
            transport.abort()


def _is_edge(tls: ssl.SSLObject | None) -> bool:
    shown = tls.getpeercert(binary_form=True) if tls is not None else None
    if not shown:
        return False
    workload = Workloads().read(x509.load_der_x509_certificate(shown).public_bytes(Encoding.PEM))
    return workload is not None and workload.uri == EDGE


class _Server(uvicorn.Server):
    """One beside others in its process, to whom the signals belong."""

    @contextlib.contextmanager
    @override
    def capture_signals(self) -> Iterator[None]:
        yield


class PageApplication:
    """Answers requests with pages (ASGI)."""

    def __init__(self, pages: Mapping[str, Page], portal: PortalPages, issuer: str) -> None:
        self._pages = {**pages, **portal.pages}
        self._portal = portal
        self._headers = headers_of_every_page(issuer)
        self._portal_headers = headers_of_every_page(issuer, makes_markup=True)

    async def __call__(
        self, scope: dict[str, Any], _receive: Callable[[], Any], send: Callable[[dict[str, Any]], Any]
    ) -> None:
        """Answer one request: 200, 304 for who has it already, 308 to where an app is, 404, 405."""
        path, is_head = scope["path"], scope["method"] == "HEAD"
        if scope["method"] not in _READING:
            await self._answer(
                send, HTTPStatus.METHOD_NOT_ALLOWED, [*self._headers, (b"allow", b"GET, HEAD")]
            )
            return
        location = self._portal.moved.get(path)
        if (app := path.removeprefix("/").removesuffix("/index.html")) in APPS:
            location = f"/{app}/"
        if location is not None:
            await self._answer(
                send, HTTPStatus.PERMANENT_REDIRECT, [*self._headers, (b"location", location.encode())]
            )
            return
        told = _told(scope["headers"], b"accept")
        page = self._pages.get(json_twin(path, told)) or self._portal.instead(path)
        if page is None:
            await self._page(send, HTTPStatus.NOT_FOUND, NOT_FOUND, self._headers, is_head=is_head)
            return
        ours = self._portal_headers if path == PORTAL or path.startswith(DOCS) else self._headers
        if path.startswith(PROBLEMS):
            ours = [*ours, (b"vary", b"accept")]
        if page.is_packed:
            page, ours = _unpacked(page, ours, _told(scope["headers"], b"accept-encoding"))
        if _has(scope["headers"], page):
            await self._answer(send, HTTPStatus.NOT_MODIFIED, [*ours, (b"etag", page.etag.encode())])
            return
        await self._page(send, HTTPStatus.OK, page, ours, is_head=is_head)

    async def _page(
        self, send: Any, status: HTTPStatus, page: Page, ours: list[tuple[bytes, bytes]], *, is_head: bool
    ) -> None:
        headers = [
            *ours,
            (b"content-type", page.content_type.encode()),
            (b"content-length", str(len(page.body)).encode()),
        ]
        if status == HTTPStatus.OK:
            headers.append((b"etag", page.etag.encode()))
        await self._answer(send, status, headers, b"" if is_head else page.body)

    async def _answer(
        self, send: Any, status: HTTPStatus, headers: list[tuple[bytes, bytes]], body: bytes = b""
    ) -> None:
        start = {"status": status.value, "headers": headers}
        await send({"type": "http.response.start", **start})
        await send({"type": "http.response.body", "body": body})


def _told(headers: list[tuple[bytes, bytes]], named: bytes) -> str:
    return b",".join(value for name, value in headers if name == named).decode("latin-1")


def _unpacked(
    page: Page, ours: list[tuple[bytes, bytes]], accepted: str
) -> tuple[Page, list[tuple[bytes, bytes]]]:
    """Return a page that is kept compressed as the client takes it, and its headers (RFC 9110, 12.5.3)."""
    headers = [*ours, (b"vary", b"accept-encoding")]
    if weights(accepted).get("gzip", 0.0) > 0:
        packed = replace(page, etag=page.etag[:-1] + '-gzip"')
        return packed, [*headers, (b"content-encoding", b"gzip")]
    return replace(page, body=gzip.decompress(page.body)), headers


def _has(headers: list[tuple[bytes, bytes]], page: Page) -> bool:
    """Return whether the client has it already (RFC 9110, 13.1.2)."""
    told = _told(headers, b"if-none-match")
    tags = {each.strip().removeprefix("W/") for each in told.split(",")}
    return page.etag in tags or "*" in tags


class PageServer:
    """Serves the pages where DOORS_PAGES_LISTEN says. Raises PageFilesError where they are not such as it serves."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._settings = settings
        self._application = PageApplication(
            read_pages(settings), read_portal(settings), settings.pages_issuer
        )
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None
        self._listener: socket.socket | None = None

    @property
    def port(self) -> int:
        """The port it listens on, also when the settings said 0."""
        if self._listener is None:
            raise RuntimeError("it has not been started")
        return int(self._listener.getsockname()[1])

    def start(self) -> None:
        """Listen: who connects from now on is answered. Raises OSError where somebody else listens there."""
        settings = self._settings
        host, _, port = settings.pages_listen.rpartition(":")
        self._listener = socket.create_server((host, int(port)))
        config = uvicorn.Config(
            cast("Any", self._application),
            http=EdgeConnection,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=_CONNECTIONS,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=_STOP_SECONDS,
            ssl_certfile=str(settings.tls_cert),
            ssl_keyfile=str(settings.tls_key),
            ssl_ca_certs=str(settings.tls_ca),
            ssl_cert_reqs=ssl.CERT_REQUIRED,
        )
        self._server = _Server(config)
        self._serving = asyncio.create_task(self._server.serve(sockets=[self._listener]))

    async def run(self) -> None:
        """Return when it serves no more; raise what ended it."""
        if self._serving is not None:
            await asyncio.shield(self._serving)

    async def stop(self) -> None:
        """Answer what is being answered, and listen no more."""
        if self._server is not None and self._serving is not None:
            self._server.should_exit = True
            await asyncio.wait([self._serving])

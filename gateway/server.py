"""The WebSocket server: who may open a connection, and the bounds of what comes over it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import ssl
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING

import structlog
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode, Frame
from websockets.http11 import Response

from gateway.closings import CLOSE_TOO_OFTEN
from gateway.limits import MessageRate, UserRates, connection_count, subscription_count
from gateway.readers import SocketReader
from services.platform import errors
from services.platform.errors import Refusal
from services.platform.policy import EDGE
from services.platform.revocation import RevocationList
from services.platform.session import SESSION_KEY
from services.platform.workload import Workloads

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from websockets.http11 import Request
    from websockets.protocol import Event

    from gateway.settings import GatewaySettings
    from gateway.watches import WatchAuthorizer, WatchFeed
    from services.platform.capability import CapabilityVerifier
    from services.platform.health import Health
    from services.platform.revocation import CertificateId
    from services.platform.session import Session
    from services.platform.workload import Workload

HEALTH_PATH = "/healthz"
_CLOSE_SECONDS = 2.0
_ABORT_SECONDS = 5.0
"""So long after its close began a connection is cut off: the library's own limit begins only when what waits has been
read.
"""
_OPEN_SECONDS = 10.0
_QUEUE = 16
_LEAST_ERROR = 400
_log = structlog.get_logger()


class _Handshakes(logging.Filter):
    """Leaves out the library's reports of handshakes that failed: the edge has logged the request and its answer."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether it is of something else."""
        return record.getMessage() != "opening handshake failed"


_LOGGER = logging.getLogger("gateway.websockets")
_LOGGER.setLevel(logging.ERROR)
_LOGGER.addFilter(_Handshakes())


class BoundedConnection(ServerConnection):
    """A connection that counts every frame: also parts of messages, pings and pongs, which are answered unseen."""

    frames_per_minute = 600
    session: Session | None = None
    """Whose it is, once it was admitted."""
    release: Callable[[], None] | None = None
    """What takes it out of the count, once it was counted."""
    _rate: MessageRate | None = None
    _cut: asyncio.TimerHandle | None = None

    async def close(self, code: CloseCode | int = CloseCode.NORMAL_CLOSURE, reason: str = "") -> None:
        """Close it; who does not read is cut off."""
        self._cut_soon()
        await super().close(code, reason)

    def _cut_soon(self) -> None:
        if self._cut is None:
            self._cut = self.loop.call_later(_ABORT_SECONDS, self.transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """Take it out of the count, whether it was ever opened or not."""
        if self._cut is not None:
            self._cut.cancel()
        if self.release is not None:
            self.release()
        super().connection_lost(exc)

    def process_event(self, event: Event) -> None:
        """Count a frame, and close where there are too many."""
        if isinstance(event, Frame):
            now = self.loop.time()
            self._rate = self._rate or MessageRate(self.frames_per_minute, now)
            if not self._rate.take(now):
                self.protocol.fail(CLOSE_TOO_OFTEN, "too many frames")
                self.send_data()
                self._cut_soon()
                return
        super().process_event(event)


class WebSocketServer:
    """Serves the WebSocket. `now` is in seconds since 1970. Raises what RevocationList raises."""

    def __init__(
        self,
        settings: GatewaySettings,
        feed: WatchFeed,
        authorizer: WatchAuthorizer,
        verifier: CapabilityVerifier,
        health: Health,
        now: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._feed = feed
        self._authorizer = authorizer
        self._verifier = verifier
        self._health = health
        self._now = now
        self._workloads = Workloads()
        self._connections = connection_count(settings)
        self._subscriptions = subscription_count(settings)
        self._vehicles = UserRates(settings.websocket_vehicles_per_minute, settings.websocket_connections)
        self._readers: dict[SocketReader, Workload] = {}
        self._server: Server | None = None
        self._revocations = (
            RevocationList(settings.revoked_workloads, settings.tls_ca, self._revoke)
            if settings.revoked_workloads is not None
            else None
        )

    @property
    def port(self) -> int:
        """The port it listens on, also when the settings said 0."""
        if self._server is None:
            raise RuntimeError("it has not been started")
        return int(self._server.sockets[0].getsockname()[1])

    async def start(self) -> None:
        """Listen."""
        settings = self._settings
        host, _, port = settings.listen.rpartition(":")
        bounded = type(
            "_Connection", (BoundedConnection,), {"frames_per_minute": settings.websocket_frames_per_minute}
        )
        self._server = await serve(
            self._handle,
            host,
            int(port),
            ssl=_tls(settings),
            create_connection=bounded,
            process_request=self._admit,
            process_response=_tell_fault,
            server_header=None,
            compression=None,
            max_size=settings.websocket_message_bytes,
            max_queue=_QUEUE,
            open_timeout=_OPEN_SECONDS,
            close_timeout=_CLOSE_SECONDS,
            ping_interval=settings.websocket_ping_seconds,
            ping_timeout=settings.websocket_pong_seconds,
            reuse_port=False,
            logger=_LOGGER,
        )
        if self._revocations is not None:
            self._revocations.follow(settings.revocation_check_seconds)

    async def stop(self) -> None:
        """Close every connection, so that its client comes back to another process."""
        if self._revocations is not None:
            self._revocations.stop()
        if self._server is not None:
            self._server.close(code=CloseCode.GOING_AWAY, reason="resume with your last id")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._settings.drain_seconds + _CLOSE_SECONDS):
                    await self._server.wait_closed()

    def _revoke(self, certificates: frozenset[CertificateId]) -> None:
        self._workloads.revoke(certificates)
        for reader, workload in list(self._readers.items()):
            if self._workloads.is_revoked(workload):
                reader.close(CloseCode.GOING_AWAY, "")
            elif self._workloads.is_name_revoked(reader.certificate):
                reader.session_ended(errors.TOKEN_INVALID.code, "the certificate behind it is revoked")

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        """Return None for who may open a connection, else the answer."""
        try:
            self._check_caller(connection)
            if request.path == HEALTH_PATH:
                return self._health_answer()
            session = self._session_of(request)
            self._check_origin(request)
            self._count(connection, session)
        except Refusal as refusal:
            return _refused(refusal, request)
        return None

    def _count(self, connection: ServerConnection, session: Session) -> None:
        """Count a connection until it is lost. Raises Refusal where it is one too many."""
        if not isinstance(connection, BoundedConnection):
            raise TypeError("a connection of this server is a BoundedConnection")
        if not self._connections.add(session.actor, session.network):
            raise Refusal(
                errors.RATE_LIMITED,
                "You have as many connections as there may be; close some.",
                retry_after_seconds=30,
            )
        connection.session = session
        connection.release = partial(self._connections.remove, session.actor, session.network)

    def _check_caller(self, connection: ServerConnection) -> Workload:
        """Return the workload that calls. Raises Refusal unless it is the edge."""
        tls = connection.transport.get_extra_info("ssl_object")
        shown = tls.getpeercert(binary_form=True) if tls is not None else None
        workload = None
        if shown:
            workload = self._workloads.read(x509.load_der_x509_certificate(shown).public_bytes(Encoding.PEM))
        if workload is None or workload.uri != EDGE or self._workloads.is_revoked(workload):
            raise Refusal(errors.CALLER_NOT_ALLOWED, "This workload may not open a WebSocket here.")
        return workload

    def _session_of(self, request: Request) -> Session:
        tokens = request.headers.get_all(SESSION_KEY)
        if len(tokens) != 1:
            raise Refusal(errors.AUTHENTICATION_REQUIRED, "The WebSocket is opened through the edge only.")
        session = self._verifier.session(tokens[0])
        if self._workloads.is_name_revoked(session.certificate):
            raise Refusal(errors.TOKEN_INVALID, "The certificate that this was asked for with is revoked.")
        return session

    def _check_origin(self, request: Request) -> None:
        """Raise Refusal for a page of another origin than those that may. Who sends none is no browser."""
        origins = request.headers.get_all("origin")
        if origins and not (len(origins) == 1 and self._settings.allows_origin(origins[0].lower())):
            raise Refusal(
                errors.CALLER_NOT_ALLOWED,
                "Pages of this origin may not open a WebSocket here; the operator lists those that may.",
            )

    def _health_answer(self) -> Response:
        if self._health.serves("") and self._server is not None and self._server.is_serving():
            return _answer(HTTPStatus.OK, '{"status":"ok"}\n', "application/json")
        return _answer(HTTPStatus.SERVICE_UNAVAILABLE, '{"status":"unavailable"}\n', "application/json")

    async def _handle(self, connection: ServerConnection) -> None:
        if not isinstance(connection, BoundedConnection) or connection.session is None:
            raise TypeError("it was not admitted")
        reader = SocketReader(
            connection,
            connection.session,
            self._feed,
            self._authorizer,
            self._subscriptions,
            self._vehicles,
            self._settings,
            self._now,
        )
        try:
            self._readers[reader] = self._check_caller(connection)
            async for message in connection:
                if not isinstance(message, str):
                    reader.close(CloseCode.UNSUPPORTED_DATA, "text messages only")
                    break
                await reader.receive(message)
        except ConnectionClosed:
            pass  # whoever closed it, and why, is in the log of the edge
        except Refusal:
            await connection.close(CloseCode.GOING_AWAY)  # the edge's certificate was revoked this moment
        finally:
            self._readers.pop(reader, None)
            await reader.gone()


def _refused(refusal: Refusal, request: Request) -> Response:
    correlation_id = request.headers.get("x-correlation-id") or "none"
    document = errors.problem(refusal, instance=request.path.partition("?")[0], correlation_id=correlation_id)
    status = HTTPStatus(refusal.reason.http_status)
    return _answer(status, document, "application/problem+json", errors.rest_headers(refusal))


def _tell_fault(_connection: ServerConnection, request: Request, response: Response) -> Response | None:
    """Return the answer to a handshake that is none, in the form of all errors; None for one that is."""
    if response.status_code < _LEAST_ERROR or response.headers.get("content-type", "").startswith(
        "application/"
    ):
        return None
    refusal = Refusal(
        errors.INVALID_REQUEST, "This is no opening handshake of a WebSocket (RFC 6455, 4.2.1); correct it."
    )
    told = _refused(refusal, request)
    document = json.loads(told.body or b"{}") | {"status": response.status_code}
    headers = {
        name: response.headers[name]
        for name in ("Upgrade", "Sec-WebSocket-Version")
        if name in response.headers
    }
    return _answer(
        HTTPStatus(response.status_code), json.dumps(document), "application/problem+json", headers
    )


def _answer(
    status: HTTPStatus, text: str, content_type: str, more: Mapping[str, str] | None = None
) -> Response:
    body = text.encode()
    headers = Headers({"Content-Type": content_type, "Content-Length": str(len(body)), "Connection": "close"})
    for name, value in (more or {}).items():
        headers[name] = value
    return Response(status.value, status.phrase, headers, body)


def _tls(settings: GatewaySettings) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(settings.tls_cert, settings.tls_key)
    context.load_verify_locations(settings.tls_ca)
    context.verify_mode = ssl.CERT_REQUIRED
    return context

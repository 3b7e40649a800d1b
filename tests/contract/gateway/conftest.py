"""The gateway's WebSocket over real TLS, as Envoy calls it, fed by the real RPC of the status service.

Access is played: it signs a capability for whatever vehicle it has not been told to refuse.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc
import jwt
import pytest
import websockets
from ecarus.remotecontrol.access.v1 import access_service_pb2, access_service_pb2_grpc
from ecarus.remotecontrol.access.v1.access_service_pb2_grpc import add_AccessServiceServicer_to_server
from ecarus.remotecontrol.door.v1 import door_update_pb2
from typing_extensions import override

from gateway.server import WebSocketServer
from gateway.settings import GatewaySettings
from gateway.watches import WatchAuthorizer, WatchFeed
from services.access.adapters.server import SERVICE
from services.platform.capability import CapabilityVerifier
from services.platform.channel import open_channel
from services.platform.health import Health
from services.platform.policy import policy_of
from services.platform.server import GrpcServer
from services.platform.session import SESSION_AUDIENCE, SESSION_KEY
from services.platform.settings import ServerSettings
from services.status.adapters.refusals import refusal_of
from services.status.adapters.watch_server import DoorWatchServer
from services.status.domain.rights import EndingCause, RightEnding
from services.status.domain.updates import LogPosition
from services.status.usecases.hub import Hub
from services.status.usecases.streams import Streams
from tests.contract.status.conftest import IDS, NOW_US, FakeLog
from tests.support.described_events import fault_of_message
from tests.support.ports import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from websockets.asyncio.client import ClientConnection

    from tests.support.capabilities import Signer
    from tests.support.certificates import Certificates

VIN, SECOND, FOREIGN = "KMHSH81C7LU123456", "KMHSH81C7LU123457", "KMHSH81C7LU654321"
WAIT_SECONDS = 60


class FakeAccess(access_service_pb2_grpc.AccessServiceServicer):
    """Signs for every vehicle but those in `refusals`; `session_over` refuses all sessions."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer
        self.refusals: dict[str, str] = {FOREIGN: "VEHICLE_NOT_FOUND"}
        self.session_over = False
        self.away = False
        self.asked: list[list[str]] = []
        self.claims: dict[str, Any] = {}

    @override
    async def AuthorizeWatches(
        self, request: access_service_pb2.AuthorizeWatchesRequest, context: Any
    ) -> access_service_pb2.AuthorizeWatchesResponse:
        self.asked.append(list(request.vins))
        if self.away:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "away")
        if self.session_over:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "withdrawn")
        session = jwt.decode(request.session, options={"verify_signature": False})
        answer = access_service_pb2.AuthorizeWatchesResponse()
        for vin in request.vins:
            told = answer.authorizations.add(vin=vin)
            if vin in self.refusals:
                told.code, told.detail = self.refusals[vin], "There is no such vehicle."
            else:
                subject, actor = session["sub"], session["act"]
                claims = {"read": time.time(), "cred": "key_1", **self.claims}
                told.capability = self._signer.capability(
                    vin, "door.updates.read", subject=subject, actor=actor, **claims
                )
        return answer


class Client:
    """A client of the WebSocket."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def send(self, **message: Any) -> None:
        await self.connection.send(json.dumps(message))

    async def next(self) -> dict[str, Any]:
        async with asyncio.timeout(WAIT_SECONDS):
            text = await self.connection.recv()
        fault = fault_of_message(text)
        assert fault is None, f"not as the AsyncAPI document says: {fault}; {text!r}"
        message: dict[str, Any] = json.loads(text)
        return message

    async def subscribe(self, *vins: str, last: str | None = None, **more: Any) -> list[dict[str, Any]]:
        """Subscribe, and return what each vehicle was answered with."""
        vehicles = [{"vin": vin, **({"lastEventId": last} if last else {})} for vin in vins]
        await self.send(action="subscribe", vehicles=vehicles, **more)
        return [await self.next() for _ in vins]

    async def closed(self) -> tuple[int, str]:
        """The code and the reason it was closed with; what still comes is passed over."""
        async with asyncio.timeout(WAIT_SECONDS):
            try:
                while True:
                    await self.connection.recv()
            except websockets.ConnectionClosed:
                return self.connection.close_code or 0, self.connection.close_reason or ""


@dataclass
class GatewayHarness:
    """The gateway with what it asks. `settings` are made before it starts."""

    folder: Any
    certificates: Certificates
    signer: Signer
    settings: dict[str, Any] = field(default_factory=dict)
    port: int = 0
    server: Any = None
    feed: Any = None
    health: Health = field(default_factory=Health)
    access: Any = None
    hub: Hub = field(default_factory=lambda: Hub(time.monotonic, time.time, shared=Streams(50, 50, 50)))
    _closing: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.access = FakeAccess(self.signer)
        self.log = FakeLog(self.hub)
        self.hub.start_at(LogPosition("e1", 0))
        self.status_port, self.access_port = free_port(), free_port()

    def server_settings(self, service: str, port: int) -> dict[str, Any]:
        pair = self.certificates.of(f"room/{service}")
        return {
            "listen": f"127.0.0.1:{port}",
            "tls_cert": pair.cert,
            "tls_key": pair.key,
            "tls_ca": self.certificates.authority.ca,
            "capability_jwks": self.signer.jwks,
            "drain_seconds": 0,
        }

    async def start_status(self) -> None:
        verifier = CapabilityVerifier(self.signer.jwks, service="status")
        watches = DoorWatchServer(self.hub, self.log, IDS, verifier, time.monotonic, lambda: NOW_US)
        settings = ServerSettings(**self.server_settings("status", self.status_port))
        self.status = GrpcServer(
            settings, [], lambda _server: None, {}, verifier, refusal_of, besides=[watches.api]
        )
        await self.status.start()
        # The channel asks for the name of the service's own contract.
        await self.status._health.set("ecarus.remotecontrol.door.v1.DoorStatusService", 1)

    async def start(self) -> None:
        await self.start_status()
        access_settings = ServerSettings(**self.server_settings("access", self.access_port))
        verifier = CapabilityVerifier(self.signer.jwks)
        self.access_server = GrpcServer(
            access_settings,
            [SERVICE],
            lambda server: add_AccessServiceServicer_to_server(self.access, server),
            policy_of(SERVICE),
            verifier,
            lambda _error: None,
        )
        await self.access_server.start()
        settings = GatewaySettings(
            **self.server_settings("gateway", 0),
            access_target=f"127.0.0.1:{self.access_port}",
            status_target=f"127.0.0.1:{self.status_port}",
            **self.settings,
        )
        channels = [
            open_channel(settings, settings.access_target, "access"),
            open_channel(settings, settings.status_target, "status"),
        ]
        authorizer = WatchAuthorizer(channels[0])
        self.feed = WatchFeed(channels[1], authorizer, self.health.condition("watches"))
        self.server = WebSocketServer(settings, self.feed, authorizer, verifier, self.health, time.time)
        await self.server.start()
        self.port = self.server.port
        self.running = asyncio.create_task(self.feed.run())
        self.ending = asyncio.create_task(self.hub.end_regularly(lambda: frozenset({"test"})))
        self._closing = channels

    async def stop(self) -> None:
        for task in (self.running, self.ending):
            task.cancel()
        await asyncio.gather(self.running, self.ending, return_exceptions=True)
        await self.server.stop()
        for channel in self._closing:
            await channel.close()
        await self.status.stop()
        await self.access_server.stop()

    def tls(self, workload: str = "edge") -> ssl.SSLContext:
        pair = self.certificates.of(workload)
        context = ssl.create_default_context(cafile=str(self.certificates.authority.ca))
        context.check_hostname = False
        context.load_cert_chain(pair.cert, pair.key)
        return context

    def session(self, subject: str = "user-123", *, seconds: float = 300, **claims: Any) -> str:
        now = int(time.time())
        document = {
            "iss": "ecarus-access",
            "aud": SESSION_AUDIENCE,
            "sub": subject,
            "act": subject,
            "iat": now,
            "exp": now + seconds,
            "ends": now + seconds,
            "net": "192.0.2.1",
            "jti": uuid.uuid4().hex,
            **claims,
        }
        return jwt.encode(document, self.signer.key, algorithm="EdDSA", headers={"kid": "test"})

    async def open(
        self, session: str | None = None, headers: dict[str, str] | None = None, **more: Any
    ) -> Client:
        """Open a WebSocket as Envoy passes it on. Raises InvalidStatus where it is refused."""
        named = {SESSION_KEY: session or self.session(), "x-correlation-id": "c-1", **(headers or {})}
        connection = await websockets.connect(
            f"wss://127.0.0.1:{self.port}/api/v1/remotecontrol/events/ws",
            ssl=more.pop("tls", None) or self.tls(),
            additional_headers=named,
            **more,
        )
        return Client(connection)

    def move(self, vin: str = VIN, door: str = "driver", **more: Any) -> None:
        """A door of this vehicle is unlocked."""
        types = door_update_pb2.DoorUpdateType.Value
        update = door_update_pb2.DoorUpdate(type=types.DOOR_STATUS_UPDATE, vin=vin)
        update.timestamp.FromMicroseconds(NOW_US)
        update.door_status.door_id = door
        update.door_status.change_type = door_update_pb2.DoorChangeType.Value.UNLOCKED
        self.log.publish(update, **more)

    def alert(self, code: str, vin: str = VIN, told_by: str = "") -> None:
        """Something is reported of this vehicle."""
        types = door_update_pb2.DoorUpdateType.Value
        update = door_update_pb2.DoorUpdate(type=types.SYSTEM_ALERT, vin=vin)
        update.timestamp.FromMicroseconds(NOW_US)
        update.system_alert.code = code
        update.system_alert.severity = door_update_pb2.AlertSeverity.Value.WARNING
        self.log.publish(update, told_by=told_by)

    def end_right(self, cause: EndingCause, principal: str = "user-123", vin: str = "", **more: Any) -> None:
        """A right has ended, as access says it."""
        self.hub.right_ended(RightEnding(cause, time.time() + 1, principal=principal, vin=vin, **more))


async def until(condition: Any) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while not condition():  # noqa: ASYNC110  # a connection that closes sets no event here
            await asyncio.sleep(0.01)


@pytest.fixture
def settings() -> dict[str, Any]:
    """What of the gateway's settings the test changes."""
    return {}


@pytest.fixture
async def gateway(
    pki: Certificates, signer: Signer, tmp_path: Any, settings: dict[str, Any]
) -> AsyncIterator[GatewayHarness]:
    harness = GatewayHarness(tmp_path, pki, signer, settings)
    await harness.start()
    yield harness
    await harness.stop()

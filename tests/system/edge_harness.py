"""A real Envoy with the product's configuration in front of small services that do as they are told.

The services are real gRPC servers over mutual TLS. The access service answers by the bearer (see `Access`), the
others answer with what they received, or fail in the way that `x-fail` in the request's metadata names.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import grpc
from ecarus.remotecontrol.door.v1 import (
    door_command_pb2,
    door_command_service_pb2_grpc,
    door_config_pb2,
    door_config_service_pb2_grpc,
    door_diagnostics_pb2,
    door_diagnostics_service_pb2_grpc,
    door_status_pb2,
    door_status_service_pb2_grpc,
    door_update_pb2,
)
from envoy_ext_authz import external_auth_pb2, external_auth_pb2_grpc
from google.api import httpbody_pb2
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from mesh.edge_config import NO_ORIGINS, USUAL, EdgeLimits, render_edge, write_team_trust
from mesh.pki import Pki
from mesh.ports import Ports
from mesh.probes import admin_ready
from mesh.sandbox import IDENTITIES
from services import registry
from services.platform.server import SERVER_OPTIONS
from tests.support.ports import free_port_base

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
    from pathlib import Path

    from services.platform.origins import OriginAllowlist

VIN = "KMHSH81C7LU123456"
OTHER_VIN = "KMHSH81C7LU654321"
BASE = f"/api/v1/remotecontrol/vehicles/{VIN}/door"
CAPABILITY = "x-ecarus-capability"
WAITED = '{"commandId": "c1", "status": "SUCCESS", "timestamp": "2026-01-12T14:30:18Z"}'
"""What is told of a command that was waited for."""
HEALTH_NAMES = (
    "commands",
    "streams",
    "ecarus.remotecontrol.access.v1.AccessService",
    "ecarus.remotecontrol.audit.v1.AuditIntakeService",
    *(
        f"ecarus.remotecontrol.door.v1.Door{kind}Service"
        for kind in ("Command", "Status", "Config", "Diagnostics")
    ),
)
"""The names under which Envoy asks services how they are."""


def problem(status: int, code: str) -> str:
    """A document as a service would write it."""
    return json.dumps({"type": "t", "title": "T", "status": status, "code": code}, separators=(",", ":"))


def _header(key: str, value: str) -> external_auth_pb2.HeaderValueOption:
    return external_auth_pb2.HeaderValueOption(header=external_auth_pb2.HeaderValue(key=key, value=value))


def _detailed_status() -> status_pb2.Status:
    detail = any_pb2.Any()
    detail.Pack(error_details_pb2.ErrorInfo(reason="FROM_SERVICE", domain="test"))
    return status_pb2.Status(code=grpc.StatusCode.ABORTED.value[0], message="no", details=[detail])


class Access(external_auth_pb2_grpc.AuthorizationServicer):
    """`Bearer good` passes with a capability naming the path's VIN; `Bearer <status>` is refused with it."""

    def __init__(self) -> None:
        self.checks: list[external_auth_pb2.CheckRequest] = []

    async def Check(self, request: Any, context: Any) -> external_auth_pb2.CheckResponse:  # noqa: ARG002, N802  # generated signature
        self.checks.append(request)
        http = request.attributes.request.http
        bearer = http.headers.get("authorization", "").removeprefix("Bearer ")
        native = http.headers.get("content-type", "").startswith("application/grpc")
        if bearer.isdigit():
            return external_auth_pb2.CheckResponse(
                status=status_pb2.Status(code=grpc.StatusCode.NOT_FOUND.value[0]),
                denied_response=external_auth_pb2.DeniedHttpResponse(
                    status=external_auth_pb2.HttpStatus(code=int(bearer)),
                    headers=[
                        _header("content-type", "application/problem+json"),
                        _header("www-authenticate", 'Bearer error="invalid_token"'),
                        _header("retry-after", "7"),
                        *(
                            [_header("grpc-status", "5"), _header("grpc-status-details-bin", "CAUSAm5v")]
                            * native
                        ),
                        _header("ratelimit", '"default";r=0;t=7'),
                    ],
                    body=problem(int(bearer), "FROM_ACCESS"),
                ),
            )
        words = http.path.split("/")
        vin = words[5] if len(words) > 5 else "native"
        return external_auth_pb2.CheckResponse(
            status=status_pb2.Status(code=0),
            ok_response=external_auth_pb2.OkHttpResponse(
                headers=[_header(CAPABILITY, f"for:{vin}")],
                headers_to_remove=["authorization"],
                query_parameters_to_remove=["ticket"],
            ),
        )


@dataclass
class Received:
    """What a service was asked: the RPC's message and its metadata."""

    calls: list[tuple[Any, dict[str, str]]] = field(default_factory=list)

    def note(self, request: Any, context: Any) -> dict[str, str]:
        metadata = {key: str(value) for key, value in context.invocation_metadata()}
        self.calls.append((request, metadata))
        return metadata

    @property
    def last(self) -> tuple[Any, dict[str, str]]:
        return self.calls[-1]


class FakeServices(
    door_command_service_pb2_grpc.DoorCommandServiceServicer,
    door_status_service_pb2_grpc.DoorStatusServiceServicer,
    door_config_service_pb2_grpc.DoorConfigServiceServicer,
    door_diagnostics_service_pb2_grpc.DoorDiagnosticsServiceServicer,
):
    """All four public services."""

    def __init__(self) -> None:
        self.received = Received()
        self.seconds_left = 0.0
        """What was left of the deadline of the last command that was waited for."""
        self.answers: dict[type[Any], Any] = {}
        """What is answered instead of an almost empty message of this type."""

    async def _serve(self, request: Any, context: Any, answer: Any) -> Any:
        answer = self.answers.get(type(answer), answer)
        metadata = self.received.note(request, context)
        failure = metadata.get("x-fail", "")
        if failure.startswith("document-"):
            status = int(failure.rpartition("-")[2])
            if "late" in failure:  # the document comes in real trailers, behind initial metadata
                await context.send_initial_metadata((("x-early", "1"),))
            trailers = (
                ("x-problem", problem(status, "FROM_SERVICE")),
                ("retry-after", "9"),
                ("ratelimit", "r=0"),
            )
            await context.abort(grpc.StatusCode.ABORTED, "no", tuple(trailers))
        if failure == "bare":
            await context.abort(grpc.StatusCode.UNAVAILABLE, 'a "quoted" secret')
        if failure == "crash":
            raise RuntimeError("secret")
        if failure == "hang":
            await asyncio.Event().wait()
        return answer

    async def UnlockDoors(self, request: Any, context: Any) -> Any:  # noqa: N802  # generated name
        answer = door_command_pb2.DoorCommand(command_id="c1", vin=request.vin)
        answer = await self._serve(request, context, answer)
        location = f"{BASE}/commands/c1"
        if "prefer" in self.received.last[1]:
            self.seconds_left = context.time_remaining()
            waited = (("x-http-body", WAITED), ("location", location), ("preference-applied", "wait=20"))
            await context.send_initial_metadata(waited)
        else:
            await context.send_initial_metadata((("x-http-code", "202"), ("location", location)))
        return answer

    async def LockDoors(self, request: Any, context: Any) -> Any:  # noqa: N802  # generated name
        return await self._serve(request, context, door_command_pb2.DoorCommand(vin=request.vin))

    async def CancelCommand(self, request: Any, context: Any) -> Any:  # noqa: N802  # generated name
        return await self._serve(request, context, door_command_pb2.DoorCommand(vin=request.vin))

    async def GetCommand(self, request: Any, context: Any) -> Any:  # noqa: N802  # generated name
        return await self._serve(request, context, door_command_pb2.DoorCommandDetails())

    async def ListCommandHistory(self, request: Any, context: Any) -> Any:  # noqa: N802  # generated name
        return await self._serve(request, context, door_command_pb2.DoorHistory(vin=request.vin))

    async def GetDoorStatus(self, request: Any, context: Any) -> Any:  # noqa: N802  # generated name
        return await self._serve(request, context, door_status_pb2.DoorStatus(vin=request.vin))

    async def GetDoorConfig(self, request: Any, context: Any) -> Any:  # noqa: N802  # generated name
        return await self._serve(request, context, door_config_pb2.DoorConfig(vin=request.vin))

    async def UpdateDoorConfig(self, request: Any, context: Any) -> Any:  # noqa: N802  # generated name
        return await self._serve(request, context, door_config_pb2.DoorConfig(vin=request.vin))

    async def GetDoorDiagnostics(self, request: Any, context: Any) -> Any:  # noqa: N802  # generated name
        return await self._serve(request, context, door_diagnostics_pb2.DoorDiagnostics(vin=request.vin))

    async def StreamDoorUpdates(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802  # generated name
        await self._serve(request, context, None)
        yield httpbody_pb2.HttpBody(content_type="text/event-stream", data=b"retry: 1000\n\n")
        await asyncio.Event().wait()

    async def WatchDoorUpdates(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802  # generated name
        await self._serve(request, context, None)
        await context.send_initial_metadata(())
        await asyncio.sleep(float(self.received.last[1].get("x-quiet-seconds", "0")))
        yield door_update_pb2.DoorUpdate(vin=request.vin)


class EdgeHarness:
    """Envoy and its services on free ports. Use as an async context manager.

    `instead` shortens what a test cannot wait for: each key, which must be in the configuration, becomes its value.
    """

    def __init__(
        self,
        folder: Path,
        envoy: Path,
        limits: EdgeLimits = USUAL,
        instead: Mapping[str, str] = MappingProxyType({}),
        origins: OriginAllowlist = NO_ORIGINS,
    ) -> None:
        self._origins = origins
        self._limits = limits
        self._instead = instead
        self._folder = folder
        self._envoy = envoy
        self.ports = Ports(free_port_base())
        self.pki = Pki(folder / "pki", datetime.now(UTC))
        self.access = Access()
        self.services = FakeServices()
        self._servers: dict[str, grpc.aio.Server] = {}
        self.checks: dict[str, health.aio.HealthServicer] = {}
        self.log = folder / "envoy.log"
        self.admin = folder / "admin.sock"

    @property
    def http(self) -> str:
        """Base address of plain REST."""
        return f"http://127.0.0.1:{self.ports.http}"

    @property
    def received(self) -> Received:
        """What the services were asked."""
        return self.services.received

    async def __aenter__(self) -> EdgeHarness:
        for identity in IDENTITIES:
            self.pki.ensure(identity)
        for service in registry.PUBLIC:
            await self.start_room(service)
        self._gateway = await self._start_gateway()
        config = self._folder / "envoy.yaml"
        self.pki.ensure_revocations()
        write_team_trust(self._folder / "pki")
        text = render_edge(self.ports, self._folder / "pki", self.admin, self._limits, self._origins)
        # Beside other tests the small services here are slow to answer; how slow they may be is the mesh's to try.
        text = text.replace("cluster_name: access}, timeout: 2s", "cluster_name: access}, timeout: 20s")
        text = text.replace(" connect_timeout: 1s", " connect_timeout: 20s")
        text = text.replace("health_checks: [{timeout: 1s,", "health_checks: [{timeout: 20s,")
        for usual, shorter in self._instead.items():
            assert usual in text, f"the configuration has no {usual}"
            text = text.replace(usual, shorter)
        config.write_text(text, encoding="utf-8")
        words = (
            "-c",
            str(config),
            "--disable-hot-restart",
            "--concurrency",
            "1",
            "--log-level",
            "warn",
            "--file-flush-interval-msec",
            "50",
        )
        with self.log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(self._envoy, *words, stdout=log, stderr=log)
        try:
            async with asyncio.timeout(60):
                await self._until_ready()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process.returncode is None:
            self._process.terminate()
        await self._process.wait()
        self._gateway.close()
        await asyncio.gather(*(self.stop_room(service) for service in tuple(self._servers)))

    async def _until_ready(self) -> None:
        is_ready = admin_ready(self.admin)
        while not await is_ready():
            if self._process.returncode is not None:
                raise RuntimeError(self.log.read_text(encoding="utf-8"))
            await asyncio.sleep(0.02)

    async def _start_gateway(self) -> asyncio.Server:
        """Be well, whatever it is asked."""

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                while await reader.readuntil(b"\r\n\r\n"):
                    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            writer.close()

        pair = self.pki.pair("gateway")
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(self.pki.ca))
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(pair.cert, pair.key)
        return await asyncio.start_server(answer, "127.0.0.1", self.ports.gateway, ssl=context)

    async def start_room(self, service: str) -> None:
        """Serve this service's port."""
        server = grpc.aio.server(options=SERVER_OPTIONS)
        checks = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(checks, server)
        reflection.enable_server_reflection((health.SERVICE_NAME,), server)
        if service == "access":
            external_auth_pb2_grpc.add_AuthorizationServicer_to_server(self.access, server)
        door_command_service_pb2_grpc.add_DoorCommandServiceServicer_to_server(self.services, server)
        door_status_service_pb2_grpc.add_DoorStatusServiceServicer_to_server(self.services, server)
        door_config_service_pb2_grpc.add_DoorConfigServiceServicer_to_server(self.services, server)
        door_diagnostics_service_pb2_grpc.add_DoorDiagnosticsServiceServicer_to_server(self.services, server)
        for name in ("", *HEALTH_NAMES):
            await checks.set(name, health_pb2.HealthCheckResponse.SERVING)
        pair = self.pki.pair(service)
        credentials = grpc.ssl_server_credentials(
            [(pair.key.read_bytes(), pair.cert.read_bytes())],
            self.pki.ca.read_bytes(),
            require_client_auth=True,
        )
        server.add_secure_port(f"127.0.0.1:{self.ports.service(service)}", credentials)
        await server.start()
        self._servers[service] = server
        self.checks[service] = checks

    async def stop_room(self, service: str) -> None:
        """Take the service away at once."""
        await self._servers.pop(service).stop(None)

    def team_channel(
        self, name: str = "team-demo", options: Sequence[tuple[str, int]] = ()
    ) -> grpc.aio.Channel:
        """A channel to the mTLS listener under this certificate."""
        pair = self.pki.pair(name)
        credentials = grpc.ssl_channel_credentials(
            self.pki.ca.read_bytes(), pair.key.read_bytes(), pair.cert.read_bytes()
        )
        return grpc.aio.secure_channel(f"127.0.0.1:{self.ports.mtls}", credentials, options=list(options))

    def log_lines(self) -> Iterable[dict[str, Any]]:
        """The access log so far."""
        return (
            json.loads(line)
            for line in self.log.read_text(encoding="utf-8").splitlines()
            if line.startswith("{")
        )

"""A service of two services that does what a test tells it, and how to call it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from ecarus.remotecontrol.door.v1 import (
    door_config_pb2,
    door_config_service_pb2,
    door_config_service_pb2_grpc,
    door_status_pb2,
    door_status_service_pb2,
    door_status_service_pb2_grpc,
    door_update_pb2,
)
from google.api import httpbody_pb2
from google.rpc import error_details_pb2, status_pb2

from services.platform.audit import log_call
from services.platform.call import current_call
from services.platform.errors import Reason, Refusal
from services.platform.policy import EDGE, RpcPolicy, service
from services.platform.server import GrpcServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from services.platform.call import Call
    from services.platform.capability import CapabilityVerifier
    from services.platform.policy import Policy
    from services.platform.settings import ServiceSettings
    from tests.support.capabilities import Signer

VIN = "KMHSH81C7LU123456"
FOREIGN_VIN = "KMHSH81C7LU654321"
CONFIG = "ecarus.remotecontrol.door.v1.DoorConfigService"
STATUS = "ecarus.remotecontrol.door.v1.DoorStatusService"
READ, WRITE, LIVE = "door.config.read", "door.config.write", "door.updates.read"


def through_the_edge(action: str, *, mutates: bool = False) -> RpcPolicy:
    return RpcPolicy(peers=frozenset({EDGE}), action=action, mutates=mutates)


POLICY: Policy = {
    f"/{CONFIG}/GetDoorConfig": through_the_edge(READ),
    f"/{CONFIG}/UpdateDoorConfig": through_the_edge(WRITE, mutates=True),
    f"/{STATUS}/GetDoorCapabilities": RpcPolicy(peers=frozenset({service("command")})),
    f"/{STATUS}/GetDoorStatus": RpcPolicy(peers=frozenset({service("command")})),
    f"/{STATUS}/WatchDoorUpdates": through_the_edge(LIVE),
    f"/{STATUS}/StreamDoorUpdates": through_the_edge(LIVE),
}
DOOR_JAMMED = Reason("DOOR_OPEN", 409, grpc.StatusCode.FAILED_PRECONDITION, "Door jammed")


class DoorJammedError(Exception):
    """A rule of this service's own."""


@dataclass
class InterceptorHarness:
    """A service of two services that does what it is told."""

    raises: Exception | None = None
    raises_after: int = 0
    audit_raises: Exception | None = None
    harness: asyncio.Event | None = None
    entered: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    seen: list[Any] = field(default_factory=list)
    audited: list[tuple[str, str, str | None]] = field(default_factory=list)

    async def serve(self, request: Any) -> None:
        self.seen.append((request, current_call()))
        self.entered.set()
        try:
            if self.harness is not None:
                await self.harness.wait()
            if self.raises is not None:
                raise self.raises
        finally:
            self.ended.set()

    def build(self, settings: ServiceSettings, verifier: CapabilityVerifier) -> GrpcServer:
        def register(server: grpc.aio.Server) -> None:
            door_config_service_pb2_grpc.add_DoorConfigServiceServicer_to_server(_Config(self), server)
            door_status_service_pb2_grpc.add_DoorStatusServiceServicer_to_server(_Status(self), server)

        self.server = GrpcServer(
            settings, [CONFIG, STATUS], register, POLICY, verifier, refusal_of, audit=self.audit
        )
        return self.server

    def audit(self, call: Call, refusal: Refusal | None) -> None:
        if self.audit_raises is not None:
            raise self.audit_raises
        log_call(call, refusal)
        subject = call.capability.subject if call.capability else None
        self.audited.append((call.method, refusal.reason.code if refusal else "OK", subject))


def refusal_of(error: Exception) -> Refusal | None:
    if isinstance(error, DoorJammedError):
        return Refusal(DOOR_JAMMED, "The door is jammed; free it.", may_have_succeeded=False)
    return None


class _Config(door_config_service_pb2_grpc.DoorConfigServiceServicer):
    def __init__(self, service: InterceptorHarness) -> None:
        self.service = service

    async def GetDoorConfig(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002  # gRPC's signature
        await self.service.serve(request)
        return door_config_pb2.DoorConfig(vin=request.vin)

    UpdateDoorConfig = GetDoorConfig


class _Status(door_status_service_pb2_grpc.DoorStatusServiceServicer):
    def __init__(self, service: InterceptorHarness) -> None:
        self.service = service

    async def GetDoorStatus(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002  # gRPC's signature
        await self.service.serve(request)
        return door_status_pb2.DoorStatus(vin=request.vin)

    async def WatchDoorUpdates(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802, ARG002  # gRPC's signature
        try:
            for number in range(self.service.raises_after):
                yield door_update_pb2.DoorUpdate(vin=request.vin, id=str(number))
            await self.service.serve(request)
        finally:
            self.service.ended.set()

    async def StreamDoorUpdates(  # type: ignore[override]  # noqa: N802  # gRPC's other way of streaming
        self, request: Any, context: Any
    ) -> None:
        """Writes to the context instead of yielding."""
        await context.write(httpbody_pb2.HttpBody(content_type="text/event-stream", data=b"retry: 1\n\n"))
        await self.service.serve(request)


def get(channel: grpc.aio.Channel, metadata: Sequence[Any] = (), vin: str = VIN, **options: Any) -> Any:
    stub = door_config_service_pb2_grpc.DoorConfigServiceStub(channel)
    request = door_config_service_pb2.GetDoorConfigRequest(vin=vin)
    return stub.GetDoorConfig(request, metadata=tuple(metadata), **options)


def put(channel: grpc.aio.Channel, metadata: Sequence[Any], config: Any, **options: Any) -> Any:
    stub = door_config_service_pb2_grpc.DoorConfigServiceStub(channel)
    request = door_config_service_pb2.UpdateDoorConfigRequest(vin=VIN, config=config)
    return stub.UpdateDoorConfig(request, metadata=tuple(metadata), **options)


def watch(channel: grpc.aio.Channel, metadata: Sequence[Any]) -> Any:
    stub = door_status_service_pb2_grpc.DoorStatusServiceStub(channel)
    request = door_status_service_pb2.WatchDoorUpdatesRequest(vin=VIN)
    return stub.WatchDoorUpdates(request, metadata=tuple(metadata))


def native(token: str) -> tuple[tuple[str, str], ...]:
    return (("x-ecarus-capability", token), ("x-correlation-id", "test-1"))


def rest(token: str, path: str = "/door/config?x=1") -> tuple[tuple[str, str], ...]:
    return (*native(token), ("x-envoy-original-path", path))


def public_key_of(signer: Signer) -> bytes:
    """As an attacker would take it for a shared secret."""
    return signer.key.public_key().public_bytes_raw()


async def refused(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call
    return error.value


def problem_of(error: grpc.aio.AioRpcError) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(dict(error.trailing_metadata())["x-problem"])
    return document


def details_of(error: grpc.aio.AioRpcError) -> dict[str, Any]:
    """The details of a native answer by their type's name."""
    trailers = dict(error.trailing_metadata())
    status = status_pb2.Status.FromString(trailers["grpc-status-details-bin"])
    found: dict[str, Any] = {}
    for packed in status.details:
        kind = getattr(error_details_pb2, packed.TypeName().rpartition(".")[2])
        message = kind()
        assert packed.Unpack(message)
        found[kind.DESCRIPTOR.name] = message
    return found


def reason_of(error: grpc.aio.AioRpcError) -> str:
    return str(details_of(error)["ErrorInfo"].reason)

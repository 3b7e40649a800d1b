"""DoorConfigService: RPC in, RPC out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ecarus.remotecontrol.door.v1 import door_config_service_pb2_grpc
from ecarus.remotecontrol.door.v1.door_config_service_pb2_grpc import DoorConfigServiceServicer

from services.config import usecases
from services.config.adapters import translate
from services.platform.call import current_call
from services.platform.policy import policy_of
from services.platform.server import GrpcServer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    import grpc
    from ecarus.remotecontrol.door.v1.door_config_pb2 import DoorConfig
    from ecarus.remotecontrol.door.v1.door_config_service_pb2 import (
        GetDoorConfigRequest,
        UpdateDoorConfigRequest,
    )

    from services.config.usecases import ConfigRecord
    from services.platform.capability import CapabilityVerifier
    from services.platform.health import Health
    from services.platform.server import ServedApi
    from services.platform.settings import ServiceSettings

    Context = grpc.aio.ServicerContext[Any, Any]

SERVICE = "ecarus.remotecontrol.door.v1.DoorConfigService"
POLICY = policy_of(SERVICE)


class DoorConfigServicer(DoorConfigServiceServicer):
    """Serves the contract of the same name."""

    def __init__(self, record: ConfigRecord, now: Callable[[], datetime]) -> None:
        self._record = record
        self._now = now

    async def GetDoorConfig(self, request: GetDoorConfigRequest, context: Context) -> DoorConfig:  # noqa: ARG002, N802  # gRPC's signature
        """Return all settings, and whether the vehicle has applied them."""
        return translate.door_config(await usecases.read_config(self._record, self._now, request.vin))

    async def UpdateDoorConfig(self, request: UpdateDoorConfigRequest, context: Context) -> DoorConfig:  # noqa: ARG002, N802  # gRPC's signature
        """Change the named settings."""
        wanted = translate.change_request(request.vin, request.config, current_call())
        return translate.door_config(await usecases.change_config(self._record, self._now, wanted))


def build(
    settings: ServiceSettings,
    verifier: CapabilityVerifier,
    record: ConfigRecord,
    now: Callable[[], datetime],
    health: Health | None = None,
    besides: Sequence[ServedApi] = (),
) -> GrpcServer:
    """Return this service's server, not yet started."""
    servicer = DoorConfigServicer(record, now)

    def register(server: grpc.aio.Server) -> None:
        door_config_service_pb2_grpc.add_DoorConfigServiceServicer_to_server(servicer, server)

    return GrpcServer(
        settings,
        services=[SERVICE],
        register=register,
        policy=POLICY,
        verifier=verifier,
        translate_error=translate.refusal_of,
        health=health,
        besides=besides,
    )

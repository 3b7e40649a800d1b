"""DoorConfigService: RPC in, RPC out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ecarus.remotecontrol.door.v1 import door_config_service_pb2_grpc
from ecarus.remotecontrol.door.v1.door_config_service_pb2_grpc import DoorConfigServiceServicer

from services.config import usecases
from services.config.adapters import translate
from services.platform.call import current_call
from services.platform.policy import policy_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    import grpc
    from ecarus.remotecontrol.door.v1.door_config_pb2 import DoorConfig
    from ecarus.remotecontrol.door.v1.door_config_service_pb2 import (
        GetDoorConfigRequest,
        UpdateDoorConfigRequest,
    )

    from services.config.usecases import ConfigRecord
    from services.vehicle_models.catalogue import VehicleModels

    Context = grpc.aio.ServicerContext[Any, Any]

SERVICE = "ecarus.remotecontrol.door.v1.DoorConfigService"
POLICY = policy_of(SERVICE)


class DoorConfigServicer(DoorConfigServiceServicer):
    """Serves the contract of the same name."""

    def __init__(self, record: ConfigRecord, now: Callable[[], datetime], models: VehicleModels) -> None:
        self._record = record
        self._now = now
        self._models = models

    def register(self, server: grpc.aio.Server) -> None:
        """Add this servicer to `server`."""
        door_config_service_pb2_grpc.add_DoorConfigServiceServicer_to_server(self, server)

    async def GetDoorConfig(self, request: GetDoorConfigRequest, context: Context) -> DoorConfig:  # noqa: ARG002, N802  # gRPC's signature
        """Return all settings, and whether the vehicle has applied them."""
        model = self._models.of(request.vin)
        return translate.door_config(await usecases.read_config(self._record, self._now, request.vin), model)

    async def UpdateDoorConfig(self, request: UpdateDoorConfigRequest, context: Context) -> DoorConfig:  # noqa: ARG002, N802  # gRPC's signature
        """Change the named settings."""
        wanted = translate.change_request(request.vin, request.config, current_call(), self._now())
        model = self._models.of(request.vin)
        changed = await usecases.change_config(self._record, self._now, wanted, model)
        return translate.door_config(changed, model)

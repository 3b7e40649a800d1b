"""The room's RPC: the keys of vehicles, for the rooms that talk with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
from ecarus.remotecontrol.access.v1 import vehicle_keys_service_pb2, vehicle_keys_service_pb2_grpc

from services.enrolment import translate, usecases
from services.runtime.policy import Policy, between_rooms

if TYPE_CHECKING:
    from services.enrolment.usecases import Register

SERVICE = "ecarus.remotecontrol.access.v1.VehicleKeysService"
POLICY: Policy = {
    f"/{SERVICE}/GetVehicleKeys": between_rooms("command", "config", "status", "diagnostics"),
}

Context = grpc.aio.ServicerContext[Any, Any]


class VehicleKeysServer(vehicle_keys_service_pb2_grpc.VehicleKeysServiceServicer):
    """Answers from the record."""

    def __init__(self, record: Register) -> None:
        self._record = record

    def register(self, server: grpc.aio.Server) -> None:
        """Serve on it."""
        vehicle_keys_service_pb2_grpc.add_VehicleKeysServiceServicer_to_server(self, server)

    async def GetVehicleKeys(  # noqa: N802  # the RPC's name
        self,
        request: vehicle_keys_service_pb2.GetVehicleKeysRequest,
        context: Context,  # noqa: ARG002  # grpc's signature
    ) -> vehicle_keys_service_pb2.GetVehicleKeysResponse:
        """See the contract."""
        return translate.keys_response(await usecases.vehicle_keys(self._record, request.vins))

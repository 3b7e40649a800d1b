"""DoorDiagnosticsService: RPC in, RPC out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ecarus.remotecontrol.door.v1 import door_diagnostics_service_pb2_grpc
from ecarus.remotecontrol.door.v1.door_diagnostics_service_pb2_grpc import DoorDiagnosticsServiceServicer

from services.diagnostics import usecases
from services.diagnostics.adapters import translate
from services.platform.policy import policy_of

if TYPE_CHECKING:
    import grpc
    from ecarus.remotecontrol.door.v1.door_diagnostics_pb2 import DoorDiagnostics
    from ecarus.remotecontrol.door.v1.door_diagnostics_service_pb2 import GetDoorDiagnosticsRequest

    from services.diagnostics.usecases import DiagnosisRecord

    Context = grpc.aio.ServicerContext[Any, Any]

SERVICE = "ecarus.remotecontrol.door.v1.DoorDiagnosticsService"
POLICY = policy_of(SERVICE)


class DoorDiagnosticsServicer(DoorDiagnosticsServiceServicer):
    """Serves the contract of the same name."""

    def __init__(self, record: DiagnosisRecord) -> None:
        self._record = record

    def register(self, server: grpc.aio.Server) -> None:
        """Add this servicer to `server`."""
        door_diagnostics_service_pb2_grpc.add_DoorDiagnosticsServiceServicer_to_server(self, server)

    async def GetDoorDiagnostics(  # noqa: N802  # gRPC's name
        self,
        request: GetDoorDiagnosticsRequest,
        context: Context,  # noqa: ARG002  # gRPC's signature
    ) -> DoorDiagnostics:
        """Return the vehicle's last self-check."""
        return translate.door_diagnostics(await usecases.read_diagnosis(self._record, request.vin))

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
    from ecarus.remotecontrol.door.v1.door_diagnostics_pb2 import (
        DiagnosticsCheck,
        DoorDiagnostics,
        DoorDiagnosticsTrend,
    )
    from ecarus.remotecontrol.door.v1.door_diagnostics_service_pb2 import (
        GetDoorDiagnosticsRequest,
        GetDoorDiagnosticsTrendRequest,
        RequestSelfTestRequest,
    )

    from services.diagnostics.usecases import CheckDependencies, DiagnosisRecord

    Context = grpc.aio.ServicerContext[Any, Any]

SERVICE = "ecarus.remotecontrol.door.v1.DoorDiagnosticsService"
POLICY = policy_of(SERVICE)


class DoorDiagnosticsServicer(DoorDiagnosticsServiceServicer):
    """Serves the contract of the same name."""

    def __init__(self, record: DiagnosisRecord, checks: CheckDependencies) -> None:
        self._record = record
        self._checks = checks

    def register(self, server: grpc.aio.Server) -> None:
        """Add this servicer to `server`."""
        door_diagnostics_service_pb2_grpc.add_DoorDiagnosticsServiceServicer_to_server(self, server)

    async def GetDoorDiagnostics(  # noqa: N802  # gRPC's name
        self,
        request: GetDoorDiagnosticsRequest,
        context: Context,  # noqa: ARG002  # gRPC's signature
    ) -> DoorDiagnostics:
        """Return the vehicle's last self-check."""
        diagnosis = await usecases.read_diagnosis(self._record, request.vin)
        return translate.door_diagnostics(diagnosis, await self._record.requested_check(request.vin))

    async def RequestSelfTest(  # noqa: N802  # gRPC's name
        self, request: RequestSelfTestRequest, context: Context
    ) -> DiagnosticsCheck:
        """Ask the vehicle to check itself; REST answers 202 and says where to look."""
        requested = await usecases.request_check(self._checks, request.vin)
        location = f"/api/v1/remotecontrol/vehicles/{request.vin}/door/diagnostics"
        await context.send_initial_metadata((("x-http-code", "202"), ("location", location)))
        return translate.diagnostics_check(requested)

    async def GetDoorDiagnosticsTrend(  # noqa: N802  # gRPC's name
        self,
        request: GetDoorDiagnosticsTrendRequest,
        context: Context,  # noqa: ARG002  # gRPC's signature
    ) -> DoorDiagnosticsTrend:
        """Return how the health of the vehicle's components went."""
        query = translate.trend_query(request, self._checks.now())
        return translate.door_diagnostics_trend(
            request, query, await usecases.read_trend(self._record, query)
        )

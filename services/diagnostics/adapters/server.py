"""DoorDiagnosticsService: RPC in, RPC out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ecarus.remotecontrol.door.v1 import door_diagnostics_service_pb2_grpc
from ecarus.remotecontrol.door.v1.door_diagnostics_service_pb2_grpc import DoorDiagnosticsServiceServicer

from services.diagnostics import usecases
from services.diagnostics.adapters import translate
from services.platform.policy import policy_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    import grpc
    from ecarus.remotecontrol.door.v1.door_diagnostics_pb2 import DoorDiagnostics, DoorDiagnosticsTrend
    from ecarus.remotecontrol.door.v1.door_diagnostics_service_pb2 import (
        GetDoorDiagnosticsRequest,
        GetDoorDiagnosticsTrendRequest,
    )

    from services.diagnostics.usecases import DiagnosisRecord

    Context = grpc.aio.ServicerContext[Any, Any]

SERVICE = "ecarus.remotecontrol.door.v1.DoorDiagnosticsService"
POLICY = policy_of(SERVICE)


class DoorDiagnosticsServicer(DoorDiagnosticsServiceServicer):
    """Serves the contract of the same name."""

    def __init__(self, record: DiagnosisRecord, now: Callable[[], datetime]) -> None:
        self._record = record
        self._now = now

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

    async def GetDoorDiagnosticsTrend(  # noqa: N802  # gRPC's name
        self,
        request: GetDoorDiagnosticsTrendRequest,
        context: Context,  # noqa: ARG002  # gRPC's signature
    ) -> DoorDiagnosticsTrend:
        """Return how the health of the vehicle's components went."""
        query = translate.trend_query(request, self._now())
        return translate.door_diagnostics_trend(
            request, query, await usecases.read_trend(self._record, query)
        )

"""The public RPC about a case of the call centre, for its agents and for employees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
from ecarus.remotecontrol.door.v1 import case_pb2, case_service_pb2_grpc
from typing_extensions import override

from services.access.adapters.account_states import state_of
from services.access.domain.customer_cases import CaseReader
from services.platform.call import current_call
from services.platform.policy import policy_of
from services.platform.times import shown_time_or_none

if TYPE_CHECKING:
    from ecarus.remotecontrol.door.v1 import case_service_pb2

    from services.access.domain.customer_cases import CaseOverview
    from services.access.usecases.customer_cases import CaseOverviews
    from services.vehicle_models.catalogue import VehicleModels

SERVICE = "ecarus.remotecontrol.door.v1.CaseService"
POLICY = policy_of(SERVICE)
CAPABILITIES_PATH = "/api/v1/remotecontrol/vehicles/{vin}/door/capabilities"

Context = grpc.aio.ServicerContext[Any, Any]


class CaseServicer(case_service_pb2_grpc.CaseServiceServicer):
    """Serves CaseService. The capability says who asks: an agent, where somebody acts for its subject, who is their
    customer; else an employee.
    """

    def __init__(self, overviews: CaseOverviews, models: VehicleModels) -> None:
        self._overviews = overviews
        self._models = models

    def register(self, server: grpc.aio.Server) -> None:
        """Add this servicer to `server`."""
        case_service_pb2_grpc.add_CaseServiceServicer_to_server(self, server)

    @override
    async def GetCase(
        self, request: case_service_pb2.GetCaseRequest, context: Context
    ) -> case_pb2.CaseOverview:
        reader = _reader()
        return self._message(await self._overviews.overview(reader, request.case_number), reader)

    def _message(self, overview: CaseOverview, reader: CaseReader) -> case_pb2.CaseOverview:
        case = overview.case
        return case_pb2.CaseOverview(
            case_number=case.asked.case_number,
            customer=case.asked.customer,
            account=state_of(overview.account),
            opened_by=case.opened_by or None,
            opened_at=shown_time_or_none(case.opened_at),
            vehicles=[
                case_pb2.CaseVehicle(
                    vin=each.vin,
                    model=self._models.of(each.vin).name,
                    role=case_pb2.VehicleRole.Value.Value(each.role.as_told.value),
                    accessible=each.vin == reader.vin,
                    capabilities=CAPABILITIES_PATH.format(vin=each.vin),
                )
                for each in overview.vehicles
            ],
        )


def _reader() -> CaseReader:
    granted = current_call().granted()
    if granted.actor == granted.subject:
        return CaseReader()
    return CaseReader(granted.subject, granted.case, granted.narrowed_to)

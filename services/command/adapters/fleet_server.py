"""FleetFailureService, and FleetReviewService for operators: RPC in, RPC out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ecarus.remotecontrol.access.v1 import fleet_review_service_pb2_grpc as review_stubs
from ecarus.remotecontrol.door.v1 import fleet_failure_service_pb2_grpc as stubs
from google.api.httpbody_pb2 import HttpBody
from typing_extensions import override

from services.command.adapters import failure_table, fleet_table, fleet_translate
from services.command.usecases.fleet import analyse_fleet
from services.platform.policy import policy_of

if TYPE_CHECKING:
    import grpc
    from ecarus.remotecontrol.access.v1 import fleet_review_service_pb2
    from ecarus.remotecontrol.door.v1 import fleet_failure_pb2, fleet_failure_service_pb2

    from services.command.domain.fleet import FleetOverview
    from services.command.usecases.fleet import FleetDependencies

    Context = grpc.aio.ServicerContext[Any, Any]

FLEET_SERVICE = "ecarus.remotecontrol.door.v1.FleetFailureService"
FLEET_REVIEW_SERVICE = "ecarus.remotecontrol.access.v1.FleetReviewService"
FLEET_POLICY = {**policy_of(FLEET_SERVICE), **policy_of(FLEET_REVIEW_SERVICE)}


class FleetFailureServicer(stubs.FleetFailureServiceServicer, review_stubs.FleetReviewServiceServicer):
    """Both services of the contract: who may call is their policies'."""

    def __init__(self, deps: FleetDependencies) -> None:
        self._deps = deps

    def register(self, server: grpc.aio.Server) -> None:
        """Add this servicer to `server`."""
        stubs.add_FleetFailureServiceServicer_to_server(self, server)
        review_stubs.add_FleetReviewServiceServicer_to_server(self, server)

    @override
    async def GetFleetFailures(
        self, request: fleet_failure_service_pb2.GetFleetFailuresRequest, context: Context
    ) -> fleet_failure_pb2.FleetFailures:
        return await self._told(request)

    @override
    async def ReviewFleetFailures(
        self, request: fleet_review_service_pb2.ReviewFleetFailuresRequest, context: Context
    ) -> fleet_failure_pb2.FleetFailures:
        return await self._told(request)

    @override
    async def GetFleetFailuresTable(
        self, request: fleet_failure_service_pb2.GetFleetFailuresTableRequest, context: Context
    ) -> HttpBody:
        data = fleet_table.fleet_csv(await self._overview(request), fleet_translate.language_of(request))
        return HttpBody(content_type=failure_table.CONTENT_TYPE, data=data)

    async def _told(self, request: fleet_translate.FleetRequest) -> fleet_failure_pb2.FleetFailures:
        period, language = fleet_translate.period_of(request), fleet_translate.language_of(request)
        return fleet_translate.fleet_failures(await self._overview(request), period, language)

    async def _overview(self, request: fleet_translate.FleetRequest) -> FleetOverview:
        return await analyse_fleet(self._deps, fleet_translate.fleet_query(request, self._deps.now()))

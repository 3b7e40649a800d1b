"""DoorFailureService: RPC in, RPC out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ecarus.remotecontrol.door.v1 import door_failure_service_pb2_grpc as stubs
from google.api.httpbody_pb2 import HttpBody
from typing_extensions import override

from services.command.adapters import failure_table, failure_translate
from services.command.adapters.translate import viewer_of
from services.command.usecases import failures as usecases
from services.platform.call import current_call
from services.platform.policy import policy_of

if TYPE_CHECKING:
    import grpc
    from ecarus.remotecontrol.door.v1 import door_failure_pb2, door_failure_service_pb2

    from services.command.domain.failures import FailureAnalysis

    Context = grpc.aio.ServicerContext[Any, Any]

FAILURE_SERVICE = "ecarus.remotecontrol.door.v1.DoorFailureService"
FAILURE_POLICY = policy_of(FAILURE_SERVICE)


class DoorFailureServicer(stubs.DoorFailureServiceServicer):
    """DoorFailureService of the contract."""

    def __init__(self, deps: usecases.FailureDependencies) -> None:
        self._deps = deps

    def register(self, server: grpc.aio.Server) -> None:
        """Add this servicer to `server`."""
        stubs.add_DoorFailureServiceServicer_to_server(self, server)

    @override
    async def GetDoorFailures(
        self, request: door_failure_service_pb2.GetDoorFailuresRequest, context: Context
    ) -> door_failure_pb2.DoorFailures:
        analysis = await self._analysis(request)
        period, language = failure_translate.period_of(request), failure_translate.language_of(request)
        return failure_translate.door_failures(analysis, period, language)

    @override
    async def GetDoorFailuresTable(
        self, request: door_failure_service_pb2.GetDoorFailuresTableRequest, context: Context
    ) -> HttpBody:
        analysis = await self._analysis(request)
        data = failure_table.failures_csv(analysis, failure_translate.language_of(request))
        return HttpBody(content_type=failure_table.CONTENT_TYPE, data=data)

    async def _analysis(self, request: failure_translate.FailuresRequest) -> FailureAnalysis:
        query = failure_translate.failure_query(request, viewer_of(current_call()), self._deps.now())
        return await usecases.analyse(self._deps, query)

"""WakeUpService: RPC in, RPC out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
from ecarus.remotecontrol.access.v1 import wake_up_service_pb2 as contract
from ecarus.remotecontrol.access.v1 import wake_up_service_pb2_grpc as stubs
from typing_extensions import override

from services.command.usecases.vehicle_reports import next_wake_up
from services.platform.policy import policy_of
from services.platform.server import ServedApi
from services.platform.times import exact_time

if TYPE_CHECKING:
    from services.command.usecases.ports import CommandDependencies

SERVICE = "ecarus.remotecontrol.access.v1.WakeUpService"
POLICY = policy_of(SERVICE)

Context = grpc.aio.ServicerContext[Any, Any]


class WakeUpServicer(stubs.WakeUpServiceServicer):
    """Says when vehicles may be woken."""

    def __init__(self, deps: CommandDependencies) -> None:
        self._deps = deps

    @override
    async def GetNextWakeUp(
        self, request: contract.GetNextWakeUpRequest, context: Context
    ) -> contract.NextWakeUp:
        at = await next_wake_up(self._deps, request.vin, request.subject, by_owner=request.by_owner)
        return contract.NextWakeUp(at=exact_time(at))


def wake_up_api(deps: CommandDependencies) -> ServedApi:
    """Make the API that the command service's server also serves."""
    servicer = WakeUpServicer(deps)
    return ServedApi(
        SERVICE, POLICY, lambda server: stubs.add_WakeUpServiceServicer_to_server(servicer, server)
    )

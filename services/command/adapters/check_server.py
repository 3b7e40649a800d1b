"""VehicleCheckService: RPC in, RPC out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ecarus.remotecontrol.access.v1 import vehicle_check_service_pb2 as rpc
from ecarus.remotecontrol.access.v1 import vehicle_check_service_pb2_grpc as stubs
from typing_extensions import override

from services.platform.policy import policy_of

if TYPE_CHECKING:
    import grpc

    from services.command.adapters.session_requests import SessionRequests
    from services.command.adapters.wake_ups import VehicleWaker

    Context = grpc.aio.ServicerContext[Any, Any]

CHECK_SERVICE = "ecarus.remotecontrol.access.v1.VehicleCheckService"
CHECK_POLICY = policy_of(CHECK_SERVICE)


class VehicleCheckServicer(stubs.VehicleCheckServiceServicer):
    """VehicleCheckService of the contract."""

    def __init__(self, requests: SessionRequests, waker: VehicleWaker) -> None:
        self._requests = requests
        self._waker = waker

    def register(self, server: grpc.aio.Server) -> None:
        """Add this servicer to `server`."""
        stubs.add_VehicleCheckServiceServicer_to_server(self, server)

    @override
    async def RequestSelfTest(
        self, request: rpc.RequestSelfTestRequest, context: Context
    ) -> rpc.RequestSelfTestResponse:
        sent = await self._requests.ask_self_check(request.vin)
        woken = sent and self._waker.is_asleep(request.vin)
        if woken:
            self._waker.wake_for_check(request.vin)
        return rpc.RequestSelfTestResponse(sent=sent, woken=woken)

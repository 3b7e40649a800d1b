"""Asking vehicles to check themselves, through the service that speaks to them."""

from __future__ import annotations

import grpc
import structlog
from ecarus.remotecontrol.access.v1 import vehicle_check_service_pb2 as contract
from ecarus.remotecontrol.access.v1.vehicle_check_service_pb2_grpc import VehicleCheckServiceStub

from services.platform.channel import ask
from services.platform.logs import masked_id

_SECONDS = 2.5
_log = structlog.get_logger()


class VehicleCheckClient:
    """usecases.AskForCheck over gRPC."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = VehicleCheckServiceStub(channel)

    async def ask(self, vin: str) -> bool:
        """Ask a vehicle to check itself; return whether that is on its way."""
        request = contract.RequestSelfTestRequest(vin=vin)
        try:
            answer = await ask(self._stub.RequestSelfTest, request, seconds=_SECONDS)
        except grpc.aio.AioRpcError as error:
            _log.warning("self_check_not_asked", vin=masked_id(vin), code=error.code().name)
            return False
        return bool(answer.sent)


async def nobody_asks(_: str) -> bool:
    """Return that nothing was asked: where no service that speaks to vehicles is configured."""
    return False

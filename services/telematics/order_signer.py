"""Asking the signer, over gRPC."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import grpc
import structlog
from ecarus.remotecontrol.access.v1 import order_signing_service_pb2 as contract
from ecarus.remotecontrol.access.v1.order_signing_service_pb2_grpc import OrderSigningServiceStub

from services.platform.channel import ask

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ecarus.remotecontrol.vehicle.v1.session_pb2 import RefusedReport

Answer = TypeVar("Answer")

MOST_AT_ONCE = 256
_SECONDS = 2.0
_log = structlog.get_logger()


_ITS_OWN_FAULT = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
    }
)
"""What the signer says of these orders, and not of itself. Asked for each alone it signs the others."""


class SigningError(RuntimeError):
    """The signer cannot deal with something in this request; the text says why."""


class OrderSigningClient:
    """OrderSigningService as services use it: None when nobody can sign now.

    Raises SigningError when it is the request's own fault.
    """

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = OrderSigningServiceStub(channel)

    async def sign(self, orders: Sequence[contract.OrderToSign]) -> list[contract.SigningAnswer] | None:
        """Return one answer for each, in order."""
        if not orders:
            return []
        try:
            answer = await ask(
                self._stub.SignOrders, contract.SignOrdersRequest(orders=orders), seconds=_SECONDS
            )
        except grpc.aio.AioRpcError as error:
            _nobody(error)
            return None
        return _one_each(answer.answers, len(orders))

    async def review(
        self, orders: Sequence[contract.RequestedOrder]
    ) -> list[contract.SigningVerdict.ValueType] | None:
        """Return whether each would be signed now, in order; at most MOST_AT_ONCE."""
        try:
            answer = await self._stub.ReviewOrders(
                contract.ReviewOrdersRequest(orders=orders), timeout=_SECONDS
            )
        except grpc.aio.AioRpcError as error:
            _nobody(error)
            return None
        return _one_each(answer.verdicts, len(orders))

    async def sign_session_requests(
        self,
        challenges: Sequence[tuple[str, bytes]],
        refused: Sequence[RefusedReport] = (),
        *,
        self_check: bool = False,
    ) -> list[bytes] | None:
        """Return the envelope of a session request for each (VIN, challenge), in order; empty for one asked too often.

        `refused` is what each of these vehicles is told besides; `self_check` asks it to check itself.
        """
        request = contract.SignSessionRequestsRequest()
        for vin, challenge in challenges:
            request.challenges.add(vin=vin, challenge=challenge, refused=refused, self_check=self_check)
        try:
            answer = await ask(self._stub.SignSessionRequests, request, seconds=_SECONDS)
        except grpc.aio.AioRpcError as error:
            _nobody(error)
            return None
        return _one_each(answer.envelopes, len(challenges))


def _nobody(error: grpc.aio.AioRpcError) -> None:
    """Raise SigningError."""
    if error.code() in _ITS_OWN_FAULT:
        raise SigningError(f"{error.code().name}: {error.details()}") from error
    _log.warning("nobody_signs", code=error.code().name, detail=error.details())


def _one_each(answers: Sequence[Answer], expected: int) -> list[Answer] | None:
    if len(answers) != expected:
        _log.error("nobody_signs", code="WRONG_COUNT", detail=f"{len(answers)} answers for {expected}")
        return None
    return list(answers)

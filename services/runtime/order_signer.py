"""Asking the signer, which alone holds the key, for signatures."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import grpc
import structlog
from ecarus.remotecontrol.access.v1 import order_signing_service_pb2 as contract
from ecarus.remotecontrol.access.v1.order_signing_service_pb2_grpc import OrderSigningServiceStub

from services.runtime.validation import violations_of

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T")

AT_ONCE = 256
"""The most orders, or session requests, in one question."""
_ANSWER_SECONDS = 2.0
_log = structlog.get_logger()


class OrderSigner:
    """The signer's RPCs, each with its deadline."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = OrderSigningServiceStub(channel)

    async def sign(self, orders: Sequence[contract.OrderToSign]) -> list[contract.SigningAnswer] | None:
        """One answer per order (at most AT_ONCE), in order; None when nobody can sign now.

        An order that is none by the contract's rules is NOT_PROVEN, and keeps no other from being signed.
        """
        if not orders:
            return []
        try:
            return await self._sign(orders)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.INVALID_ARGUMENT:
                _log_unsigned(error)
                return None
        return await self._sign_the_valid(orders)

    async def sign_session_requests(self, challenges: Sequence[tuple[str, bytes]]) -> list[bytes] | None:
        """The envelope for each (VIN, challenge) (at most AT_ONCE), in order; None when nobody can sign now."""
        if not challenges:
            return []
        request = contract.SignSessionRequestsRequest()
        for vin, challenge in challenges:
            request.challenges.add(vin=vin, challenge=challenge)
        try:
            answer = await self._stub.SignSessionRequests(request, timeout=_ANSWER_SECONDS)
        except grpc.aio.AioRpcError as error:
            _log_unsigned(error)
            return None
        return _as_many(list(answer.envelopes), len(challenges))

    async def _sign(self, orders: Sequence[contract.OrderToSign]) -> list[contract.SigningAnswer] | None:
        request = contract.SignOrdersRequest(orders=orders)
        answer = await self._stub.SignOrders(request, timeout=_ANSWER_SECONDS)
        return _as_many(list(answer.answers), len(orders))

    async def _sign_the_valid(
        self, orders: Sequence[contract.OrderToSign]
    ) -> list[contract.SigningAnswer] | None:
        """Looking at each costs more than signing it, so it is only done after the signer has complained."""
        valid = [not violations_of(order, None) for order in orders]
        if all(valid):
            _log.error("signing_refused", reason="the signer finds fault where the contract does not")
            return None
        _log.error("orders_unsignable", count=valid.count(False))
        signed: list[contract.SigningAnswer] | None = []
        if any(valid):
            try:
                signed = await self._sign([order for order, fine in zip(orders, valid, strict=True) if fine])
            except grpc.aio.AioRpcError as error:
                _log_unsigned(error)
                return None
        if signed is None:
            return None
        answers = iter(signed)
        not_proven = contract.SigningAnswer(verdict=contract.SIGNING_VERDICT_NOT_PROVEN)
        return [next(answers) if fine else not_proven for fine in valid]


def _log_unsigned(error: grpc.aio.AioRpcError) -> None:
    _log.warning("nobody_signs", code=error.code().name, detail=error.details())


def _as_many(answers: list[T], count: int) -> list[T] | None:
    if len(answers) == count:
        return answers
    _log.error("signing_answers_miscounted", answers=len(answers), asked=count)
    return None

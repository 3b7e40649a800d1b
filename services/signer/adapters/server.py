"""OrderSigningService: RPC in, RPC out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import structlog
from ecarus.remotecontrol.access.v1 import order_signing_service_pb2 as contract
from ecarus.remotecontrol.access.v1.order_signing_service_pb2_grpc import (
    OrderSigningServiceServicer,
    add_OrderSigningServiceServicer_to_server,
)
from typing_extensions import override

from protocol.signing import sign_session_request
from services.platform.call import current_call
from services.platform.clock import CLOCK
from services.platform.logs import masked_id
from services.platform.policy import policy_of
from services.signer import usecases
from services.signer.adapters import translate
from services.signer.adapters.bounds import CounterBound, RequestBound
from services.signer.domain import SigningOutcome

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    import grpc

    from protocol.keys import Signer
    from services.platform.capability import CapabilityVerifier
    from services.signer.usecases import EvidencedOrder, OrderSigner, Rights
    from services.telematics.order_mac import OrderMac

    Context = grpc.aio.ServicerContext[Any, Any]

SERVICE = "ecarus.remotecontrol.access.v1.OrderSigningService"
POLICY = policy_of(SERVICE)
_log = structlog.get_logger()


class OrderSigningServicer(OrderSigningServiceServicer):
    """Serves the contract of the same name."""

    def __init__(
        self,
        rights: Rights,
        order_signer: OrderSigner[contract.OrderToSign],
        signer: Signer,
        verifier: CapabilityVerifier,
        mac: OrderMac,
        now: Callable[[], datetime],
        monotonic: Callable[[], float] = CLOCK.monotonic,
    ) -> None:
        self._rights = rights
        self._order_signer = order_signer
        self._signer = signer
        self._verifier = verifier
        self._mac = mac
        self._now = now
        self._monotonic = monotonic
        self._counters = CounterBound()
        self._requests = RequestBound()

    def register(self, server: grpc.aio.Server) -> None:
        """Add this servicer to `server`."""
        add_OrderSigningServiceServicer_to_server(self, server)

    @override
    async def SignOrders(
        self,
        request: contract.SignOrdersRequest,
        context: Context,
    ) -> contract.SignOrdersResponse:
        peer = current_call().peer
        requests = [self._bounded(order, peer) for order in request.orders]
        answers = await usecases.sign_orders(self._rights, self._order_signer, requests, self._now)
        for asked, answer in zip(requests, answers, strict=True):
            if answer.verdict is SigningOutcome.NOT_PROVEN:
                # Nobody asked for it: a service's record was forged, or a service is not what it was.
                _log.error("order_not_proven", vin=masked_id(asked.order.requested.vin), peer=peer)
            elif answer.verdict is SigningOutcome.SIGNED:
                self._counters.signed(*_slot(asked.order))
        return contract.SignOrdersResponse(answers=map(translate.answer_message, answers))

    def _bounded(self, order: contract.OrderToSign, peer: str) -> EvidencedOrder[contract.OrderToSign]:
        if not self._counters.admits(*_slot(order)):
            _log.error("counter_out_of_bounds", vin=masked_id(order.requested.vin), peer=peer)
            return usecases.EvidencedOrder(order, None, None)
        return translate.request_of(order, peer, self._verifier, self._mac)

    @override
    async def ReviewOrders(
        self,
        request: contract.ReviewOrdersRequest,
        context: Context,
    ) -> contract.ReviewOrdersResponse:
        peer = current_call().peer
        requests = [translate.requested_of(each, peer, self._verifier, self._mac) for each in request.orders]
        return translate.review_message(await usecases.review_orders(self._rights, requests, self._now))

    @override
    async def SignSessionRequests(
        self,
        request: contract.SignSessionRequestsRequest,
        context: Context,
    ) -> contract.SignSessionRequestsResponse:
        at = self._monotonic()
        envelopes = [
            sign_session_request(
                self._signer, each.vin, each.challenge, each.refused, self_check=each.self_check
            )
            if self._requests.takes(each.vin, at)
            else b""
            for each in request.challenges
        ]
        return contract.SignSessionRequestsResponse(envelopes=envelopes)


def _slot(order: contract.OrderToSign) -> tuple[str, bytes, str, int]:
    return order.requested.vin, order.epoch, order.requested.WhichOneof("order") or "", order.counter

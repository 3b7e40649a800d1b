"""OrderSigningService: RPC in, RPC out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import structlog
from ecarus.remotecontrol.access.v1 import order_signing_service_pb2 as contract
from ecarus.remotecontrol.access.v1.order_signing_service_pb2_grpc import OrderSigningServiceServicer

from protocol.signing import sign_session_request
from services.runtime.call import current_call
from services.runtime.logs import masked_vin
from services.runtime.policy import Policy, between_rooms
from services.signer import translate, usecases
from services.signer.domain import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    import grpc

    from protocol.keys import Signer
    from services.runtime.capability import CapabilityVerifier
    from services.runtime.order_mac import OrderMac
    from services.signer.usecases import Pen, Rights

    Context = grpc.aio.ServicerContext[Any, Any]

SERVICE = "ecarus.remotecontrol.access.v1.OrderSigningService"
POLICY: Policy = {
    f"/{SERVICE}/SignOrders": between_rooms("command", "config"),
    f"/{SERVICE}/SignSessionRequests": between_rooms("command"),
}
_log = structlog.get_logger()


class OrderSigningServicer(OrderSigningServiceServicer):
    """Serves the contract of the same name."""

    def __init__(
        self,
        rights: Rights,
        pen: Pen[contract.OrderToSign],
        signer: Signer,
        verifier: CapabilityVerifier,
        mac: OrderMac,
        now: Callable[[], datetime],
    ) -> None:
        self._rights = rights
        self._pen = pen
        self._signer = signer
        self._verifier = verifier
        self._mac = mac
        self._now = now

    async def SignOrders(  # noqa: N802  # the contract's name
        self,
        request: contract.SignOrdersRequest,
        context: Context,  # noqa: ARG002  # gRPC's signature
    ) -> contract.SignOrdersResponse:
        """See the contract."""
        requests = [translate.request_of(order, self._verifier, self._mac) for order in request.orders]
        answers = await usecases.sign_orders(self._rights, self._pen, requests, self._now)
        for asked, answer in zip(requests, answers, strict=True):
            if answer.verdict is Verdict.NOT_PROVEN:
                # Nobody asked for it: a room's record was forged, or a room is not what it was.
                _log.error(
                    "order_not_proven", vin=masked_vin(asked.order.requested.vin), peer=current_call().peer
                )
        return contract.SignOrdersResponse(answers=map(translate.answer_message, answers))

    async def SignSessionRequests(  # noqa: N802  # the contract's name
        self,
        request: contract.SignSessionRequestsRequest,
        context: Context,  # noqa: ARG002  # gRPC's signature
    ) -> contract.SignSessionRequestsResponse:
        """See the contract."""
        envelopes = [
            sign_session_request(self._signer, each.vin, each.challenge) for each in request.challenges
        ]
        return contract.SignSessionRequestsResponse(envelopes=envelopes)

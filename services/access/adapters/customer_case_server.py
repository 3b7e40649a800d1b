"""The RPCs about the call centre's cases, for its own system and for operators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
from ecarus.remotecontrol.access.v1 import (
    customer_case_pb2,
    customer_case_service_pb2,
    customer_case_service_pb2_grpc,
)
from typing_extensions import override

from services.access.domain.customer_cases import NewCase
from services.platform.call import current_call
from services.platform.policy import policy_of
from services.platform.times import shown_time_or_none

if TYPE_CHECKING:
    from services.access.domain.customer_cases import CustomerCase
    from services.access.usecases.customer_cases import CustomerCases

SERVICE = "ecarus.remotecontrol.access.v1.CustomerCaseService"
POLICY = policy_of(SERVICE)

Context = grpc.aio.ServicerContext[Any, Any]


class CustomerCaseServicer(customer_case_service_pb2_grpc.CustomerCaseServiceServicer):
    """Serves CustomerCaseService."""

    def __init__(self, cases: CustomerCases) -> None:
        self._cases = cases

    def register(self, server: grpc.aio.Server) -> None:
        """Add this servicer to `server`."""
        customer_case_service_pb2_grpc.add_CustomerCaseServiceServicer_to_server(self, server)

    @override
    async def OpenCase(
        self, request: customer_case_service_pb2.OpenCaseRequest, context: Context
    ) -> customer_case_pb2.CustomerCase:
        new = NewCase(request.case_number, request.customer, request.vin)
        return _message(await self._cases.open(new, by=current_call().peer))

    @override
    async def CloseCase(
        self, request: customer_case_service_pb2.CloseCaseRequest, context: Context
    ) -> customer_case_pb2.CustomerCase:
        return _message(await self._cases.close(request.case_number, by=current_call().peer))

    @override
    async def ListCases(
        self, request: customer_case_service_pb2.ListCasesRequest, context: Context
    ) -> customer_case_service_pb2.ListCasesResponse:
        cases = await self._cases.listed(open_only=request.open_only, customer=request.customer)
        return customer_case_service_pb2.ListCasesResponse(cases=map(_message, cases))


def _message(case: CustomerCase) -> customer_case_pb2.CustomerCase:
    return customer_case_pb2.CustomerCase(
        case_number=case.asked.case_number,
        customer=case.asked.customer,
        vin=case.asked.vin,
        opened_by=case.opened_by,
        opened_at=shown_time_or_none(case.opened_at),
        closed_by=case.closed_by,
        closed_at=shown_time_or_none(case.closed_at),
    )

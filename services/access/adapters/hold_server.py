"""The RPCs about legal holds, for operators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
from ecarus.remotecontrol.access.v1 import legal_hold_service_pb2 as contract
from ecarus.remotecontrol.access.v1 import legal_hold_service_pb2_grpc as stubs
from typing_extensions import override

from services.access.adapters import grant_translate
from services.access.domain.holds import (
    HeldNothingError,
    HoldConflictError,
    HoldUnknownError,
    NewHold,
    TooManyHoldsError,
)
from services.platform import errors
from services.platform.call import current_call
from services.platform.errors import Refusal, Violation
from services.platform.legal_holds import MOST_HOLDS
from services.platform.policy import policy_of
from services.platform.times import shown_time, shown_time_or_none

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.access.domain.holds import HoldDecision
    from services.access.usecases.holds import LegalHoldDecisions

SERVICE = "ecarus.remotecontrol.access.v1.LegalHoldService"
POLICY = policy_of(SERVICE)

Context = grpc.aio.ServicerContext[Any, Any]


class LegalHoldServicer(stubs.LegalHoldServiceServicer):
    """Serves LegalHoldService."""

    def __init__(self, holds: LegalHoldDecisions) -> None:
        self._holds = holds

    def register(self, server: grpc.aio.Server) -> None:
        """Add this servicer to `server`."""
        stubs.add_LegalHoldServiceServicer_to_server(self, server)

    @override
    async def SetLegalHold(
        self, request: contract.SetLegalHoldRequest, context: Context
    ) -> contract.LegalHold:
        grant_translate.check_text("reason", request.reason, grant_translate.MOST_EVIDENCE)
        new = NewHold(request.hold_id, request.vin, request.person, request.reason)
        return _message(*await self._holds.set(new, by=current_call().peer))

    @override
    async def LiftLegalHold(
        self, request: contract.LiftLegalHoldRequest, context: Context
    ) -> contract.LegalHold:
        return _message(*await self._holds.lift(request.hold_id, by=current_call().peer))

    @override
    async def ListLegalHolds(
        self, request: contract.ListLegalHoldsRequest, context: Context
    ) -> contract.ListLegalHoldsResponse:
        return contract.ListLegalHoldsResponse(
            holds=[_message(each, ()) for each in await self._holds.listed()]
        )


def refusal_of(error: Exception) -> Refusal | None:
    """Return how what is wrong about holds is told; None for what is not about them."""
    if isinstance(error, HoldUnknownError):
        return Refusal(errors.REASONS["HOLD_NOT_FOUND"], "There is no hold of this id in force: list them.")
    if isinstance(error, HoldConflictError):
        return Refusal(
            errors.CORRELATION_ID_REUSED,
            "A hold of this id is on something else, or is over; use another id.",
        )
    if isinstance(error, TooManyHoldsError):
        return Refusal(
            errors.REASONS["TOO_MANY_HOLDS"],
            f"{MOST_HOLDS} holds are in force, and this one would keep nothing; lift one that is not needed any more.",
        )
    if isinstance(error, HeldNothingError):
        return Refusal(
            errors.INVALID_REQUEST,
            "A hold is on a vehicle or on a person.",
            violations=[Violation("vin", "exactly one of vin and person")],
        )
    return None


def _message(decision: HoldDecision, untold: Sequence[str]) -> contract.LegalHold:
    asked = decision.asked
    return contract.LegalHold(
        hold_id=asked.hold_id,
        vin=asked.vin,
        person=asked.person,
        reason=asked.reason,
        requested_by=decision.requested_by,
        requested_at=shown_time(decision.requested_at),
        approved_by=decision.approved_by,
        set_at=shown_time_or_none(decision.set_at),
        lift_requested_by=decision.lift_requested_by,
        lift_requested_at=shown_time_or_none(decision.lift_requested_at),
        lifted_by=decision.lifted_by,
        lifted_at=shown_time_or_none(decision.lifted_at),
        untold_services=untold,
    )

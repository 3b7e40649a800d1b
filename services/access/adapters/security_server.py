"""The public RPCs about what is abnormal about people's access, for employees and agents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
from ecarus.remotecontrol.door.v1 import security_case_pb2, security_case_service_pb2_grpc
from typing_extensions import override

from services.access.adapters import grant_translate
from services.access.adapters.account_states import state_of
from services.access.domain import watching
from services.access.domain.abnormal import Consequence
from services.access.usecases.grants import lock_account
from services.platform import errors
from services.platform.call import current_call
from services.platform.errors import Refusal
from services.platform.policy import policy_of
from services.platform.times import shown_time_or_none

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from ecarus.remotecontrol.door.v1 import security_case_service_pb2

    from services.access.domain.abnormal import AbnormalCase
    from services.access.domain.accounts import Account
    from services.access.usecases.abnormal import AbnormalAccess
    from services.access.usecases.grants import AccountRecord, InvalidateCaches

SERVICE = "ecarus.remotecontrol.door.v1.SecurityCaseService"
POLICY = policy_of(SERVICE)
_MOST_NAME = 128
_MOST_TIMES = 2**31 - 1

Context = grpc.aio.ServicerContext[Any, Any]


class SecurityCaseServicer(security_case_service_pb2_grpc.SecurityCaseServiceServicer):
    """Serves SecurityCaseService. The capability says who asks: an agent, where somebody acts for its subject, who is
    their customer; else an employee.
    """

    def __init__(
        self,
        abnormal: AbnormalAccess,
        record: AccountRecord,
        invalidate: InvalidateCaches,
        now: Callable[[], datetime],
    ) -> None:
        self._abnormal = abnormal
        self._record = record
        self._invalidate = invalidate
        self._now = now

    def register(self, server: grpc.aio.Server) -> None:
        """Add this servicer to `server`."""
        security_case_service_pb2_grpc.add_SecurityCaseServiceServicer_to_server(self, server)

    @override
    async def ListSecurityCases(
        self, request: security_case_service_pb2.ListSecurityCasesRequest, context: Context
    ) -> security_case_pb2.SecurityCaseList:
        _, customer = _who()
        cases = await self._abnormal.cases(open_only=request.open_only, principal=customer)
        return security_case_pb2.SecurityCaseList(cases=map(_case_message, cases))

    @override
    async def AcknowledgeSecurityCase(
        self, request: security_case_service_pb2.AcknowledgeSecurityCaseRequest, context: Context
    ) -> security_case_pb2.SecurityCase:
        by, customer = _who()
        case = await self._abnormal.acknowledge(request.case_id, by=by, principal=customer)
        return _case_message(case)

    @override
    async def RestrictPrincipal(
        self, request: security_case_service_pb2.RestrictPrincipalRequest, context: Context
    ) -> security_case_pb2.PrincipalStanding:
        by, customer = _who()
        stop = _checked(request.stop)
        if customer and stop.principal != customer:
            raise Refusal(
                errors.ACTION_NOT_GRANTED,
                "An agent restricts the account of their customer, and nobody else's.",
            )
        return _standing(await self._abnormal.restrict(stop.principal, stop.reason, by=by))

    @override
    async def LockPrincipal(
        self, request: security_case_service_pb2.LockPrincipalRequest, context: Context
    ) -> security_case_pb2.PrincipalStanding:
        by, _ = _who()
        stop = _checked(request.stop)
        account = await lock_account(
            self._record, self._invalidate, stop.principal, stop.reason, by=by, at=self._now()
        )
        return _standing(account)

    @override
    async def RestorePrincipal(
        self, request: security_case_service_pb2.RestorePrincipalRequest, context: Context
    ) -> security_case_pb2.PrincipalStanding:
        by, _ = _who()
        return _standing(await self._abnormal.restore_as_operator(request.restoration.principal, by=by))


def _who() -> tuple[str, str]:
    """Return the name of who asks for the record, and the customer beyond whom they see and do nothing; empty for an
    employee.
    """
    granted = current_call().granted()
    if granted.actor != granted.subject:
        return watching.agent_name(granted.actor, _MOST_NAME), granted.subject
    return watching.employee_name(granted.subject), ""


def _checked(stop: security_case_pb2.PrincipalStop) -> security_case_pb2.PrincipalStop:
    """Return it. Raises Refusal INVALID_REQUEST."""
    grant_translate.check_text("reason", stop.reason, grant_translate.MOST_EVIDENCE)
    return stop


def _case_message(case: AbnormalCase) -> security_case_pb2.SecurityCase:
    return security_case_pb2.SecurityCase(
        case_id=case.case_id,
        kind=case.finding.kind.value,
        principal=case.finding.principal,
        evidence=case.finding.evidence,
        restricted=case.finding.consequence is Consequence.RESTRICT,
        raised_at=shown_time_or_none(case.raised_at),
        acknowledged_by=case.acknowledged_by,
        acknowledged_at=shown_time_or_none(case.acknowledged_at),
        times=min(case.times, _MOST_TIMES),
    )


def _standing(account: Account) -> security_case_pb2.PrincipalStanding:
    return security_case_pb2.PrincipalStanding(
        principal=account.principal,
        state=state_of(account),
        restricted_at=shown_time_or_none(account.restricted_at),
        restriction_reason=account.restriction_reason,
        locked_at=shown_time_or_none(account.locked_at),
        lock_reason=account.reason,
        restore_requested_by=account.restore_requested_by,
    )

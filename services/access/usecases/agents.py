"""What agents may do only together, and what owners are told of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from services.access.domain.agents import AgentAct, EmergencyApproval, check_approval

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from services.access.domain.accounts import Caller


class AgentRecord(Protocol):
    """Where it is kept. Every method may raise StorageUnavailableError."""

    async def approve(self, approval: EmergencyApproval) -> None:
        """Keep it, with its audit row and what owners are told."""

    async def is_approved(self, vin: str, subject: str, agent: str, case: str, *, at: datetime) -> bool:
        """Return whether another agent approved an emergency of this one not long ago."""

    async def notify(self, act: AgentAct) -> None:
        """Tell owners of what an agent asks for, once for each call, with its audit row."""


class AgentSupervision:
    """Looks after agents; of nobody else's requests it does anything."""

    def __init__(self, record: AgentRecord, now: Callable[[], datetime]) -> None:
        self._record = record
        self._now = now

    async def approve_emergency(
        self, vin: str, subject: str, case: str, *, approver: str, agent: str
    ) -> EmergencyApproval:
        """Let another agent of the same case unlock in an emergency. Raises NotAnotherAgentError."""
        approval = EmergencyApproval(vin, subject, agent, case, approver, self._now())
        check_approval(approval)
        await self._record.approve(approval)
        return approval

    async def may_unlock_in_emergency(self, caller: Caller, vin: str) -> bool:
        """Return whether another agent has approved it."""
        return await self._record.is_approved(vin, caller.subject, caller.actor, caller.case, at=self._now())

    async def note(self, caller: Caller, vin: str, what: str) -> None:
        """Tell the vehicle's owners what an agent asks for."""
        await self._record.notify(AgentAct(vin, caller.subject, caller.actor, caller.case, what, self._now()))

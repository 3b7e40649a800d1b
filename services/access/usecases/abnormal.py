"""Abnormal access: what is found is kept and may restrict an account; operators look at it; people prove themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from services.access.domain.abnormal import AbnormalCase, AbnormalWatch, AccessSignal, Finding
    from services.access.domain.grants import Account
    from services.access.domain.sharing import Giver
    from services.access.usecases.grants import InvalidateCaches

WATCH = "abnormal-access"
"""Who restricts an account in the audit record where a rule did."""


class AbnormalRecord(Protocol):
    """Where findings and restrictions are kept. Every method may raise StorageUnavailableError."""

    async def keep(self, finding: Finding, *, by: str, at: datetime) -> AbnormalCase:
        """Keep what was found, restrict the account where that follows, and tell owners, in one commit."""

    async def cases(self, *, open_only: bool) -> list[AbnormalCase]:
        """Return what was found, what restricted an account first, then newest first."""

    async def acknowledge(self, case_id: str, *, by: str, at: datetime) -> AbnormalCase:
        """Note that an operator has looked at it. Raises GrantHiddenError."""

    async def restrict(self, principal: str, reason: str, *, by: str, at: datetime) -> Account:
        """Restrict an account, and tell owners."""

    async def restore(self, principal: str, *, by: str, at: datetime) -> Account:
        """Lift a restriction, and tell owners."""

    async def ask_to_restore(self, principal: str, *, by: str, at: datetime) -> Account:
        """Keep which operator has asked first; return the account with whoever that is."""


class AbnormalAccess:
    """Watches how access is used, and what follows."""

    def __init__(
        self,
        record: AbnormalRecord,
        watch: AbnormalWatch,
        invalidate: InvalidateCaches,
        now: Callable[[], datetime],
    ) -> None:
        self._record = record
        self._watch = watch
        self._invalidate = invalidate
        self._now = now

    async def look_at(self, signals: Iterable[AccessSignal]) -> None:
        """Keep what these requests make abnormal. Raises StorageUnavailableError: then it is not kept."""
        for signal in signals:
            for finding in self._watch.observe(signal):
                try:
                    await self._record.keep(finding, by=WATCH, at=self._now())
                finally:
                    if finding.restricts:
                        self._invalidate(principal=finding.principal)

    async def cases(self, *, open_only: bool) -> list[AbnormalCase]:
        """Return what was found, what restricted an account first, then newest first."""
        return await self._record.cases(open_only=open_only)

    async def acknowledge(self, case_id: str, *, by: str) -> AbnormalCase:
        """Note that an operator has looked at it. Raises GrantHiddenError."""
        return await self._record.acknowledge(case_id, by=by, at=self._now())

    async def restrict(self, principal: str, reason: str, *, by: str) -> Account:
        """Restrict an account: it reads and locks, and nothing else."""
        try:
            return await self._record.restrict(principal, reason, by=by, at=self._now())
        finally:
            self._invalidate(principal=principal)

    async def restore_as_operator(self, principal: str, *, by: str) -> Account:
        """Lift a restriction, if another operator has asked for it before; else keep that this one has."""
        account = await self._record.ask_to_restore(principal, by=by, at=self._now())
        if account.restricted_at is None or account.restore_requested_by == by:
            return account
        return await self._restored(principal, by)

    async def restore_own(self, giver: Giver) -> Account:
        """Lift the restriction of who has just proven to be themselves. Raises ByAgentError."""
        giver.check()
        return await self._restored(giver.subject, giver.subject)

    async def _restored(self, principal: str, by: str) -> Account:
        try:
            return await self._record.restore(principal, by=by, at=self._now())
        finally:
            self._invalidate(principal=principal)

"""Abnormal access: what is found is kept and may restrict an account; operators look at it; people prove themselves."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from services.access.domain.abnormal import AbnormalCase, AbnormalWatch, AccessSignal, Finding
    from services.access.domain.accounts import Account
    from services.access.domain.sharing import Giver
    from services.access.usecases.grants import InvalidateCaches

WATCH = "abnormal-access"
"""Who restricts an account in the audit record where a rule did."""
MOST_UNKEPT = 1_000
"""So many findings wait for a store that is away; the oldest make room."""
_SIGNALS_AT_ONCE = 200
"""Of the requests that are looked at before others on the event loop have their turn."""


class AbnormalRecord(Protocol):
    """Where findings and restrictions are kept. Every method may raise StorageUnavailableError."""

    async def keep(self, finding: Finding, *, by: str, at: datetime) -> AbnormalCase:
        """Keep what was found, restrict the account where that follows, and tell owners, in one commit."""

    async def cases(self, *, open_only: bool, principal: str = "") -> list[AbnormalCase]:
        """Return what was found (of this account), what restricted an account first, then newest first."""

    async def acknowledge(self, case_id: str, *, by: str, at: datetime, principal: str = "") -> AbnormalCase:
        """Note that somebody has looked at it. Raises CaseUnknownError, also where it is not of this account."""

    async def restrict(self, principal: str, reason: str, *, by: str, at: datetime) -> Account:
        """Restrict an account, and tell owners."""

    async def restore(self, principal: str, *, by: str, at: datetime) -> Account:
        """Lift a restriction, and tell owners."""

    async def restore_as_second(self, principal: str, *, by: str, at: datetime, alone: bool) -> Account:
        """Lift a restriction and a lock and tell owners, if another operator has asked before, or `alone`; else keep
        that this one has.

        Both in one commit: what was asked of one restriction or lock does not lift the next.
        """


class AbnormalAccess:
    """Watches how access is used, and what follows. `lost` hears of how many findings could not be kept."""

    def __init__(
        self,
        record: AbnormalRecord,
        watch: AbnormalWatch,
        invalidate: InvalidateCaches,
        now: Callable[[], datetime],
        lost: Callable[[int], None],
    ) -> None:
        self._record = record
        self._watch = watch
        self._invalidate = invalidate
        self._now = now
        self._lost = lost
        self._unkept: deque[Finding] = deque()

    async def look_at(self, signals: Iterable[AccessSignal]) -> None:
        """Keep what these requests make abnormal, and what was not kept before. Raises StorageUnavailableError: then
        the next call tries again, also without new requests, because a rule finds the same only once in its time.
        """
        for number, signal in enumerate(signals, 1):
            self._unkept.extend(self._watch.observe(signal))
            if number % _SIGNALS_AT_ONCE == 0:
                await asyncio.sleep(0)
        self._drop_oldest()
        while self._unkept:
            finding = self._unkept[0]
            try:
                await self._record.keep(finding, by=WATCH, at=self._now())
            finally:
                if finding.restricts:
                    self._invalidate(principal=finding.principal)
            self._unkept.popleft()

    def _drop_oldest(self) -> None:
        dropped = max(len(self._unkept) - MOST_UNKEPT, 0)
        for _ in range(dropped):
            self._unkept.popleft()
        if dropped:
            self._lost(dropped)

    async def cases(self, *, open_only: bool, principal: str = "") -> list[AbnormalCase]:
        """Return what was found (of this account), what restricted an account first, then newest first."""
        return await self._record.cases(open_only=open_only, principal=principal)

    async def acknowledge(self, case_id: str, *, by: str, principal: str = "") -> AbnormalCase:
        """Note that somebody has looked at it. Raises CaseUnknownError, also where it is not of this account."""
        return await self._record.acknowledge(case_id, by=by, at=self._now(), principal=principal)

    async def restrict(self, principal: str, reason: str, *, by: str) -> Account:
        """Restrict an account: it reads and locks, and nothing else."""
        try:
            return await self._record.restrict(principal, reason, by=by, at=self._now())
        finally:
            self._invalidate(principal=principal)

    async def restore_as_operator(self, principal: str, *, by: str, alone: bool = False) -> Account:
        """Lift a restriction and a lock, if another operator has asked for it before, or `alone`; else keep that this
        one has.
        """
        try:
            return await self._record.restore_as_second(principal, by=by, at=self._now(), alone=alone)
        finally:
            self._invalidate(principal=principal)

    async def restore_own(self, giver: Giver) -> Account:
        """Lift the restriction of who has just proven to be themselves. Raises ByAgentError."""
        giver.check()
        try:
            return await self._record.restore(giver.subject, by=giver.subject, at=self._now())
        finally:
            self._invalidate(principal=giver.subject)

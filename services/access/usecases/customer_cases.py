"""The call centre's cases: opened and closed by its own system, and asked about for each of an agent's requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from services.access.domain.customer_cases import CaseOverview, CaseRule, case_for, check_open

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from services.access.domain.accounts import Account, Caller
    from services.access.domain.customer_cases import CaseReader, CaseVehicle, CustomerCase, NewCase


class CaseRecord(Protocol):
    """Where cases are kept. Every method may raise StorageUnavailableError."""

    async def open(self, new: NewCase, *, by: str, at: datetime) -> CustomerCase:
        """Keep it, with its audit row. The same again answers with what is kept; else CaseConflictError."""

    async def close(self, case_number: str, *, by: str, at: datetime) -> CustomerCase:
        """Close it, known or not, with its audit row and the message to the other services."""

    async def listed(self, *, open_only: bool, customer: str) -> list[CustomerCase]:
        """Return cases, those that were opened last first."""

    async def find(self, case_number: str) -> CustomerCase | None:
        """Return what is kept under this number, as of some seconds ago at most."""

    async def customer(
        self, customer: str, vin: str, *, at: datetime
    ) -> tuple[Account, Sequence[CaseVehicle]]:
        """Return the customer's account, and the vehicles on which they have a right now, by VIN, MOST_VEHICLES at
        most; with a `vin` that one alone.
        """

    def invalidate(self) -> None:
        """Remember nothing of cases."""


class CustomerCases:
    """What is asked of cases. `invalidate` makes this process remember nothing of cases."""

    def __init__(
        self,
        record: CaseRecord,
        invalidate: Callable[[], None],
        now: Callable[[], datetime],
    ) -> None:
        self._record = record
        self._invalidate = invalidate
        self._now = now

    async def open(self, new: NewCase, *, by: str) -> CustomerCase:
        """Open a case. Raises CaseConflictError."""
        try:
            return await self._record.open(new, by=by, at=self._now())
        finally:
            self._invalidate()

    async def close(self, case_number: str, *, by: str) -> CustomerCase:
        """Close a case: when this returns, this process lets no agent through because of it."""
        try:
            return await self._record.close(case_number, by=by, at=self._now())
        finally:
            # Also when the answer got lost: it may be closed all the same.
            self._invalidate()

    async def listed(self, *, open_only: bool, customer: str) -> list[CustomerCase]:
        """Return cases, those that were opened last first."""
        return await self._record.listed(open_only=open_only, customer=customer)


class CaseCheck:
    """Whether an agent's case is open: of nobody else's requests it does anything."""

    def __init__(self, record: CaseRecord, rule: CaseRule) -> None:
        self._record = record
        self._rule = rule

    async def check(self, caller: Caller) -> None:
        """Raise CaseNotOpenError unless the agent may act because of its case."""
        check_open(await self._record.find(caller.case), caller, self._rule)

    def invalidate(self) -> None:
        """Remember nothing of cases."""
        self._record.invalidate()


class CaseOverviews:
    """A case as who works on it sees it."""

    def __init__(self, record: CaseRecord, rule: CaseRule, now: Callable[[], datetime]) -> None:
        self._record = record
        self._rule = rule
        self._now = now

    async def overview(self, reader: CaseReader, case_number: str) -> CaseOverview:
        """Return the case with its customer's account and vehicles. Raises CustomerCaseUnknownError."""
        case = case_for(reader, case_number, await self._record.find(case_number), self._rule)
        account, vehicles = await self._record.customer(case.asked.customer, case.asked.vin, at=self._now())
        return CaseOverview(case, account, vehicles)

"""The call centre's cases as they are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select, update

from services.access.adapters.recent import ExpiringCache
from services.access.adapters.store.abnormal import account_of
from services.access.adapters.store.grant_rows import grant_of
from services.access.adapters.store.grants import not_over
from services.access.adapters.store.tables import (
    add_if_new,
    customer_cases,
    grants,
    outbox,
    principals,
    write_audit,
)
from services.access.domain.accounts import Account
from services.access.domain.customer_cases import (
    MOST_LISTED,
    MOST_VEHICLES,
    CaseConflictError,
    CaseVehicle,
    CustomerCase,
    NewCase,
)
from services.access.domain.ended_rights import EndedKind, EndedRight
from services.access.domain.permissions import effective_permissions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from sqlalchemy import Connection, Row

    from services.access.adapters.store.notices import ChangeMessages
    from services.access.domain.grants import Grant
    from services.platform.database import Database
    from services.platform.outbox import OutgoingMessage

MAX_AGE_SECONDS = 5.0
"""A case that another replica closed is unknown here for no longer than this, whatever gets lost."""
_MAX_KNOWN = 10_000
_MOST_GRANTS = 1_000


class SqlCustomerCases:
    """usecases.customer_cases.CaseRecord on a database. `sent` hears of messages after their commit; `seconds` is a
    clock by which what was read grows old.
    """

    def __init__(
        self,
        database: Database,
        change_messages: ChangeMessages,
        sent: Callable[[Sequence[OutgoingMessage]], None],
        seconds: Callable[[], float],
    ) -> None:
        self._database = database
        self._change_messages = change_messages
        self._sent = sent
        self._seconds = seconds
        self._known: ExpiringCache[str, tuple[CustomerCase | None]] = ExpiringCache(_MAX_KNOWN)
        self._changes = 0

    async def open(self, new: NewCase, *, by: str, at: datetime) -> CustomerCase:
        """Keep it, with its audit row. The same again answers with what is kept; else CaseConflictError."""

        def write(connection: Connection) -> CustomerCase:
            row = {
                "case_number": new.case_number,
                "customer": new.customer,
                "vin": new.vin,
                "opened_by": by,
                "opened_at": at,
            }
            if add_if_new(connection, customer_cases, row):
                _audit(connection, "CASE_OPENED", new, by, at)
                return CustomerCase(new, by, at)
            known = _find(connection, new.case_number)
            if known is None or known.asked != new:
                raise CaseConflictError
            return known

        return await self._database.write(write)

    async def close(self, case_number: str, *, by: str, at: datetime) -> CustomerCase:
        """Close it, known or not, with its audit row and the message to the other services."""

        def write(connection: Connection) -> tuple[CustomerCase, list[OutgoingMessage]]:
            closed = {"closed_by": by, "closed_at": at}
            row = {"case_number": case_number, "customer": "", "vin": "", **closed}
            if not add_if_new(connection, customer_cases, row):
                which = (customer_cases.c.case_number == case_number, customer_cases.c.closed_at.is_(None))
                changed = connection.execute(update(customer_cases).where(*which).values(closed))
                if changed.rowcount == 0:
                    return _kept(connection, case_number), []
            case = _kept(connection, case_number)
            _audit(connection, "CASE_CLOSED", case.asked, by, at)
            ended = EndedRight(EndedKind.CASE, at, principal=case.asked.customer, case_number=case_number)
            messages = [self._change_messages.ended(ended)]
            outbox.add(connection, messages)
            return case, messages

        case, messages = await self._database.write(write)
        self._sent(messages)
        return case

    async def listed(self, *, open_only: bool, customer: str) -> list[CustomerCase]:
        """Return cases, those that were opened last first."""
        table = customer_cases.c
        # Those that were closed and never opened here come last, whatever the database thinks of no time.
        order = (table.opened_at.desc().nulls_last(), table.case_number)
        query = select(customer_cases).order_by(*order).limit(MOST_LISTED)
        if open_only:
            query = query.where(table.closed_at.is_(None))
        if customer:
            query = query.where(table.customer == customer)
        return await self._database.read(lambda c: [_case_of(row) for row in c.execute(query)])

    async def find(self, case_number: str) -> CustomerCase | None:
        """Return what is kept under this number, as of some seconds ago at most."""
        now = self._seconds()
        known = self._known.get(case_number, now)
        if known is not None:
            return known[0]
        changes = self._changes
        case = await self._database.read(lambda connection: _find(connection, case_number))
        # What was read while a case was closed may be from before; it serves this once and is not kept.
        if changes == self._changes:
            self._known.put(case_number, (case,), now + MAX_AGE_SECONDS)
        return case

    async def customer(self, customer: str, vin: str, *, at: datetime) -> tuple[Account, list[CaseVehicle]]:
        """Return the customer's account, and the vehicles on which they have a right now, by VIN, MOST_VEHICLES at
        most; with a `vin` that one alone.
        """

        def read(connection: Connection) -> tuple[Account, list[CaseVehicle]]:
            row = connection.execute(select(principals).where(principals.c.principal == customer)).first()
            account = Account(customer) if row is None else account_of(row)
            return account, _vehicles_of(connection, customer, vin, at)

        return await self._database.read(read)

    def invalidate(self) -> None:
        """Remember nothing of cases."""
        self._changes += 1
        self._known.clear()


def _vehicles_of(connection: Connection, customer: str, vin: str, at: datetime) -> list[CaseVehicle]:
    """Return the vehicles on which they have a right now. One on which none is in force, as an offer that was not
    accepted, is none of theirs.
    """
    which = [grants.c.principal == customer, grants.c.revoked_at.is_(None), not_over(at)]
    if vin:
        which.append(grants.c.vin == vin)
    query = select(grants).where(*which).order_by(grants.c.vin).limit(_MOST_GRANTS)
    held: dict[str, list[Grant]] = {}
    for row in connection.execute(query):
        grant = grant_of(row)
        held.setdefault(grant.asked.vin, []).append(grant)
    roles = {each: effective_permissions(of_one, (), at).role for each, of_one in held.items()}
    return [CaseVehicle(each, role) for each, role in roles.items() if role is not None][:MOST_VEHICLES]


def _find(connection: Connection, case_number: str) -> CustomerCase | None:
    query = select(customer_cases).where(customer_cases.c.case_number == case_number)
    row = connection.execute(query).first()
    return None if row is None else _case_of(row)


def _kept(connection: Connection, case_number: str) -> CustomerCase:
    query = select(customer_cases).where(customer_cases.c.case_number == case_number)
    return _case_of(connection.execute(query).one())


def _case_of(row: Row[Any]) -> CustomerCase:
    return CustomerCase(
        NewCase(row.case_number, row.customer, row.vin),
        row.opened_by or "",
        row.opened_at,
        row.closed_by or "",
        row.closed_at,
    )


def _audit(connection: Connection, act: str, case: NewCase, by: str, at: datetime) -> None:
    write_audit(connection, act, by=by, at=at, principal=case.customer, vin=case.vin, named=case.case_number)

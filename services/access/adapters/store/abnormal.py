"""What was abnormal about people's access, and the accounts that are restricted: each change in one transaction."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import case as sql_case
from sqlalchemy import delete, func, or_, select, update

from services.access.adapters.store.grant_rows import grant_of
from services.access.adapters.store.personal_data import postpone_erasure
from services.access.adapters.store.tables import (
    abnormal_cases,
    add_if_new,
    grants,
    outbox,
    principals,
    write_audit,
)
from services.access.domain.abnormal import (
    AbnormalCase,
    AbnormalKind,
    CaseUnknownError,
    Consequence,
    Finding,
)
from services.access.domain.accounts import Account
from services.access.domain.approvals import is_in_time, is_same_operator
from services.access.domain.grants import GrantState

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from sqlalchemy import Connection, Row

    from services.access.adapters.store.notices import ChangeMessages
    from services.platform.database import Database
    from services.platform.outbox import OutgoingMessage

_MOST_LISTED = 200
_MOST_EVIDENCE = 300
_MOST_OF_NOBODY = 1_000
"""Cases that concern no account. There are as many as there are networks."""
_TELL_AGAIN = timedelta(hours=1)
"""Owners are told anew of what was not found for so long; of what replicas find within moments of each other, once."""
_RESTRICTED_FIRST = sql_case((abnormal_cases.c.consequence == Consequence.RESTRICT.value, 0), else_=1)
_MOST_TOLD = 16
"""Vehicles whose owners are told of what becomes of one account."""


class SqlAbnormalAccess:
    """usecases.abnormal.AbnormalRecord on a database. `sent` hears of messages after their commit."""

    def __init__(
        self,
        database: Database,
        change_messages: ChangeMessages,
        sent: Callable[[Sequence[OutgoingMessage]], None],
    ) -> None:
        self._database = database
        self._change_messages = change_messages
        self._sent = sent

    async def keep(self, finding: Finding, *, by: str, at: datetime) -> AbnormalCase:
        """Keep what was found, restrict the account where that follows, and tell owners."""

        def write(connection: Connection) -> tuple[AbnormalCase, list[OutgoingMessage]]:
            case, is_news = _case_for(connection, finding, at)
            return case, follow(connection, is_news=is_news)

        def follow(connection: Connection, *, is_news: bool) -> list[OutgoingMessage]:
            if not finding.principal:
                return []
            if finding.restricts:
                reason = f"{finding.kind.value}: {finding.evidence}"[:200]
                _, messages = self._restricted(connection, finding.principal, reason, "RESTRICTED", by, at)
                return messages
            return self._told(connection, finding.principal, "ABNORMAL", at) if is_news else []

        case, messages = await self._database.write(write)
        self._sent(messages)
        return case

    async def cases(self, *, open_only: bool, principal: str = "") -> list[AbnormalCase]:
        """Return what was found (of this account), what restricted an account first, then newest first."""
        query = (
            select(abnormal_cases)
            .order_by(_RESTRICTED_FIRST, abnormal_cases.c.raised_at.desc(), abnormal_cases.c.case_id)
            .limit(_MOST_LISTED)
        )
        if open_only:
            query = query.where(abnormal_cases.c.acknowledged_at.is_(None))
        if principal:
            query = query.where(abnormal_cases.c.principal == principal)
        return await self._database.read(lambda c: [_case_of(row) for row in c.execute(query)])

    async def acknowledge(self, case_id: str, *, by: str, at: datetime, principal: str = "") -> AbnormalCase:
        """Note that somebody has looked at it. Raises CaseUnknownError, also where it is not of this account."""

        def write(connection: Connection) -> AbnormalCase:
            which = [abnormal_cases.c.case_id == case_id]
            if principal:
                which.append(abnormal_cases.c.principal == principal)
            changed = connection.execute(
                update(abnormal_cases)
                .where(*which, abnormal_cases.c.acknowledged_at.is_(None))
                .values(acknowledged_by=by, acknowledged_at=at, open_key=None)
            )
            row = connection.execute(select(abnormal_cases).where(*which)).first()
            if row is None:
                raise CaseUnknownError
            if changed.rowcount:
                write_audit(
                    connection, "CASE_ACKNOWLEDGED", by=by, at=at, principal=row.principal, named=case_id
                )
            return _case_of(row)

        return await self._database.write(write)

    async def restrict(self, principal: str, reason: str, *, by: str, at: datetime) -> Account:
        """Restrict an account, and tell owners. Of one that is restricted the new reason is kept, and what was asked of
        it before lifts nothing.
        """
        account, messages = await self._database.write(
            lambda connection: self._restricted(
                connection, principal, reason, "RESTRICTED_BY_OPERATOR", by, at
            )
        )
        self._sent(messages)
        return account

    async def restore(self, principal: str, *, by: str, at: datetime) -> Account:
        """Lift a restriction at once, for the person who has proven to be themselves, and tell owners."""
        account, messages = await self._database.write(lambda c: self._restored(c, principal, by, at))
        self._sent(messages)
        return account

    async def restore_as_second(self, principal: str, *, by: str, at: datetime, alone: bool) -> Account:
        """Lift a restriction and a lock and tell owners, if another operator has asked before, or `alone`; else keep
        that this one has.
        """

        def write(connection: Connection) -> tuple[Account, list[OutgoingMessage]]:
            known = _locked_account(connection, principal)
            if known.restricted_at is None and known.locked_at is None:
                return known, []
            if alone:
                return self._restored(connection, principal, by, at, locked_too=True)
            if known.restore_requested_by and is_in_time(known.restore_requested_at, at):
                if is_same_operator(known.restore_requested_by, by):
                    return known, []
                return self._restored(connection, principal, by, at, locked_too=True)
            asks = {"restore_requested_by": by, "restore_requested_at": at}
            connection.execute(update(principals).where(principals.c.principal == principal).values(asks))
            write_audit(connection, "RESTORE_REQUESTED", by=by, at=at, principal=principal)
            return _account(connection, principal), []

        account, messages = await self._database.write(write)
        self._sent(messages)
        return account

    def _restored(
        self, connection: Connection, principal: str, by: str, at: datetime, *, locked_too: bool = False
    ) -> tuple[Account, list[OutgoingMessage]]:
        known = _locked_account(connection, principal)
        unlocks = locked_too and known.locked_at is not None
        if known.restricted_at is None and not unlocks:
            return known, []
        values: dict[str, Any] = {"restricted_at": None, "restriction_reason": None}
        if unlocks or known.locked_at is None:
            values |= {"restore_requested_by": None, "restore_requested_at": None}
        if unlocks:
            values |= {"locked_at": None, "reason": None}
            write_audit(connection, "ACCOUNT_UNLOCKED", by=by, at=at, principal=principal)
        connection.execute(update(principals).where(principals.c.principal == principal).values(**values))
        postpone_erasure(connection, principal, at)
        if known.restricted_at is not None:
            write_audit(connection, "ACCOUNT_RESTORED", by=by, at=at, principal=principal)
        messages = self._told(connection, principal, "RESTORED", at)
        return _account(connection, principal), messages

    def _restricted(
        self, connection: Connection, principal: str, reason: str, told: str, by: str, at: datetime
    ) -> tuple[Account, list[OutgoingMessage]]:
        # What was asked of what was there before does not lift this.
        why = {"restriction_reason": reason, "restore_requested_by": None, "restore_requested_at": None}
        values = {"restricted_at": at, **why}
        if not add_if_new(connection, principals, {"principal": principal, **values}):
            changed = connection.execute(
                update(principals)
                .where(principals.c.principal == principal, principals.c.restricted_at.is_(None))
                .values(values)
            )
            if changed.rowcount == 0:
                columns = principals.c
                is_new = or_(
                    columns.restriction_reason.is_distinct_from(reason),
                    columns.restore_requested_by.is_not(None),
                )
                again = update(principals).where(columns.principal == principal, is_new).values(why)
                if connection.execute(again).rowcount:
                    write_audit(connection, "ACCOUNT_RESTRICTED", by=by, at=at, principal=principal)
                return _account(connection, principal), []
        write_audit(connection, "ACCOUNT_RESTRICTED", by=by, at=at, principal=principal)
        messages = self._told(connection, principal, told, at)
        return _account(connection, principal), messages

    def _told(self, connection: Connection, principal: str, what: str, at: datetime) -> list[OutgoingMessage]:
        """Keep an alert for the owners of each vehicle on which this principal has a right."""
        return tell_of_account(connection, principal, what, at, self._change_messages)


def tell_of_account(
    connection: Connection,
    principal: str,
    what: str,
    at: datetime,
    change_messages: ChangeMessages,
) -> list[OutgoingMessage]:
    """Keep an alert for the owners of each vehicle on which this principal has a right, and return them."""
    query = select(grants).where(grants.c.principal == principal, grants.c.revoked_at.is_(None))
    held = [grant for grant in map(grant_of, connection.execute(query)) if grant.is_live(at)]
    vins = sorted({g.asked.vin for g in held if g.state(at) is not GrantState.CREATED})[:_MOST_TOLD]
    messages = [change_messages.account(vin, principal, what, at) for vin in vins]
    outbox.add(connection, messages)
    return messages


def _case_for(connection: Connection, finding: Finding, at: datetime) -> tuple[AbnormalCase, bool]:
    """Return the open case of what was found, counted up or new, and whether owners are told of it.

    Replicas that find the same at the same moment have one case of it: the index on `open_key` lets one of them add it.
    """
    for _ in range(2):
        counted = _counted_up(connection, finding, at)
        if counted is not None:
            return counted
        added = _added(connection, finding, at)
        if added is not None:
            return added, True
    raise LookupError("a case is neither open nor can it be opened")


def _open_key(finding: Finding) -> str:
    """Return what open cases have one of each. Of what concerns no account the evidence names the network."""
    named = finding.principal or _kept(finding.evidence)
    words = f"{finding.kind.value} {finding.consequence.value} {bool(finding.principal)} {named}"
    return hashlib.sha256(words.encode()).hexdigest()


def _counted_up(connection: Connection, finding: Finding, at: datetime) -> tuple[AbnormalCase, bool] | None:
    """Count what is found again while nobody has looked at it; nothing where it is new. Owners are told again once
    it was not found for a while.
    """
    table = abnormal_cases.c
    which = [
        table.kind == finding.kind.value,
        table.principal == finding.principal,
        table.consequence == finding.consequence.value,
        table.acknowledged_at.is_(None),
    ]
    if not finding.principal:
        which.append(table.evidence == _kept(finding.evidence))
    query = select(table.case_id, table.raised_at).where(*which).order_by(table.case_id).limit(1)
    row = connection.execute(query.with_for_update()).first()
    if row is None:
        return None
    this = table.case_id == row.case_id
    counted = {
        "times": func.coalesce(table.times, 1) + 1,
        "evidence": _kept(finding.evidence),
        "raised_at": at,
    }
    connection.execute(update(abnormal_cases).where(this).values(counted))
    case = _case_of(connection.execute(select(abnormal_cases).where(this)).one())
    return case, at - row.raised_at >= _TELL_AGAIN


def _added(connection: Connection, finding: Finding, at: datetime) -> AbnormalCase | None:
    """Keep a new case, and make room: anybody can have cases without an account kept, from many networks. None where
    another replica has just kept it.
    """
    table = abnormal_cases.c
    nobodys = select(table.case_id).where(table.principal == "")
    most = nobodys.order_by(table.raised_at.desc()).limit(_MOST_LISTED).offset(_MOST_OF_NOBODY - 1)
    connection.execute(delete(abnormal_cases).where(table.case_id.in_(most)))
    case = AbnormalCase(f"ab-{uuid.uuid4()}", replace(finding, evidence=_kept(finding.evidence)), at)
    row = {
        "case_id": case.case_id,
        "kind": finding.kind.value,
        "principal": finding.principal,
        "evidence": case.finding.evidence,
        "consequence": finding.consequence.value,
        "raised_at": at,
        "times": 1,
        "open_key": _open_key(finding),
    }
    # An older version acknowledges without knowing of the key.
    over = (table.open_key == row["open_key"], table.acknowledged_at.is_not(None))
    connection.execute(update(abnormal_cases).where(*over).values(open_key=None))
    return case if add_if_new(connection, abnormal_cases, row) else None


def _kept(evidence: str) -> str:
    return evidence[:_MOST_EVIDENCE]


def account_of(row: Row[Any]) -> Account:
    """Return the account that a row says."""
    return Account(
        row.principal,
        row.locked_at,
        row.reason or "",
        row.restricted_at,
        row.restriction_reason or "",
        row.restore_requested_by or "",
        row.restore_requested_at,
    )


def _locked_account(connection: Connection, principal: str) -> Account:
    """Return it, and keep others from changing it meanwhile. SQLite has one writer at a time."""
    row = select(principals.c.principal).where(principals.c.principal == principal).with_for_update()
    connection.execute(row)
    return _account(connection, principal)


def _account(connection: Connection, principal: str) -> Account:
    row = connection.execute(select(principals).where(principals.c.principal == principal)).first()
    return Account(principal) if row is None else account_of(row)


def _case_of(row: Row[Any]) -> AbnormalCase:
    return AbnormalCase(
        row.case_id,
        Finding(AbnormalKind(row.kind), row.principal, row.evidence, Consequence(row.consequence)),
        row.raised_at,
        row.acknowledged_by or "",
        row.acknowledged_at,
        row.times or 1,
    )

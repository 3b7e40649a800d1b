"""Grants that wait for a second operator: their table and what is asked of it. Rows never leave this file."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003  # SQLModel reads the annotations
from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, Connection, Index, Row, insert, select, update
from sqlmodel import Field

from services.access.adapters.store import (
    AccessModel,
    create_grant,
    give_grant,
    lock_new_vehicle,
    write_audit,
)
from services.access.domain.grants import (
    Grant,
    GrantConflictError,
    GrantNotPendingError,
    GrantRole,
    NewGrant,
    PendingGrant,
)
from services.platform.database import Instant

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from services.access.adapters.store import ChangeMessages
    from services.platform.database import Database
    from services.platform.outbox import OutgoingMessage


class PendingGrantRow(AccessModel, table=True):
    """A right as asked for, and who asked and approved. `actions` as in a grant."""

    __tablename__ = "pending_grant"
    __table_args__ = (Index("pending_grant_vin", "vin"),)
    grant_id: str = Field(primary_key=True, max_length=64)
    principal: str = Field(max_length=128)
    vin: str = Field(max_length=17)
    role: str = Field(max_length=16)
    actions: str = Field(max_length=1100)
    valid_seconds: int | None = Field(default=None, sa_type=BigInteger)
    requested_by: str = Field(max_length=128)
    requested_at: datetime = Field(sa_type=Instant)
    approved_by: str | None = Field(default=None, max_length=128)
    ended_at: datetime | None = Field(default=None, sa_type=Instant)


_pending = AccessModel.metadata.tables["pending_grant"]
_grants = AccessModel.metadata.tables["access_grant"]


class SqlPendingGrants:
    """approvals.PendingGrants on a database."""

    def __init__(
        self,
        database: Database,
        change_messages: ChangeMessages,
        sent: Callable[[Sequence[OutgoingMessage]], None],
    ) -> None:
        self._database = database
        self._change_messages = change_messages
        self._sent = sent

    async def request(self, new: NewGrant, *, by: str, at: datetime) -> Grant | PendingGrant:
        """See the port."""
        return await self._database.write(lambda connection: _request(connection, new, by, at))

    async def approve(self, grant_id: str, *, by: str, at: datetime) -> tuple[Grant, PendingGrant]:
        """See the port."""
        grant, pending, messages = await self._database.write(
            lambda connection: _approve(connection, grant_id, by, at, self._change_messages)
        )
        self._sent(messages)
        return grant, pending

    async def cancel(self, grant_id: str, *, by: str, at: datetime) -> PendingGrant | None:
        """See the port."""
        return await self._database.write(lambda connection: _cancel(connection, grant_id, by, at))

    async def on_vehicle(self, vin: str) -> list[PendingGrant]:
        """See the port."""
        query = (
            select(_pending)
            .where(_pending.c.vin == vin)
            .order_by(_pending.c.requested_at, _pending.c.grant_id)
        )
        return await self._database.read(lambda c: [_pending_of(row) for row in c.execute(query)])


def _request(connection: Connection, new: NewGrant, by: str, at: datetime) -> Grant | PendingGrant:
    known = _find(connection, new.grant_id)
    if known is None:
        if _is_granted(connection, new.grant_id):
            return create_grant(connection, new, by, at)  # what is kept, or a conflict
        pending = PendingGrant(new, by, at)
        connection.execute(
            insert(_pending).values(
                grant_id=new.grant_id,
                principal=new.principal,
                vin=new.vin,
                role=new.role.value,
                actions=" ".join(new.actions),
                valid_seconds=new.valid_seconds,
                requested_by=by,
                requested_at=at,
            )
        )
        _write_audit(connection, "GRANT_REQUESTED", new, by, at)
        return pending
    if known.asked != new:
        raise GrantConflictError(new.grant_id)
    return known if known.approved_by is None else create_grant(connection, new, by, at)


def _approve(
    connection: Connection, grant_id: str, by: str, at: datetime, change_messages: ChangeMessages
) -> tuple[Grant, PendingGrant, list[OutgoingMessage]]:
    asked = _find(connection, grant_id)
    if asked is None:
        raise GrantNotPendingError(grant_id)
    # The vehicle before the row, as a hand-over does that withdraws it.
    lock_new_vehicle(connection, asked.asked.vin, at)
    known = _find(connection, grant_id, lock=True) or asked
    if known.approved_by is None:
        known.check_approval(by, at)
        approve = update(_pending).where(_pending.c.grant_id == grant_id).values(approved_by=by)
        connection.execute(approve)
        _write_audit(connection, "GRANT_APPROVED", known.asked, by, at)
        known = PendingGrant(known.asked, known.requested_by, known.requested_at, by)
    # Its row in the audit names who asked; the one above, who approved.
    grant, messages = give_grant(connection, known.asked, known.requested_by, at, change_messages)
    return grant, known, messages


def _cancel(connection: Connection, grant_id: str, by: str, at: datetime) -> PendingGrant | None:
    known = _find(connection, grant_id, lock=True)
    if known is None or known.approved_by is not None:
        return None
    if known.ended_at is None:
        connection.execute(update(_pending).where(_pending.c.grant_id == grant_id).values(ended_at=at))
        _write_audit(connection, "GRANT_WITHDRAWN", known.asked, by, at)
        known = PendingGrant(known.asked, known.requested_by, known.requested_at, None, at)
    return known


def _find(connection: Connection, grant_id: str, *, lock: bool = False) -> PendingGrant | None:
    query = select(_pending).where(_pending.c.grant_id == grant_id)
    # SQLite has one writer at a time, and ignores this.
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    return None if row is None else _pending_of(row)


def _is_granted(connection: Connection, grant_id: str) -> bool:
    return (
        connection.execute(select(_grants.c.grant_id).where(_grants.c.grant_id == grant_id)).first()
        is not None
    )


def _pending_of(row: Row[Any]) -> PendingGrant:
    asked = NewGrant(
        grant_id=row.grant_id,
        principal=row.principal,
        vin=row.vin,
        role=GrantRole(row.role),
        actions=tuple(row.actions.split()),
        valid_seconds=row.valid_seconds,
    )
    return PendingGrant(asked, row.requested_by, row.requested_at, row.approved_by, row.ended_at)


def _write_audit(connection: Connection, act: str, asked: NewGrant, by: str, at: datetime) -> None:
    write_audit(connection, act, by=by, at=at, principal=asked.principal, vin=asked.vin, named=asked.grant_id)

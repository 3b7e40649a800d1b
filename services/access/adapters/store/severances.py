"""Severances: the end of all that somebody may do with a vehicle, and its reversal, each in one transaction."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, insert, select, update

from services.access.adapters.store.grant_rows import grant_of, row_of
from services.access.adapters.store.grants import audit_grant, ending_of
from services.access.adapters.store.notices import (
    is_severed,
    lock_new_vehicle,
    lock_vehicle,
    notify,
    owners_grants,
    owners_of,
)
from services.access.adapters.store.tables import (
    add_if_new,
    grants,
    outbox,
    severances,
    write_audit,
)
from services.access.domain.grants import GrantConflictError, GrantRole, GrantState, NewGrant
from services.access.domain.severance import (
    MOST_IN_A_DAY,
    AccessSeverance,
    NewSeverance,
    SeveranceUnknownError,
    TooManySeverancesError,
)
from services.access.domain.sharing import AccessChange, ChangeKind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from sqlalchemy import Connection, Row

    from services.access.adapters.store.notices import ChangeMessages
    from services.platform.database import Database
    from services.platform.outbox import OutgoingMessage

_MOST_LISTED = 200


class SqlSeverances:
    """usecases.severance.Severances on a database. `sent` hears of messages after their commit."""

    def __init__(
        self,
        database: Database,
        change_messages: ChangeMessages,
        sent: Callable[[Sequence[OutgoingMessage]], None],
    ) -> None:
        self._database = database
        self._change_messages = change_messages
        self._sent = sent

    async def sever(self, new: NewSeverance, *, at: datetime) -> AccessSeverance:
        """End all that the person may do with the vehicle. The same again answers with what became of it."""

        def write(connection: Connection) -> tuple[AccessSeverance, list[OutgoingMessage]]:
            lock_new_vehicle(connection, new.vin, at)
            known = _find(connection, new.severance_id)
            if known is not None:
                if known.asked != new:
                    raise GrantConflictError(new.severance_id)
                return known, []
            _count(connection, new, at)
            messages = self._end_all(connection, new, at)
            row = {
                "severance_id": new.severance_id,
                "vin": new.vin,
                "person": new.person,
                "evidence": new.evidence,
                "requested_by": new.requested_by,
                "on_behalf_of": new.on_behalf_of or None,
                "requested_at": at,
                "message_id": messages[0].message_id,
            }
            connection.execute(insert(severances).values(row))
            write_audit(
                connection,
                "ACCESS_SEVERED",
                by=new.requested_by,
                at=at,
                principal=new.person,
                vin=new.vin,
                named=new.severance_id,
            )
            return AccessSeverance(new, at), messages

        severance, messages = await self._database.write(write)
        self._sent(messages)
        return severance

    async def found(self, vin: str, severance_id: str, requested_by: str) -> AccessSeverance:
        """Return one that this person asked for. Raises SeveranceUnknownError."""
        query = select(severances).where(
            severances.c.severance_id == severance_id,
            severances.c.vin == vin,
            severances.c.requested_by == requested_by,
        )
        row = await self._database.read(lambda connection: connection.execute(query).first())
        if row is None:
            raise SeveranceUnknownError
        return await self._completed(row)

    async def listed(self, vin: str) -> list[AccessSeverance]:
        """Return those of a vehicle, or of all for an empty VIN, newest first."""
        query = (
            select(severances)
            .order_by(severances.c.requested_at.desc(), severances.c.severance_id)
            .limit(_MOST_LISTED)
        )
        if vin:
            query = query.where(severances.c.vin == vin)
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return [await self._completed(row) for row in rows]

    async def reverse(self, severance_id: str, reason: str, *, by: str, at: datetime) -> AccessSeverance:
        """Take it back once a second operator asks for it: what had not run out is given anew, unless another
        severance of this person stands.
        """

        def write(connection: Connection) -> tuple[AccessSeverance, list[OutgoingMessage]]:
            known = _find(connection, severance_id)
            if known is None:
                raise SeveranceUnknownError
            lock_vehicle(connection, known.asked.vin)
            known = _find(connection, severance_id) or known
            after = known.reversal(by, reason, at)
            if after == known:
                return known, []
            connection.execute(
                update(severances)
                .where(severances.c.severance_id == severance_id)
                .values(
                    reversal_requested_by=after.reversal_requested_by,
                    reversal_reason=after.reversal_reason,
                    reversed_by=after.reversed_by or None,
                    reversed_at=after.reversed_at,
                )
            )
            asked = known.asked
            write_audit(
                connection,
                "SEVERANCE_REVERSED" if after.reversed_at else "REVERSAL_REQUESTED",
                by=by,
                at=at,
                principal=asked.person,
                vin=asked.vin,
                named=severance_id,
            )
            if after.reversed_at is None:
                return after, []
            return after, _give_back(connection, asked, by, at, self._change_messages)

        severance, messages = await self._database.write(write)
        self._sent(messages)
        return severance

    def _end_all(self, connection: Connection, new: NewSeverance, at: datetime) -> list[OutgoingMessage]:
        """End the person's grants; the same messages whether there were any or not."""
        query = (
            select(grants)
            .where(grants.c.vin == new.vin, grants.c.principal == new.person, grants.c.revoked_at.is_(None))
            .order_by(grants.c.grant_id)
            .with_for_update()
        )
        ended = [grant for grant in map(grant_of, connection.execute(query)) if grant.is_live(at)]
        ids = [grant.asked.grant_id for grant in ended]
        connection.execute(
            update(grants)
            .where(grants.c.grant_id.in_(ids))
            .values(revoked_at=at, severed_by=new.severance_id)
        )
        for grant in ended:
            audit_grant(connection, "GRANT_SEVERED", grant.asked, new.requested_by, at)
        nothing = NewGrant("", new.person, new.vin, GrantRole.DIGITAL_KEY)
        change = AccessChange(
            ChangeKind.SEVERED, new.vin, new.person, nothing.role, new.requested_by, at, (), new.severance_id
        )
        messages = [
            self._change_messages.ended(ending_of(nothing, [], at)),
            *self._change_messages.changed(change),
        ]
        outbox.add(connection, messages)
        return messages

    async def _completed(self, row: Row[Any]) -> AccessSeverance:
        """Return the severance of this row, and keep when every service knew, once that is known.

        The broker has confirmed the message then, or it was so long ago that its row is gone.
        """
        if row.completed_at is not None:
            return _severance_of(row)
        table = outbox.table
        query = select(table.c.sent_at).where(table.c.message_id == row.message_id)
        waiting = await self._database.read(lambda connection: connection.execute(query).first())
        sent_at = row.requested_at if waiting is None else waiting.sent_at
        if sent_at is None:
            return _severance_of(row)
        keep = (
            update(severances)
            .where(severances.c.severance_id == row.severance_id, severances.c.completed_at.is_(None))
            .values(completed_at=sent_at)
        )
        await self._database.write(lambda connection: connection.execute(keep).rowcount)
        return replace(_severance_of(row), completed_at=sent_at)


def _count(connection: Connection, new: NewSeverance, at: datetime) -> None:
    if new.on_behalf_of:  # an operator's
        return
    query = (
        select(func.count())
        .select_from(severances)
        .where(
            severances.c.requested_by == new.requested_by,
            severances.c.requested_at > at - timedelta(days=1),
        )
    )
    if connection.execute(query).scalar_one() >= MOST_IN_A_DAY:
        raise TooManySeverancesError


def _give_back(
    connection: Connection, asked: NewSeverance, by: str, at: datetime, change_messages: ChangeMessages
) -> list[OutgoingMessage]:
    """Give the person anew what was severed and had not run out since, once no severance of theirs stands; nothing of
    what the vehicle has changed hands after, by whomever.
    """
    if is_severed(connection, asked.vin, asked.person):
        return []
    owned = [grant.created_at for grant in owners_grants(connection, asked.vin, at)]
    query = (
        select(grants)
        .join(severances, severances.c.severance_id == grants.c.severed_by)
        .where(grants.c.vin == asked.vin, grants.c.principal == asked.person)
        .order_by(grants.c.severed_by, grants.c.grant_id)
    )
    if owned:  # by somebody who did when it was severed, or nobody did then who does now
        query = query.where(severances.c.requested_at >= min(owned))
    given = []
    for severance_id, rows in groupby(connection.execute(query).all(), lambda row: row.severed_by):
        for number, row in enumerate(rows):
            ended = replace(grant_of(row), revoked_at=None)
            if not ended.is_live(at):
                continue
            # Its time goes on where it was, and what others did meanwhile is not theirs to see.
            new = replace(ended.asked, grant_id=f"{severance_id[:56]}-{number}")
            again = replace(ended, asked=new, created_at=at)
            if add_if_new(connection, grants, row_of(again)):  # not what an earlier reversal gave back
                audit_grant(connection, "GRANT_GIVEN_BACK", new, by, at)
                given.append(again)
    owners = owners_of(connection, asked.vin, at)
    messages = []
    for grant in given:
        kind = ChangeKind.OFFERED if grant.state(at) is GrantState.CREATED else ChangeKind.BEGUN
        messages += notify(connection, grant, kind, by, at, owners, change_messages)
    return messages


def _find(connection: Connection, severance_id: str) -> AccessSeverance | None:
    row = connection.execute(select(severances).where(severances.c.severance_id == severance_id)).first()
    return None if row is None else _severance_of(row)


def _severance_of(row: Row[Any]) -> AccessSeverance:
    return AccessSeverance(
        NewSeverance(
            row.severance_id, row.vin, row.person, row.evidence, row.requested_by, row.on_behalf_of or ""
        ),
        row.requested_at,
        row.completed_at,
        row.reversal_requested_by or "",
        row.reversal_reason or "",
        row.reversed_by or "",
        row.reversed_at,
    )

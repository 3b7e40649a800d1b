"""Grants: what is written of them, and what they amount to."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, select, update

from services.access.adapters.store.accounts import barred
from services.access.adapters.store.tables import (
    add_if_new,
    grants,
    outbox,
    principals,
    vehicles,
    write_audit,
)
from services.access.domain.grants import (
    Allowance,
    EffectivePermissions,
    EndedKind,
    EndedRight,
    Grant,
    GrantConflictError,
    GrantRole,
    GrantUnknownError,
    NewGrant,
    allowance,
    effective_permissions,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from sqlalchemy import Connection, Row

    from services.access.usecases.grants import GrantQuery
    from services.platform.outbox import OutgoingMessage

    Announce = Callable[[EndedRight], OutgoingMessage]


def create_grant(connection: Connection, new: NewGrant, by: str, at: datetime) -> Grant:
    """Keep the grant and its audit row. The same again changes nothing, not even when it was revoked since:
    a repeated message must not bring a right back. Raises GrantConflictError when the id says something else.
    """
    add_if_new(connection, vehicles, {"vin": new.vin, "registered_at": at})
    expires_at = None if new.valid_seconds is None else at + timedelta(seconds=new.valid_seconds)
    row = {
        "grant_id": new.grant_id,
        "principal": new.principal,
        "vin": new.vin,
        "role": new.role.value,
        "actions": " ".join(new.actions),
        "valid_seconds": new.valid_seconds,
        "created_at": at,
        "expires_at": expires_at,
    }
    if not add_if_new(connection, grants, row):
        known = _grant_by_id(connection, new.grant_id)
        if known.asked != new:
            raise GrantConflictError(new.grant_id)
        return known
    _audit(connection, "GRANT_CREATED", new, by, at)
    return Grant(new, at, expires_at)


def revoke_grant(
    connection: Connection, grant_id: str, by: str, at: datetime, announce: Announce
) -> tuple[Grant, list[OutgoingMessage]]:
    """End the grant with its audit row and its message. No message when it had ended before.

    Raises GrantUnknownError.
    """
    asked = _grant_by_id(connection, grant_id).asked
    # All of the holder's rows, and in one order: of two that end at once, the second must not count on the first.
    held = [
        _grant_of(row) for row in connection.execute(_HELD, {"vin": asked.vin, "subject": asked.principal})
    ]
    ended = connection.execute(
        update(grants)
        .where(grants.c.grant_id == grant_id, grants.c.revoked_at.is_(None))
        .values(revoked_at=at)
    )
    grant = _grant_by_id(connection, grant_id)
    if ended.rowcount == 0:
        return grant, []
    _audit(connection, "GRANT_REVOKED", asked, by, at)
    left = effective_permissions([other for other in held if other.asked.grant_id != grant_id], (), at)
    told = EndedRight(EndedKind.GRANT, at, asked.principal, asked.vin, grant_id, remaining=left.until)
    messages = [announce(told)]
    outbox.add(connection, messages)
    return grant, messages


def grants_on(connection: Connection, vin: str) -> list[Grant]:
    """Return all of a vehicle's grants, oldest first."""
    query = select(grants).where(grants.c.vin == vin).order_by(grants.c.created_at, grants.c.grant_id)
    return [_grant_of(row) for row in connection.execute(query)]


def grants_of(connection: Connection, principal: str) -> list[Grant]:
    """Return all of a principal's grants, oldest first."""
    query = (
        select(grants).where(grants.c.principal == principal).order_by(grants.c.created_at, grants.c.grant_id)
    )
    return [_grant_of(row) for row in connection.execute(query)]


# Built once: building a statement costs more than running it.
_ANSWERS = (
    select(grants)
    .join(principals, principals.c.principal == grants.c.principal, isouter=True)
    .where(
        # All pairs of them, of which the wanted ones are picked: for pairs SQLite may walk through all grants instead.
        grants.c.vin.in_(bindparam("vins", expanding=True)),
        grants.c.principal.in_(bindparam("holders", expanding=True)),
        grants.c.revoked_at.is_(None),
        principals.c.locked_at.is_(None),
    )
)
_LIVE_GRANTS = select(grants).where(
    grants.c.vin == bindparam("vin"),
    grants.c.principal == bindparam("subject"),
    grants.c.revoked_at.is_(None),
)
_HELD = (
    select(grants)
    .where(grants.c.vin == bindparam("vin"), grants.c.principal == bindparam("subject"))
    .order_by(grants.c.grant_id)
    .with_for_update()
)
_LOCKED = select(principals.c.principal).where(
    principals.c.principal.in_([bindparam("subject"), bindparam("actor")]),
    principals.c.locked_at.is_not(None),
)


def answer(connection: Connection, questions: Sequence[GrantQuery], at: datetime) -> list[Allowance | None]:
    """For each question what allows it at `at`. One query for all; one more when somebody acts for
    another, and one where API keys were used.
    """
    vins, holders = {question.vin for question in questions}, {question.subject for question in questions}
    live: dict[tuple[str, str], list[Grant]] = {}
    for row in connection.execute(_ANSWERS, {"vins": sorted(vins), "holders": sorted(holders)}):
        grant = _grant_of(row)
        if grant.is_live(at):
            live.setdefault((grant.asked.principal, grant.asked.vin), []).append(grant)
    no_more = barred(connection, questions, at)
    return [
        None if {q.actor, q.credential} & no_more else allowance(live.get((q.subject, q.vin), ()), q.action)
        for q in questions
    ]


def load_permissions(
    connection: Connection, subject: str, actor: str, vin: str, at: datetime
) -> EffectivePermissions:
    """Return what `subject`, for whom `actor` acts, is to `vin`."""
    rows = connection.execute(_LIVE_GRANTS, {"vin": vin, "subject": subject})
    locked = connection.execute(_LOCKED, {"subject": subject, "actor": actor}).scalars()
    return effective_permissions([_grant_of(row) for row in rows], locked, at)


def add_vehicles(connection: Connection, vins: Iterable[str], at: datetime) -> None:
    """Register those that are not."""
    for vin in vins:
        add_if_new(connection, vehicles, {"vin": vin, "registered_at": at})


def _grant_by_id(connection: Connection, grant_id: str) -> Grant:
    row = connection.execute(select(grants).where(grants.c.grant_id == grant_id)).first()
    if row is None:
        raise GrantUnknownError(grant_id)
    return _grant_of(row)


def _grant_of(row: Row[Any]) -> Grant:
    asked = NewGrant(
        grant_id=row.grant_id,
        principal=row.principal,
        vin=row.vin,
        role=GrantRole(row.role),
        actions=tuple(row.actions.split()),
        valid_seconds=row.valid_seconds,
    )
    return Grant(asked, row.created_at, row.expires_at, row.revoked_at)


def _audit(connection: Connection, act: str, grant: NewGrant, by: str, at: datetime) -> None:
    write_audit(connection, act, by=by, at=at, principal=grant.principal, vin=grant.vin, named=grant.grant_id)

"""Grants: what is written of them, and what they amount to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Integer, String, bindparam, case, literal_column, or_, select, update

from services.access.adapters.store.accounts import barred
from services.access.adapters.store.consents import consents
from services.access.adapters.store.grant_rows import grant_of, row_of
from services.access.adapters.store.notices import (
    check_not_severed,
    lock_new_vehicle,
    lock_vehicle,
    notify,
    owners_of,
)
from services.access.adapters.store.tables import (
    add_if_new,
    grants,
    outbox,
    principals,
    vehicles,
    write_audit,
)
from services.access.domain import key_scopes
from services.access.domain.abnormal import RESTRICTED_ACTIONS
from services.access.domain.consents import ASKED, ConsentPurpose, missing_since
from services.access.domain.ended_rights import EndedKind, EndedRight
from services.access.domain.grants import Grant, GrantConflictError, GrantUnknownError, NewGrant
from services.access.domain.permissions import (
    Allowance,
    EffectivePermissions,
    allowance,
    effective_permissions,
)
from services.access.domain.sharing import ChangeKind
from services.platform.database import Instant

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection

    from services.access.adapters.store.notices import ChangeMessages
    from services.access.domain.accounts import ApiKey
    from services.access.usecases.grants import GrantQuery
    from services.platform.outbox import OutgoingMessage


def create_grant(connection: Connection, new: NewGrant, by: str, at: datetime) -> Grant:
    """Keep the grant and its audit row. The same again changes nothing, not even when it was revoked since:
    a repeated message must not bring a right back. Raises GrantConflictError when the id says something else.
    """
    add_if_new(connection, vehicles, {"vin": new.vin, "registered_at": at})
    grant = Grant(new, at, new.end_from(at))
    if not add_if_new(connection, grants, row_of(grant)):
        known = grant_by_id(connection, new.grant_id)
        if known.asked != new:
            raise GrantConflictError(new.grant_id)
        return known
    audit_grant(connection, "GRANT_CREATED", new, by, at)
    return grant


def give_grant(
    connection: Connection, new: NewGrant, by: str, at: datetime, change_messages: ChangeMessages
) -> tuple[Grant, list[OutgoingMessage]]:
    """Create the grant, and tell of it once it is new. Raises GrantConflictError, GrantNotPossibleError."""
    lock_new_vehicle(connection, new.vin, at)
    known = connection.execute(select(grants.c.grant_id).where(grants.c.grant_id == new.grant_id)).first()
    if known is None:
        check_not_severed(connection, new.vin, new.principal)
    grant = create_grant(connection, new, by, at)
    if known is not None:
        return grant, []
    owners = owners_of(connection, new.vin, at)
    return grant, notify(connection, grant, ChangeKind.BEGUN, by, at, owners, change_messages)


def revoke_grant(
    connection: Connection, grant_id: str, by: str, at: datetime, change_messages: ChangeMessages
) -> tuple[Grant, list[OutgoingMessage]]:
    """End the grant with its audit row and its message. No message when it had ended before.

    Raises GrantUnknownError.
    """
    asked = grant_by_id(connection, grant_id).asked
    lock_vehicle(connection, asked.vin)
    held = held_by(connection, asked.vin, asked.principal)
    ended = connection.execute(
        update(grants)
        .where(grants.c.grant_id == grant_id, grants.c.revoked_at.is_(None))
        .values(revoked_at=at)
    )
    grant = grant_by_id(connection, grant_id)
    if ended.rowcount == 0:
        return grant, []
    audit_grant(connection, "GRANT_REVOKED", asked, by, at)
    owners = owners_of(connection, asked.vin, at)
    left = [each for each in held if each.asked.grant_id != grant_id]
    messages = [change_messages.ended(ending_of(asked, left, at))]
    outbox.add(connection, messages)
    return grant, messages + notify(connection, grant, ChangeKind.ENDED, by, at, owners, change_messages)


def held_by(connection: Connection, vin: str, principal: str) -> list[Grant]:
    """Return all of the principal's grants on the vehicle, and keep others from changing them meanwhile.

    In one order: of two that end at once, the second must not count on the first.
    """
    return [grant_of(row) for row in connection.execute(_HELD, {"vin": vin, "subject": principal})]


def ending_of(asked: NewGrant, after: Sequence[Grant], at: datetime) -> EndedRight:
    """Return what other services are told when those grants of one principal are left."""
    left = effective_permissions(after, (), at)
    return EndedRight(
        EndedKind.GRANT,
        at,
        asked.principal,
        asked.vin,
        asked.grant_id,
        remaining=left.until,
        remaining_role=left.role,
    )


def not_over(at: datetime) -> ColumnElement[bool]:
    """Return whether a row that was not revoked is of a grant that has not run out, as far as its columns say."""
    is_offer = grants.c.offered_until.is_not(None) & grants.c.accepted_at.is_(None)
    ends_at = case(
        (is_offer, grants.c.offered_until),
        (grants.c.rests.is_(True), grants.c.ends_at),
        else_=grants.c.expires_at,
    )
    return or_(ends_at.is_(None), ends_at > at)


def grants_on(connection: Connection, vin: str) -> list[Grant]:
    """Return all of a vehicle's grants, oldest first."""
    query = select(grants).where(grants.c.vin == vin).order_by(grants.c.created_at, grants.c.grant_id)
    return [grant_of(row) for row in connection.execute(query)]


def grants_of(connection: Connection, principal: str) -> list[Grant]:
    """Return all of a principal's grants, oldest first."""
    query = (
        select(grants).where(grants.c.principal == principal).order_by(grants.c.created_at, grants.c.grant_id)
    )
    return [grant_of(row) for row in connection.execute(query)]


# Built once: building a statement costs more than running it.
_ANSWERS = (
    select(grants, principals.c.restricted_at)
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
# What is kept of both accounts, and the subject's consent to the history, in one query.
_ACCOUNT_STATES = (
    select(
        principals.c.principal,
        principals.c.locked_at,
        principals.c.restricted_at,
        literal_column("NULL", Integer).label("consented_version"),
        literal_column("NULL", Instant).label("withdrawn_at"),
    )
    .where(
        principals.c.principal.in_([bindparam("subject"), bindparam("actor")]),
        or_(principals.c.locked_at.is_not(None), principals.c.restricted_at.is_not(None)),
    )
    .union_all(
        select(
            literal_column("''", String),
            literal_column("NULL", Instant),
            literal_column("NULL", Instant),
            consents.c.text_version,
            consents.c.withdrawn_at,
        ).where(
            consents.c.principal == bindparam("subject"),
            consents.c.purpose == ConsentPurpose.ACCESS_HISTORY.value,
        )
    )
)


def answer(connection: Connection, questions: Sequence[GrantQuery], at: datetime) -> list[Allowance | None]:
    """For each question what allows it at `at`. One query for all; one more when somebody acts for
    another, and one where API keys were used.
    """
    vins, holders = {question.vin for question in questions}, {question.subject for question in questions}
    live: dict[tuple[str, str], list[Grant]] = {}
    restricted: set[str] = set()
    for row in connection.execute(_ANSWERS, {"vins": sorted(vins), "holders": sorted(holders)}):
        grant = grant_of(row)
        if grant.is_live(at):
            live.setdefault((grant.asked.principal, grant.asked.vin), []).append(grant)
        if row.restricted_at is not None:
            restricted.add(grant.asked.principal)
    no_more, restricted_actors, keys = barred(connection, questions, at)
    restricted |= restricted_actors
    return [
        None
        if {q.actor, q.credential} & no_more
        or ((key := keys.get(q.credential)) is not None and not _is_in_reach(key, q))
        or (q.action not in RESTRICTED_ACTIONS and {q.subject, q.actor} & restricted)
        else allowance(live.get((q.subject, q.vin), ()), q.action, at)
        for q in questions
    ]


def _is_in_reach(key: ApiKey, question: GrantQuery) -> bool:
    """Return whether what is asked about is what the key was created for: it may be asked long after it was used."""
    words = key.scopes or key_scopes.UNLESS_NAMED
    return key.is_for(question.vin) and question.action in key_scopes.actions_of(words)


def load_permissions(
    connection: Connection, subject: str, actor: str, vin: str, at: datetime
) -> EffectivePermissions:
    """Return what `subject`, for whom `actor` acts, is to `vin`."""
    rows = connection.execute(_LIVE_GRANTS, {"vin": vin, "subject": subject})
    states = connection.execute(_ACCOUNT_STATES, {"subject": subject, "actor": actor}).all()
    consent = next((each for each in states if each.consented_version is not None), None)
    text = ASKED[ConsentPurpose.ACCESS_HISTORY]
    return effective_permissions(
        [grant_of(row) for row in rows],
        [each.principal for each in states if each.locked_at is not None],
        at,
        restricted=any(each.restricted_at is not None for each in states),
        unrecorded_since=missing_since(None, None, text)
        if consent is None
        else missing_since(consent.consented_version, consent.withdrawn_at, text),
    )


def add_vehicles(connection: Connection, vins: Iterable[str], at: datetime) -> None:
    """Register those that are not."""
    for vin in vins:
        add_if_new(connection, vehicles, {"vin": vin, "registered_at": at})


def grant_by_id(connection: Connection, grant_id: str) -> Grant:
    """Return the grant of this id. Raises GrantUnknownError."""
    row = connection.execute(select(grants).where(grants.c.grant_id == grant_id)).first()
    if row is None:
        raise GrantUnknownError(grant_id)
    return grant_of(row)


def audit_grant(connection: Connection, act: str, grant: NewGrant, by: str, at: datetime) -> None:
    """Keep who did what to which grant."""
    write_audit(connection, act, by=by, at=at, principal=grant.principal, vin=grant.vin, named=grant.grant_id)

"""Grants that people give each other: each change in one transaction, with what is told of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import func, or_, select, update

from services.access.adapters.store.accounts import is_stopped
from services.access.adapters.store.grant_rows import grant_of, row_of
from services.access.adapters.store.grants import audit_grant, ending_of, held_by, not_over
from services.access.adapters.store.notices import (
    check_not_severed,
    lock_vehicle,
    notify,
    owners_grants,
    owners_of,
)
from services.access.adapters.store.tables import AccessModel, add_if_new, grants, outbox
from services.access.domain import sharing
from services.access.domain.grants import Grant, GrantConflictError, GrantRole, GrantState, NewGrant
from services.access.domain.sharing import (
    AccessChange,
    AccountStoppedError,
    ChangeKind,
    GrantHiddenError,
    GrantView,
    NotOwnerError,
    TooManyGrantsError,
    Transfer,
    UnsoundChangeError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection

    from services.access.adapters.store.notices import ChangeMessages
    from services.access.domain.sharing import GrantLimits, GrantOffer, GrantReduction
    from services.platform.database import Database
    from services.platform.outbox import OutgoingMessage

_DAY = timedelta(days=1)


class SqlSharedGrants:
    """usecases.sharing.SharedGrants on a database. `sent` hears of messages after their commit."""

    def __init__(
        self,
        database: Database,
        change_messages: ChangeMessages,
        sent: Callable[[Sequence[OutgoingMessage]], None],
        limits: GrantLimits,
    ) -> None:
        self._database = database
        self._change_messages = change_messages
        self._sent = sent
        self._limits = limits

    async def listed(self, vin: str, by: str, *, is_owner: bool, at: datetime) -> list[GrantView]:
        """Return those on the vehicle that they see, newest first."""

        def read(connection: Connection) -> list[GrantView]:
            began = _owner_since(connection, vin, by, at) if is_owner else None
            query = (
                select(grants)
                .where(grants.c.vin == vin, *_seen_by(by, began, at - sharing.LISTED_TIME))
                .order_by(grants.c.created_at.desc(), grants.c.grant_id)
                .limit(sharing.MOST_LISTED)
            )
            owners = owners_of(connection, vin, at)
            listed = map(grant_of, connection.execute(query))
            return [GrantView(grant, grant.asked.principal in owners, at) for grant in listed]

        return await self._database.read(read)

    async def found(self, vin: str, grant_id: str, by: str, *, is_owner: bool, at: datetime) -> GrantView:
        """Return one that they see. Raises GrantHiddenError."""

        def read(connection: Connection) -> GrantView:
            began = _owner_since(connection, vin, by, at) if is_owner else None
            query = select(grants).where(
                grants.c.grant_id == grant_id, grants.c.vin == vin, *_seen_by(by, began, None)
            )
            row = connection.execute(query).first()
            if row is None:
                raise GrantHiddenError
            grant = grant_of(row)
            return GrantView(grant, grant.asked.principal in owners_of(connection, vin, at), at)

        return await self._database.read(read)

    async def offer(self, offer: GrantOffer, *, at: datetime) -> GrantView:
        """Keep an offer. The same again answers with what became of it."""

        def write(connection: Connection) -> tuple[GrantView, list[OutgoingMessage]]:
            vin = offer.new.vin
            owners = lock_for_owner(connection, vin, offer.giver, at)
            digest = select(grants.c.request_digest).where(grants.c.grant_id == offer.new.grant_id)
            known = connection.execute(digest).first()
            if known is not None:
                kept = find(connection, vin, offer.new.grant_id)
                if kept is None:  # severed
                    check_not_severed(connection, vin, offer.new.principal)
                if kept is None or known.request_digest != offer.digest:
                    raise GrantConflictError(offer.new.grant_id)
                return GrantView(kept, kept.asked.principal in owners, at), []
            grant = offer.grant(at, owners)
            check_not_severed(connection, vin, grant.asked.principal)
            self._count(connection, vin, offer.giver, at)
            add_if_new(connection, grants, {**row_of(grant), "request_digest": offer.digest})
            kind = ChangeKind.BEGUN if grant.accepted_at is not None else ChangeKind.OFFERED
            return self._told(connection, grant, kind, offer.giver, at, owners)

        return await self._write(write)

    async def accept(self, vin: str, grant_id: str, *, by: str, at: datetime) -> GrantView:
        """Put the offer in force."""

        def write(connection: Connection) -> tuple[GrantView, list[OutgoingMessage]]:
            lock_vehicle(connection, vin)
            grant = find(connection, vin, grant_id, lock=True)
            if grant is None or grant.asked.principal != by:
                raise GrantHiddenError
            owners = owners_of(connection, vin, at)
            after = sharing.accepted(grant, at)
            return self._changed(connection, grant, after, ChangeKind.BEGUN, by, at, owners)

        return await self._write(write)

    async def narrow(
        self, vin: str, grant_id: str, narrowing: GrantReduction, *, by: str, at: datetime
    ) -> GrantView:
        """Take some of it away."""
        return await self._change(
            vin, grant_id, ChangeKind.NARROWED, lambda grant: sharing.narrowed(grant, narrowing, at), by, at
        )

    async def suspend(self, vin: str, grant_id: str, *, by: str, at: datetime) -> GrantView:
        """Take it away for a while."""
        return await self._change(
            vin, grant_id, ChangeKind.SUSPENDED, lambda grant: sharing.suspended(grant, at), by, at
        )

    async def resume(self, vin: str, grant_id: str, *, by: str, at: datetime) -> GrantView:
        """Give it back."""
        return await self._change(
            vin, grant_id, ChangeKind.RESUMED, lambda grant: sharing.resumed(grant, at), by, at
        )

    async def end(self, vin: str, grant_id: str, *, by: str, at: datetime) -> GrantView:
        """End it: an owner of the vehicle anybody's but an owner's, everybody else their own."""

        def write(connection: Connection) -> tuple[GrantView, list[OutgoingMessage]]:
            lock_vehicle(connection, vin)
            grant = find(connection, vin, grant_id, lock=True)
            owners = owners_of(connection, vin, at)
            if grant is None or grant.asked.role is GrantRole.OWNER:
                raise GrantHiddenError
            if by not in owners and by != grant.asked.principal:
                raise GrantHiddenError
            after = replace(grant, revoked_at=at) if grant.is_live(at) else grant
            return self._changed(connection, grant, after, ChangeKind.ENDED, by, at, owners)

        return await self._write(write)

    async def transfer(self, vin: str, new_owner: str, grant_id: str, *, by: str, at: datetime) -> Transfer:
        """Make somebody the owner, and end every other right."""

        def write(connection: Connection) -> tuple[Transfer, list[OutgoingMessage]]:
            owners = lock_for_owner(connection, vin, by, at)
            if new_owner in owners:
                raise UnsoundChangeError("newOwner", "owns the vehicle already")
            check_not_severed(connection, vin, new_owner)
            ended = [grant for grant in _unrevoked(connection, vin) if grant.is_live(at)]
            new = Grant(NewGrant(grant_id, new_owner, vin, GrantRole.OWNER), at, given_by=by)
            if not add_if_new(connection, grants, row_of(new)):
                # The same again, and the vehicle has come back since: it must not end up without an owner.
                raise GrantConflictError(grant_id)
            messages = end_all(connection, ended, [new], by, at, self._change_messages)
            # Whoever a severance is taken back from gets nothing on what is somebody else's vehicle now.
            kept = update(grants).where(grants.c.vin == vin, grants.c.severed_by.is_not(None))
            connection.execute(kept.values(severed_by=None))
            withdrawn = _withdraw_requests(connection, vin, at)
            audit_grant(connection, "OWNERSHIP_TRANSFERRED", new.asked, by, at)
            told = (*sorted(owners), new_owner)
            change = AccessChange(
                ChangeKind.TRANSFERRED, vin, new_owner, GrantRole.OWNER, by, at, told, grant_id
            )
            changes = self._change_messages.changed(change)
            outbox.add(connection, changes)
            offers = sum(grant.state(at) is GrantState.CREATED for grant in ended)
            holders = frozenset({new_owner, *(grant.asked.principal for grant in ended)})
            done = Transfer(vin, new_owner, at, len(ended) - offers, offers + withdrawn, holders)
            return done, [*messages, *changes]

        result, messages = await self._database.write(write)
        self._sent(messages)
        return result

    async def _change(
        self,
        vin: str,
        grant_id: str,
        kind: ChangeKind,
        rule: Callable[[Grant], Grant],
        by: str,
        at: datetime,
    ) -> GrantView:
        """Do to a grant, but to an owner's, what its owner asks for."""

        def write(connection: Connection) -> tuple[GrantView, list[OutgoingMessage]]:
            owners = lock_for_owner(connection, vin, by, at)
            grant = find(connection, vin, grant_id, lock=True)
            if grant is None or grant.asked.role is GrantRole.OWNER:
                raise GrantHiddenError
            return self._changed(connection, grant, rule(grant), kind, by, at, owners)

        return await self._write(write)

    def _changed(
        self,
        connection: Connection,
        grant: Grant,
        after: Grant,
        kind: ChangeKind,
        by: str,
        at: datetime,
        owners: frozenset[str],
    ) -> tuple[GrantView, list[OutgoingMessage]]:
        """Keep what has become of a grant; nothing of it when it is as it was."""
        if after == grant:
            return GrantView(grant, grant.asked.principal in owners, at), []
        asked = grant.asked
        before = held_by(connection, asked.vin, asked.principal)
        connection.execute(
            update(grants).where(grants.c.grant_id == asked.grant_id).values(_changeable(after))
        )
        view, messages = self._told(connection, after, kind, by, at, owners)
        if kind not in {ChangeKind.BEGUN, ChangeKind.RESUMED} and grant.state(at) is not GrantState.CREATED:
            left = [after if each.asked.grant_id == asked.grant_id else each for each in before]
            ended = [self._change_messages.ended(ending_of(asked, left, at))]
            outbox.add(connection, ended)
            messages = [*ended, *messages]
        return view, messages

    def _told(
        self,
        connection: Connection,
        grant: Grant,
        kind: ChangeKind,
        by: str,
        at: datetime,
        owners: frozenset[str],
    ) -> tuple[GrantView, list[OutgoingMessage]]:
        """Keep the audit row and the messages of a change."""
        audit_grant(connection, f"GRANT_{kind.value}", grant.asked, by, at)
        messages = notify(connection, grant, kind, by, at, owners, self._change_messages)
        return GrantView(grant, grant.asked.principal in owners, at), messages

    def _count(self, connection: Connection, vin: str, giver: str, at: datetime) -> None:
        """Raise TooManyGrantsError when there may not be one more."""
        counted = or_(
            grants.c.revoked_at.is_(None) & not_over(at),
            grants.c.created_at > at - _DAY,
        )
        for column, value, most in (
            (grants.c.vin, vin, self._limits.per_vehicle),
            (grants.c.given_by, giver, self._limits.per_giver),
        ):
            query = select(func.count()).select_from(grants).where(column == value, counted)
            if connection.execute(query).scalar_one() >= most:
                raise TooManyGrantsError

    async def _write(
        self, change: Callable[[Connection], tuple[GrantView, list[OutgoingMessage]]]
    ) -> GrantView:
        view, messages = await self._database.write(change)
        self._sent(messages)
        return view


def lock_for_owner(connection: Connection, vin: str, who: str, at: datetime) -> frozenset[str]:
    """Return the vehicle's owners, and keep others from changing rights on it. Raises NotOwnerError, and
    AccountStoppedError: what replicas remember of an account may be from before it was locked or restricted.
    """
    lock_vehicle(connection, vin)
    owners = owners_of(connection, vin, at)
    if who not in owners:
        raise NotOwnerError
    if is_stopped(connection, who):
        raise AccountStoppedError
    return owners


def find(connection: Connection, vin: str, grant_id: str, *, lock: bool = False) -> Grant | None:
    """Return the grant of this id on this vehicle that nobody severed; with `lock` as it stays until the end of the
    transaction.
    """
    query = select(grants).where(
        grants.c.grant_id == grant_id, grants.c.vin == vin, grants.c.severed_by.is_(None)
    )
    row = connection.execute(query.with_for_update() if lock else query).first()
    return None if row is None else grant_of(row)


def end_all(
    connection: Connection,
    ended: Sequence[Grant],
    left: Sequence[Grant],
    by: str,
    at: datetime,
    change_messages: ChangeMessages,
) -> list[OutgoingMessage]:
    """End these grants of one vehicle, with their audit rows and messages: one for each holder. `left` are those that
    go on.
    """
    ids = [grant.asked.grant_id for grant in ended]
    connection.execute(update(grants).where(grants.c.grant_id.in_(ids)).values(revoked_at=at))
    messages = []
    for holder in sorted({grant.asked.principal for grant in ended}):
        theirs = [grant for grant in ended if grant.asked.principal == holder]
        others = [grant for grant in left if grant.asked.principal == holder]
        for grant in theirs:
            audit_grant(connection, "GRANT_REVOKED", grant.asked, by, at)
        # Without an id: all of them.
        all_of = replace(theirs[0].asked, grant_id=theirs[0].asked.grant_id if len(theirs) == 1 else "")
        messages.append(change_messages.ended(ending_of(all_of, others, at)))
    outbox.add(connection, messages)
    return messages


def _changeable(grant: Grant) -> dict[str, object]:
    """Return the columns of a grant that may change in its life."""
    row = row_of(grant)
    names = (
        "actions",
        "expires_at",
        "revoked_at",
        "schedule",
        "offered_until",
        "accepted_at",
        "suspended_at",
        "resumed_at",
        "ends_at",
        "rests",
    )
    return {name: row[name] for name in names}


def _seen_by(by: str, began: datetime | None, shown_since: datetime | None) -> list[ColumnElement[bool]]:
    """Return what rows somebody sees: of those of an owner since `began` all that had not ended by then, of others
    their own; with `shown_since` those that had not ended by then. Nobody sees what was severed.
    """
    seen: list[ColumnElement[bool]] = [grants.c.severed_by.is_(None)]
    if began is None:
        seen.append(grants.c.principal == by)
    bounds = [bound for bound in (began, shown_since) if bound is not None]
    if bounds:
        ended = max(bounds)
        seen.append(or_(grants.c.revoked_at.is_(None) & not_over(ended), grants.c.revoked_at > ended))
    return seen


def _owner_since(connection: Connection, vin: str, who: str, at: datetime) -> datetime | None:
    """Return since when they own the vehicle; None when they do not."""
    return min(
        (each.created_at for each in owners_grants(connection, vin, at) if each.asked.principal == who),
        default=None,
    )


def _unrevoked(connection: Connection, vin: str) -> list[Grant]:
    query = (
        select(grants)
        .where(grants.c.vin == vin, grants.c.revoked_at.is_(None))
        .order_by(grants.c.grant_id)
        .with_for_update()
    )
    return [grant_of(row) for row in connection.execute(query)]


def _withdraw_requests(connection: Connection, vin: str, at: datetime) -> int:
    """End what operators have asked for on the vehicle and nobody has approved; how many there were."""
    pending = AccessModel.metadata.tables["pending_grant"]
    waiting = (pending.c.vin == vin, pending.c.approved_by.is_(None), pending.c.ended_at.is_(None))
    return connection.execute(update(pending).where(*waiting).values(ended_at=at)).rowcount

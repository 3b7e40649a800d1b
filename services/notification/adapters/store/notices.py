"""What happened, and what waits to be sent of it, as it is kept."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, or_, select, update

from services.notification.adapters.store.people import preferences_of, push_device
from services.notification.adapters.store.tables import (
    devices,
    former_devices,
    insert_new,
    notices,
    places,
    pushes,
    reminders,
    set_before,
    shown,
    webhook_deliveries,
)
from services.notification.domain.messages import host_of
from services.notification.domain.notices import CAN_WAIT, Audience, Notice, NoticeKind, collapse_of
from services.notification.usecases.ports import DuePush, WaitingNotice

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection, Row, Select

    from services.notification.domain.messages import PushDevice, PushKind
    from services.platform.database import Database

LEASE = timedelta(seconds=10)
"""So long a notice is one replica's to address; after a crash another one's."""
SEND_LEASE = timedelta(seconds=45)
"""So long a push is one replica's to send: longer than sending may take (SEND_SECONDS)."""
MOST_REASON = 200
MOST_DEVICES_OF_NOTICE = 2_000
"""A vehicle has some hundred people at most, and each a few devices."""


def notice_row(notice: Notice, at: datetime) -> dict[str, Any]:
    """Return the row of a notice that came at `at`."""
    return {
        "event_id": notice.event_id,
        "vin": notice.vin,
        "kind": notice.kind.value,
        "text": notice.text,
        "audience": notice.audience.value,
        "occurred_at": notice.occurred_at,
        "expires_at": notice.expires_at,
        "about": notice.about[:256],
        "facts": json.dumps(dict(notice.facts)),
        "command_id": notice.command_id,
        "person": notice.person,
        "is_resolved": notice.is_resolved,
        "is_urgent": notice.is_urgent,
        "received_at": at,
        "next_look_at": at,
        "attempts": 0,
    }


def add_notices(connection: Connection, new: Sequence[Notice], at: datetime) -> int:
    """Keep those that are not known, and are still news; return how many."""
    statement = insert_new(connection, notices)
    return sum(
        connection.execute(statement.values(notice_row(each, at))).rowcount
        for each in new
        if each.expires_at > at
    )


class SqlNotices:
    """usecases.ports.NoticeRecord on a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def waiting(self, at: datetime, most: int) -> list[WaitingNotice]:
        """Take some that nobody is told of yet: for LEASE nobody else does."""
        return await self._database.write(lambda c: _waiting(c, at, most))

    async def with_devices(self, people: Collection[str]) -> frozenset[str]:
        """Return those of these people who have a device."""
        query = select(devices.c.person).where(devices.c.person.in_(people)).distinct()
        return await self._database.read(lambda c: frozenset(c.execute(query).scalars()))

    async def address(self, notice: Notice, people: Sequence[str], at: datetime) -> int:
        """Make a push for each device of these people, once; return how many."""
        return await self._database.write(lambda c: _address(c, notice, people, at))

    async def postpone(self, event_id: str, until: datetime) -> None:
        """Look at it again then."""
        values = {"next_look_at": until}
        await self._database.write(
            lambda c: c.execute(update(notices).where(notices.c.event_id == event_id).values(values))
        )

    async def set_aside(self, event_id: str, at: datetime, reason: str) -> None:
        """Tell nobody of it any more."""
        values = {"addressed_at": at, "set_aside": reason[:MOST_REASON]}
        await self._database.write(
            lambda c: c.execute(update(notices).where(notices.c.event_id == event_id).values(values))
        )

    async def due(
        self,
        kind: PushKind,
        at: datetime,
        most: int,
        *,
        full: Collection[str],
        take: Callable[[str], bool],
    ) -> list[DuePush]:
        """Take some that are to be sent by this push service: for SEND_LEASE nobody else does; see the port."""
        return await self._database.write(lambda c: _due(c, kind, at, most, full, take))

    async def still_waits(self, push: DuePush) -> bool:
        """Return whether it is to be sent, as it was taken: what came after it may have taken its place."""
        query = select(pushes.c.event_id).where(_is(push), pushes.c.attempts == push.attempts)
        return await self._database.read(lambda c: _has(c, query))

    async def delivered(self, push: DuePush, at: datetime) -> None:
        """Let go of it as of what is sent, and keep that the device shows it until its end is told."""
        await self._database.write(lambda c: _delivered(c, push, at))

    async def sent(self, push: DuePush) -> None:
        """Let go of it, and of the device where it was told that it is one no more."""
        await self._database.write(lambda c: _let_go(c, push))

    async def send_later(self, push: DuePush, at: datetime, *, counts: bool) -> None:
        """Send it then; unless it `counts`, as if it had not been tried."""
        attempts = push.attempts if counts else push.attempts - 1
        await self._database.write(
            lambda c: c.execute(update(pushes).where(_is(push)).values(due_at=at, attempts=attempts))
        )

    async def set_push_aside(self, push: DuePush, reason: str) -> None:
        """Send it no more; it goes when its time is up."""
        # Not due before it is deleted: nobody looks at it again and again until then.
        values = {"set_aside": reason[:MOST_REASON], "due_at": pushes.c.expires_at}
        await self._database.write(lambda c: c.execute(update(pushes).where(_is(push)).values(values)))

    async def device_gone(self, device: PushDevice) -> None:
        """Let go of the device and all that waits for it, unless it has another token by now."""

        def work(connection: Connection) -> None:
            same = (devices.c.id == device.id) & (devices.c.token == device.token)
            if connection.execute(delete(devices).where(same)).rowcount:
                for table in (pushes, shown):
                    connection.execute(delete(table).where(table.c.device == device.id))

        await self._database.write(work)

    async def access_ended(self, vin: str, person: str, at: datetime, *, everybody_else: bool) -> None:
        """Let go of what is kept since before `at` for this person and vehicle, or with `everybody_else` for all
        others: what a later owner has by now stays when it comes late.
        """

        def work(connection: Connection) -> None:
            happened = select(notices.c.event_id).where(notices.c.vin == vin, notices.c.occurred_at <= at)
            for table, is_older in (
                (places, set_before(at)),
                (reminders, reminders.c.told_at <= at),
                (pushes, pushes.c.event_id.in_(happened)),
            ):
                whose = table.c.person != person if everybody_else else table.c.person == person
                connection.execute(delete(table).where(table.c.vin == vin, whose, is_older))
            deliveries = webhook_deliveries.c
            whose = deliveries.person != person if everybody_else else deliveries.person == person
            connection.execute(
                delete(webhook_deliveries).where(deliveries.vin == vin, whose, deliveries.received_at <= at)
            )

        await self._database.write(work)

    async def counts(self) -> tuple[int, int]:
        """Return how many notices and pushes wait."""

        def work(connection: Connection) -> tuple[int, int]:
            waiting = select(func.count()).select_from(notices).where(notices.c.addressed_at.is_(None))
            return (
                connection.execute(waiting).scalar_one(),
                connection.execute(select(func.count()).select_from(pushes)).scalar_one(),
            )

        return await self._database.read(work)


def _is(push: DuePush) -> ColumnElement[bool]:
    return (pushes.c.event_id == push.event_id) & (pushes.c.device == push.device_name)


def _has(connection: Connection, query: Select[Any]) -> bool:
    """Return whether there is a row."""
    return connection.execute(query.limit(1)).first() is not None


def _let_go(connection: Connection, push: DuePush) -> bool:
    """Return whether it was still to be sent."""
    gone = connection.execute(delete(pushes).where(_is(push))).rowcount
    connection.execute(delete(former_devices).where(former_devices.c.id == push.device_name))
    return bool(gone)


def _delivered(connection: Connection, push: DuePush, at: datetime) -> None:
    notice = push.notice
    # Where its end took its place while it was on its way, it is not shown any more.
    if not _let_go(connection, push) or notice is None or notice.kind not in CAN_WAIT:
        return
    collapse = collapse_of(push.device_name, notice.vin, notice.about)
    connection.execute(delete(shown).where(shown.c.device == push.device_name, shown.c.collapse == collapse))
    if not notice.is_resolved:
        connection.execute(
            insert_new(connection, shown).values(
                device=push.device_name, collapse=collapse, person=push.person, shown_at=at
            )
        )


def _is_overtaken(connection: Connection, notice: Notice) -> bool:
    """Return whether people were told already what came after it and takes its place."""
    later = select(notices.c.event_id).where(
        notices.c.vin == notice.vin,
        notices.c.about == notice.about[:256],
        notices.c.person == notice.person,
        notices.c.occurred_at > notice.occurred_at,
        notices.c.addressed_at.is_not(None),
        notices.c.set_aside.is_(None),
    )
    return _has(connection, later)


def _waiting(connection: Connection, at: datetime, most: int) -> list[WaitingNotice]:
    query = (
        select(notices)
        .where(notices.c.addressed_at.is_(None), notices.c.next_look_at <= at)
        .order_by(notices.c.next_look_at)
        .limit(most)
        .with_for_update(skip_locked=True)
    )
    rows = connection.execute(query).all()
    if rows:
        connection.execute(
            update(notices)
            .where(notices.c.event_id.in_([row.event_id for row in rows]))
            .values(next_look_at=at + LEASE, attempts=notices.c.attempts + 1)
        )
    return [WaitingNotice(row.event_id, row.attempts + 1, _notice_or_none(row)) for row in rows]


def _address(connection: Connection, notice: Notice, people: Sequence[str], at: datetime) -> int:
    mine = update(notices).where(notices.c.event_id == notice.event_id, notices.c.addressed_at.is_(None))
    if not connection.execute(mine.values(addressed_at=at)).rowcount or not people:
        return 0
    # Locked, so that of two notices of one condition, addressed at a time, one sees the other.
    query = select(devices).where(devices.c.person.in_(people)).order_by(devices.c.id)
    found = connection.execute(query.limit(MOST_DEVICES_OF_NOTICE).with_for_update()).all()
    if not found or _is_overtaken(connection, notice):
        return 0
    wanted = preferences_of(connection, {row.person for row in found})
    made = 0
    for row in found:
        collapse = collapse_of(row.id, notice.vin, notice.about)
        never_shown = _drop_older(connection, row.id, collapse)
        prefers = wanted[row.person]
        if (notice.is_resolved and never_shown) or not prefers.wants(notice.kind):
            continue
        due_at = prefers.quiet_until(notice.kind, at) or at
        if due_at >= notice.expires_at:
            continue
        new = insert_new(connection, pushes).values(
            event_id=notice.event_id,
            device=row.id,
            person=row.person,
            vin=notice.vin,
            kind=row.kind,
            host=host_of(row.kind, row.token),
            collapse=collapse,
            expires_at=notice.expires_at,
            due_at=due_at,
            attempts=0,
        )
        made += connection.execute(new).rowcount
    return made


def _drop_older(connection: Connection, device: str, collapse: str) -> bool:
    """Send no more of what is not so any more; return whether the device never showed any of it: nor does it show the
    end. What was tried once may be shown, whatever came of it.
    """
    same = (pushes.c.device == device) & (pushes.c.collapse == collapse)
    tried = list(connection.execute(select(pushes.c.attempts).where(same).with_for_update()).scalars())
    if not tried:
        return False
    connection.execute(delete(pushes).where(same))
    is_shown = select(shown.c.device).where(shown.c.device == device, shown.c.collapse == collapse)
    return not any(tried) and not _has(connection, is_shown)


def _due(
    connection: Connection,
    kind: PushKind,
    at: datetime,
    most: int,
    full: Collection[str],
    take: Callable[[str], bool],
) -> list[DuePush]:
    host = func.coalesce(pushes.c.host, "")
    query = (
        select(pushes.c.event_id, pushes.c.device, host.label("host"))
        .where(
            pushes.c.kind == kind.value,
            pushes.c.due_at <= at,
            pushes.c.expires_at > at,
            pushes.c.set_aside.is_(None),
            host.not_in(full),
        )
        .order_by(pushes.c.due_at)
        .limit(most)
        .with_for_update(skip_locked=True)
    )
    rows = connection.execute(query).all()
    keys = [(row.event_id, row.device) for row in rows if take(row.host)]
    if not keys:
        return []
    chosen = or_(*((pushes.c.event_id == event) & (pushes.c.device == device) for event, device in keys))
    connection.execute(
        update(pushes).where(chosen).values(due_at=at + SEND_LEASE, attempts=pushes.c.attempts + 1)
    )
    waiting = {(row.event_id, row.device): row for row in connection.execute(select(pushes).where(chosen))}
    events = select(notices).where(notices.c.event_id.in_({event for event, _ in keys}))
    happened = {row.event_id: _notice_or_none(row) for row in connection.execute(events)}
    names = {device for _, device in keys}
    reached = {
        row.id: push_device(row)
        for table in (devices, former_devices)
        for row in connection.execute(select(table).where(table.c.id.in_(names)))
    }
    wanted = preferences_of(connection, {row.person for row in waiting.values()})
    return [
        DuePush(
            event_id,
            device,
            row.person,
            row.attempts,
            happened.get(event_id),
            reached.get(device),
            wanted[row.person],
            row.host or "",
        )
        for (event_id, device), row in waiting.items()
    ]


def _notice_or_none(row: Row[Any]) -> Notice | None:
    """Return the notice that a row says; None of one that nothing can be told of: it must not stop the others."""
    try:
        return Notice(
            row.event_id,
            row.vin,
            NoticeKind(row.kind),
            row.text,
            Audience(row.audience),
            row.occurred_at,
            row.about,
            {str(name): str(value) for name, value in json.loads(row.facts).items()},
            row.command_id,
            row.person,
            row.is_resolved,
            row.is_urgent,
        )
    except (ValueError, AttributeError):
        return None

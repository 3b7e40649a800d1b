"""The vehicles of people who have a webhook for all of theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, select, update

from services.notification.adapters.store.tables import (
    insert_new,
    webhook_changes,
    webhook_people,
    webhook_vehicles,
    webhooks,
)

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from sqlalchemy import Connection


def note_change(connection: Connection) -> None:
    """Have every replica read anew who wants to hear of what. Clocks of replicas differ: it is a number and no time."""
    connection.execute(insert_new(connection, webhook_changes).values(id=1, number=0))
    connection.execute(update(webhook_changes).values(number=webhook_changes.c.number + 1))


def webhooks_erased(connection: Connection, person: str) -> None:
    """Have every replica know that somebody's webhooks are erased, as they are in this transaction."""
    if connection.execute(select(webhooks.c.id).where(webhooks.c.person == person).limit(1)).first():
        note_change(connection)


def lock_person(connection: Connection, principal: str, at: datetime) -> None:
    """Keep others from changing what is this person's meanwhile."""
    connection.execute(insert_new(connection, webhook_people).values(person=principal, read_at=at))
    who = webhook_people.c.person == principal
    connection.execute(select(webhook_people.c.person).where(who).with_for_update())


def keep_vehicles(connection: Connection, principal: str, vins: Collection[str], at: datetime) -> None:
    """Keep which vehicles somebody has; where that changes, so does what is known in memory."""
    lock_person(connection, principal, at)
    mine = webhook_vehicles.c.person == principal
    known = set(connection.execute(select(webhook_vehicles.c.vin).where(mine)).scalars())
    gone, new = known - set(vins), set(vins) - known
    for vin in sorted(gone):
        connection.execute(delete(webhook_vehicles).where(mine, webhook_vehicles.c.vin == vin))
    for vin in sorted(new):
        connection.execute(insert_new(connection, webhook_vehicles).values(person=principal, vin=vin))
    who = webhook_people.c.person == principal
    connection.execute(update(webhook_people).where(who).values(read_at=at))
    if gone or new:
        note_change(connection)

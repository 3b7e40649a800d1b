"""How vehicles' doors stand, and who was reminded of it, as it is kept."""

from __future__ import annotations

import dataclasses
import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import delete, func, insert, select, update

from services.notification.adapters.store.notices import add_notices
from services.notification.adapters.store.people import preferences_of
from services.notification.adapters.store.tables import (
    conditions,
    devices,
    insert_new,
    places,
    preferences,
    reminders,
    set_before,
    standing_doors,
)
from services.notification.adapters.store.webhook_events import add_deliveries, add_events
from services.notification.domain.doors import (
    DoorState,
    DoorsUnknown,
    LeftCondition,
    StandingDoors,
    follow,
    forget_older,
)
from services.notification.domain.updates import reminder_resolved
from services.notification.usecases.ports import StandingCondition

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection

    from services.notification.domain.doors import DoorNews
    from services.notification.domain.notices import Notice
    from services.notification.domain.preferences import Preferences
    from services.notification.usecases.webhook_ports import EventForWebhooks
    from services.platform.database import Database

_LEASE = timedelta(seconds=10)
_CONDITIONS = tuple(each.value for each in LeftCondition)
_DOOR_FIELDS = len(dataclasses.fields(DoorState))


class SqlUpdates:
    """usecases.ports.UpdateRecord on a database. `reminder` is after how long people are reminded who did not say,
    `retried` for how long webhooks are tried to be sent something.
    """

    def __init__(
        self, database: Database, reminder: timedelta, retried: timedelta = timedelta(hours=26)
    ) -> None:
        self._database = database
        self._reminder = reminder
        self._retried = retried

    async def ingest(
        self,
        notices: Sequence[Notice],
        changes: Sequence[DoorNews | DoorsUnknown],
        at: datetime,
        events: Sequence[EventForWebhooks] = (),
    ) -> int:
        """Keep new notices, how doors stand and what webhooks are sent, in one commit; see the port."""

        def work(connection: Connection) -> int:
            of_vehicles: dict[str, list[DoorNews | DoorsUnknown]] = {}
            for change in changes:
                of_vehicles.setdefault(change.vin, []).append(change)
            # By VIN, so that replicas that lock several vehicles wait for each other and do not deadlock.
            ended = [
                notice
                for vin in sorted(of_vehicles)
                for notice in self._follow(connection, vin, of_vehicles[vin], at)
            ]
            for each in events:
                if add_events(connection, [each.event], at):
                    add_deliveries(connection, each.event, each.webhooks, at, self._retried)
            return add_notices(connection, [*notices, *ended], at)

        return await self._database.write(work)

    async def due_conditions(self, at: datetime, most: int) -> list[StandingCondition]:
        """Take some that somebody may have to be reminded of; for a while nobody else does."""
        return await self._database.write(lambda c: _due(c, at, most))

    async def wanted(self, people: Sequence[str]) -> Mapping[str, Preferences]:
        """Return what those of these people want who have a device."""

        def work(connection: Connection) -> Mapping[str, Preferences]:
            query = select(devices.c.person).where(devices.c.person.in_(people)).distinct()
            return preferences_of(connection, connection.execute(query).scalars().all())

        return await self._database.read(work)

    async def remind(
        self,
        condition: StandingCondition,
        notices: Sequence[Notice],
        next_look_at: datetime | None,
        at: datetime,
    ) -> None:
        """Keep these reminders, and when to look again, unless the condition has ended meanwhile."""

        def work(connection: Connection) -> None:
            still = update(conditions).where(
                conditions.c.vin == condition.vin,
                conditions.c.condition == condition.condition.value,
                conditions.c.since == condition.since,
            )
            if not connection.execute(still.values(next_look_at=next_look_at)).rowcount:
                return
            add_notices(connection, notices, at)
            for notice in notices:
                connection.execute(
                    insert_new(connection, reminders).values(
                        vin=condition.vin,
                        condition=condition.condition.value,
                        person=notice.person,
                        told_at=at,
                    )
                )

        await self._database.write(work)

    def _follow(
        self, connection: Connection, vin: str, changes: Sequence[DoorNews | DoorsUnknown], at: datetime
    ) -> list[Notice]:
        """Keep how a vehicle's doors stand after these changes; return what people are told who were reminded."""
        before = _locked(connection, vin)
        after = before
        told: list[Notice] = []
        for change in changes:
            if isinstance(change, DoorsUnknown):
                after, lost = forget_older(after, change)
                for condition in lost:  # nobody is told that it ended
                    _let_go(connection, vin, condition)
                continue
            known = after
            after, _, ended = follow(known, change)
            told += [
                reminder_resolved(vin, condition.value, known.since[condition], person, at)
                for condition in ended
                for person in _let_go(connection, vin, condition)
            ]
            if change.drives and after is not known:  # what comes again ends no place that was set since
                connection.execute(delete(places).where(places.c.vin == vin, set_before(change.at)))
        if after.doors != before.doors:
            rows = {
                name: [each.locked, each.open, each.window_open, each.order]
                for name, each in after.doors.items()
            }
            connection.execute(
                update(standing_doors).where(standing_doors.c.vin == vin).values(doors=json.dumps(rows))
            )
        self._keep_conditions(connection, vin, before, after)
        return told

    def _keep_conditions(
        self, connection: Connection, vin: str, before: StandingDoors, after: StandingDoors
    ) -> None:
        for condition in LeftCondition:
            was, now = before.since.get(condition), after.since.get(condition)
            if was == now:
                continue
            which = (conditions.c.vin == vin) & (conditions.c.condition == condition.value)
            connection.execute(delete(conditions).where(which))
            if now is None:
                continue
            connection.execute(
                insert(conditions).values(
                    vin=vin,
                    condition=condition.value,
                    since=now,
                    next_look_at=now + self._soonest(connection),
                )
            )

    def _soonest(self, connection: Connection) -> timedelta:
        """Return after how long the first of all people wants to be reminded."""
        least = connection.execute(select(func.min(preferences.c.reminder_minutes))).scalar()
        return self._reminder if least is None else min(self._reminder, timedelta(minutes=least))


def _locked(connection: Connection, vin: str) -> StandingDoors:
    """Return how the doors stand; until the commit nobody else changes it."""
    connection.execute(insert_new(connection, standing_doors).values(vin=vin, doors="{}"))
    row = connection.execute(
        select(standing_doors.c.doors).where(standing_doors.c.vin == vin).with_for_update()
    ).one()
    query = select(conditions.c.condition, conditions.c.since).where(
        conditions.c.vin == vin, conditions.c.condition.in_(_CONDITIONS)
    )
    return StandingDoors(
        _doors(row.doors), {LeftCondition(each.condition): each.since for each in connection.execute(query)}
    )


def _doors(text: str) -> dict[str, DoorState]:
    """Return the doors of a row; what a newer version says of them besides is left out."""
    return {name: DoorState(*values[:_DOOR_FIELDS]) for name, values in json.loads(text).items()}


def _let_go(connection: Connection, vin: str, condition: LeftCondition) -> list[str]:
    """Return who was reminded, and forget it."""
    which = (reminders.c.vin == vin) & (reminders.c.condition == condition.value)
    people = list(connection.execute(select(reminders.c.person).where(which)).scalars())
    if people:
        connection.execute(delete(reminders).where(which))
    return people


def _due(connection: Connection, at: datetime, most: int) -> list[StandingCondition]:
    query = (
        select(conditions)
        .where(conditions.c.next_look_at <= at, conditions.c.condition.in_(_CONDITIONS))
        .order_by(conditions.c.next_look_at)
        .limit(most)
        .with_for_update(skip_locked=True)
    )
    found = []
    for row in connection.execute(query).all():
        condition = LeftCondition(row.condition)
        which = (conditions.c.vin == row.vin) & (conditions.c.condition == row.condition)
        connection.execute(update(conditions).where(which).values(next_look_at=at + _LEASE))
        doors = select(standing_doors.c.doors).where(standing_doors.c.vin == row.vin)
        standing = StandingDoors(_doors(connection.execute(doors).scalar_one()))
        told = select(reminders.c.person).where(
            reminders.c.vin == row.vin, reminders.c.condition == row.condition
        )
        found.append(
            StandingCondition(
                row.vin,
                condition,
                row.since,
                tuple(standing.those(condition)),
                frozenset(connection.execute(told).scalars()),
            )
        )
    return found

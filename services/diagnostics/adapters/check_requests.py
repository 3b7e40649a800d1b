"""The table of checks that vehicles were asked for, and are going to be."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, Connection, Integer, MetaData, String, Table, select, update
from sqlalchemy.dialects import postgresql, sqlite

from services.diagnostics.domain.self_checks import PATIENCE, CheckState, RequestedCheck, first_due
from services.platform.database import Instant

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    from services.platform.database import Database

AT_ONCE = 200
"""So many vehicles are looked at in one transaction."""


class CheckRequests:
    """The table. Each function is part of a transaction."""

    def __init__(self, metadata: MetaData) -> None:
        self.table = Table(
            "check_request",
            metadata,
            Column("vin", String(17), primary_key=True),
            Column("state", String(16), nullable=False, index=True),
            Column("requested_at", Instant),
            Column("answered_at", Instant),
            Column("due_at", Instant, index=True),
            Column("missed", Integer, nullable=False),
        )

    def of(self, connection: Connection, vin: str, *, lock: bool = False) -> RequestedCheck | None:
        """Return what is known of a vehicle; None where it never was asked and is not going to be."""
        query = select(self.table).where(self.table.c.vin == vin)
        row = connection.execute(query.with_for_update() if lock else query).one_or_none()
        return None if row is None else _request(row)

    def locked(self, connection: Connection, vin: str) -> RequestedCheck:
        """Return what is known of a vehicle, with its row locked; one that has none gets it. So who asks at the same
        time waits, and then sees what was asked.
        """
        dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
        new = dialect.insert(self.table).values(_row(RequestedCheck(vin)))
        connection.execute(new.on_conflict_do_nothing())
        query = select(self.table).where(self.table.c.vin == vin).with_for_update()
        return _request(connection.execute(query).one())

    def keep(self, connection: Connection, request: RequestedCheck) -> None:
        """Keep what is known of a vehicle now, whose row is locked."""
        connection.execute(update(self.table).where(self.table.c.vin == request.vin).values(_row(request)))

    def answered(self, connection: Connection, vins: Sequence[str], at: datetime) -> None:
        """Note that those of these vehicles that were asked have checked themselves."""
        columns = self.table.c
        connection.execute(
            update(self.table)
            .where(columns.vin.in_(vins), columns.state == CheckState.REQUESTED.value)
            .values(state=CheckState.ANSWERED.value, answered_at=at, missed=0)
        )

    def due(
        self, connection: Connection, now: datetime, at_most: int, *, lock: bool = True
    ) -> list[RequestedCheck]:
        """Return vehicles that are to be asked by now; where they are locked, none that another replica has."""
        columns = self.table.c
        query = (
            select(self.table)
            .where(columns.due_at <= now, columns.state != CheckState.REQUESTED.value)
            .order_by(columns.due_at)
            .limit(at_most)
        )
        locked = query.with_for_update(skip_locked=True) if lock else query
        return [_request(row) for row in connection.execute(locked)]

    def overdue(self, connection: Connection, now: datetime, *, lock: bool = True) -> list[RequestedCheck]:
        """Return vehicles that were asked and did not check themselves."""
        columns = self.table.c
        query = (
            select(self.table)
            .where(columns.state == CheckState.REQUESTED.value, columns.requested_at <= now - PATIENCE)
            .limit(AT_ONCE)
        )
        locked = query.with_for_update(skip_locked=True) if lock else query
        return [_request(row) for row in connection.execute(locked)]

    def unscheduled(self, connection: Connection, vehicles: Table, after: str) -> tuple[list[str], str]:
        """Return which of the next vehicles of the table `vehicles` no schedule knows yet, and the last that was looked
        at; empty when there are no more.
        """
        both = vehicles.outerjoin(self.table, self.table.c.vin == vehicles.c.vin)
        query = (
            select(vehicles.c.vin, self.table.c.due_at)
            .select_from(both)
            .where(vehicles.c.vin > after)
            .order_by(vehicles.c.vin)
            .limit(AT_ONCE)
        )
        rows = connection.execute(query).all()
        return [row.vin for row in rows if row.due_at is None], rows[-1].vin if len(rows) == AT_ONCE else ""


class CheckSchedule:
    """usecases.SelfCheckRecord over a service's database. `interval` is None where no schedule asks; `vehicles` is the
    table of those that may be asked.
    """

    def __init__(
        self, database: Database, requests: CheckRequests, vehicles: Table, interval: timedelta | None
    ) -> None:
        self._database = database
        self._requests = requests
        self._vehicles = vehicles
        self._interval = interval
        self._place = ""
        """Up to which vehicle it was looked whether the schedule knows it: a few at a time, round and round."""

    async def request(self, vin: str, now: datetime) -> tuple[RequestedCheck, bool]:
        """Keep that a vehicle is asked now, and return that; and whether it is to be asked, or was just now."""

        def work(connection: Connection) -> tuple[RequestedCheck, bool]:
            known = self._requests.locked(connection, vin)
            if known.was_asked_just_now(now):
                return known, False
            asked = known.asked(now, self._interval)
            self._requests.keep(connection, asked)
            return asked, True

        return await self._database.write(work)

    async def not_sent(self, request: RequestedCheck, now: datetime) -> None:
        """Keep that a request did not leave."""

        def work(connection: Connection) -> None:
            known = self._requests.of(connection, request.vin, lock=True)
            if known == request:  # else it has been answered, or asked anew
                self._requests.keep(connection, request.not_sent(now, self._interval))

        await self._database.write(work)

    async def take_due(self, now: datetime, at_most: int) -> list[RequestedCheck]:
        """Return vehicles that the schedule asks now, each once; none where there is no schedule."""
        interval = self._interval
        if interval is None:
            return []

        def look(connection: Connection) -> tuple[bool, list[str], str]:
            new, place = self._requests.unscheduled(connection, self._vehicles, self._place)
            return bool(self._requests.due(connection, now, 1, lock=False)), new, place

        def work(connection: Connection) -> list[RequestedCheck]:
            for vin in new:  # in one order in all replicas
                known = self._requests.locked(connection, vin)
                self._requests.keep(connection, replace(known, due_at=first_due(vin, now, interval)))
            asked = [each.asked(now, interval) for each in self._requests.due(connection, now, at_most)]
            for each in asked:
                self._requests.keep(connection, each)
            return asked

        is_due, new, self._place = await self._database.read(look)
        return await self._database.write(work) if is_due or new else []

    async def note_missed(self, now: datetime) -> int:
        """Keep which vehicles did not check themselves in time; return how many."""

        def work(connection: Connection) -> int:
            missed = self._requests.overdue(connection, now)
            for each in missed:
                self._requests.keep(connection, each.overdue(now, self._interval))
            return len(missed)

        if not await self._database.read(
            lambda connection: self._requests.overdue(connection, now, lock=False)
        ):
            return 0
        return await self._database.write(work)


def _request(row: Any) -> RequestedCheck:
    return RequestedCheck(
        row.vin, CheckState(row.state), row.requested_at, row.answered_at, row.due_at, row.missed
    )


def _row(request: RequestedCheck) -> dict[str, Any]:
    return {
        "vin": request.vin,
        "state": request.state.value,
        "requested_at": request.requested_at,
        "answered_at": request.answered_at,
        "due_at": request.due_at,
        "missed": request.missed,
    }

"""Reads the counts of the whole fleet's failures: sums of days, and as many of the vehicles behind each as matter."""

from __future__ import annotations

import asyncio
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

from sqlalchemy import case, func, select

from services.command.adapters.store.failure_counts import counted_to, failure_count, fleet_count, reason_of
from services.command.domain.fleet import FleetCell, FleetPart, FleetSample, FleetSpan

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from services.command.domain.fleet import FleetQuery
    from services.platform.database import Database

CELLS_AT_MOST = 1_000
"""Of so many cells, the most frequent ones, vehicles are looked for; others are told with the rest."""
_MODELS_AT_MOST = 20
"""Among so many models vehicles of a part of the period are looked for."""


_CELLS_IN_ONE_READ = 16
"""SQLite reads in the event loop: between two reads commands are taken."""
Cell = tuple[str, str, str]
"""Model, reason and door, as they are stored."""


class SqlFleetCounts:
    """usecases.fleet.FleetCountsReader over a service's database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of_fleet(self, query: FleetQuery, vehicles: int) -> FleetSample:
        """Return the counts of the query's time, and of the one before; behind none of them more than so many vehicles
        are looked for.
        """
        counted_until = await self._database.read(lambda connection: counted_to(connection, query.now))
        now = await self._span(query.since, query.parts[-1][1], vehicles, doors=True)
        before = await self._span(query.before, query.since, vehicles, doors=False)
        return FleetSample(now, before, tuple(await self._parts(query, now, vehicles)), counted_until)

    async def _span(self, since: datetime, until: datetime, vehicles: int, *, doors: bool) -> FleetSpan:
        counted = await self._database.read(
            lambda connection: _counted(connection, since, until, doors=doors)
        )
        requests: Counter[FleetCell] = Counter()
        for cell, count in counted:
            requests[_cell_of(cell)] += count
        found: dict[FleetCell, frozenset[str]] = {}
        cells = [cell for cell, _ in counted[:CELLS_AT_MOST]]
        for start in range(0, len(cells), _CELLS_IN_ONE_READ):
            some = cells[start : start + _CELLS_IN_ONE_READ]
            for cell, seen in zip(some, await self._vehicles(some, since, until, vehicles), strict=True):
                found[_cell_of(cell)] = found.get(_cell_of(cell), frozenset()) | seen
        return FleetSpan(requests, found)

    async def _vehicles(
        self, cells: Sequence[Cell], since: datetime, until: datetime, most: int
    ) -> list[frozenset[str]]:
        await asyncio.sleep(0)
        return await self._database.read(
            lambda connection: [_vehicles(connection, cell, since, until, most) for cell in cells]
        )

    async def _parts(self, query: FleetQuery, now: FleetSpan, vehicles: int) -> list[FleetPart]:
        """Return the parts of the period in which commands of so many vehicles succeeded: at least they are behind
        it.
        """
        commanded: Counter[str] = Counter()
        for cell, count in now.requests.items():
            if not cell.door and query.model in (None, cell.model):
                commanded[cell.model] += count
        succeeded = [(model, "", "") for model, _ in commanded.most_common(_MODELS_AT_MOST)]
        parts = []
        for start, end in query.parts:
            part = await self._database.read(partial(_part, model=query.model, start=start, end=end))
            if part.commands and await self._has_vehicles(succeeded, part, vehicles):
                parts.append(part)
        return parts

    async def _has_vehicles(self, cells: Sequence[Cell], part: FleetPart, most: int) -> bool:
        found: set[str] = set()
        for cell in cells:
            found = found.union(*await self._vehicles([cell], part.start, part.end, most))
            if len(found) >= most:
                return True
        return False


def _cell_of(cell: Cell) -> FleetCell:
    model, reason, door = cell
    return FleetCell(model, reason_of(reason), door)


def _counted(
    connection: Connection, since: datetime, until: datetime, *, doors: bool
) -> list[tuple[Cell, int]]:
    """Return the requests of each cell, the most frequent first."""
    columns = fleet_count.c
    matching = [columns.day >= since, columns.day < until, *([] if doors else [columns.door == ""])]
    total = func.sum(columns.requests).label("requests")
    cells = (columns.model, columns.reason, columns.door)
    rows = connection.execute(select(*cells, total).where(*matching).group_by(*cells).order_by(total.desc()))
    return [((row.model, row.reason, row.door), int(row.requests)) for row in rows]


def _vehicles(
    connection: Connection, cell: Cell, since: datetime, until: datetime, most: int
) -> frozenset[str]:
    columns = failure_count.c
    model, reason, door = cell
    behind = select(columns.vin).where(
        columns.model == model,
        columns.door == door,
        columns.reason == reason,
        columns.hour >= since,
        columns.hour < until,
    )
    return frozenset(connection.execute(behind.distinct().limit(most)).scalars())


def _part(connection: Connection, model: str | None, start: datetime, end: datetime) -> FleetPart:
    columns = fleet_count.c
    matching = [columns.door == "", columns.day >= start, columns.day < end]
    if model is not None:
        matching.append(columns.model == model)
    failed = func.sum(case((columns.reason != "", columns.requests), else_=0))
    counted = select(func.coalesce(func.sum(columns.requests), 0), func.coalesce(failed, 0))
    commands, failures = connection.execute(counted.where(*matching)).one()
    return FleetPart(start, end, int(commands), int(failures))

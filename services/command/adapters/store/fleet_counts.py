"""Reads the counts of the whole fleet's failures: sums of days, and as many of the vehicles behind each as matter."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from sqlalchemy import case, func, select

from services.command.adapters.store.failure_counts import counted_to, failure_count, fleet_count, reason_of
from services.command.domain.fleet import FleetCell, FleetPart, FleetSample, FleetSpan

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection

    from services.command.domain.fleet import FleetQuery
    from services.platform.database import Database

CELLS_AT_MOST = 1_000
"""Of so many cells, the most frequent ones, vehicles are looked for; others are told with the rest."""
_MODELS_AT_MOST = 20
"""Among so many models vehicles of a part of the period are looked for."""


class SqlFleetCounts:
    """usecases.fleet.FleetCountsReader over a service's database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of_fleet(self, query: FleetQuery, vehicles: int) -> FleetSample:
        """Return the counts of the query's time, and of the one before; behind none of them more than so many vehicles
        are looked for.
        """
        return await self._database.read(lambda connection: _sample(connection, query, vehicles))


def _sample(connection: Connection, query: FleetQuery, vehicles: int) -> FleetSample:
    end = query.parts[-1][1]
    now = _span(connection, query.since, end, vehicles, doors=True)
    until = counted_to(connection, query.now)
    before = _span(connection, query.before, query.since, vehicles, doors=False)
    return FleetSample(now, before, tuple(_parts(connection, query, now, vehicles)), until)


def _span(
    connection: Connection, since: datetime, until: datetime, vehicles: int, *, doors: bool
) -> FleetSpan:
    columns = fleet_count.c
    matching = [columns.day >= since, columns.day < until, *([] if doors else [columns.door == ""])]
    total = func.sum(columns.requests).label("requests")
    cells = (columns.model, columns.reason, columns.door)
    rows = connection.execute(
        select(*cells, total).where(*matching).group_by(*cells).order_by(total.desc())
    ).all()
    requests: Counter[FleetCell] = Counter()
    found: dict[FleetCell, frozenset[str]] = {}
    for place, row in enumerate(rows):
        cell = FleetCell(row.model, reason_of(row.reason), row.door)
        requests[cell] += int(row.requests)
        if place < CELLS_AT_MOST:
            seen = _vehicles(connection, (row.model, row.reason, row.door), since, until, vehicles)
            found[cell] = found.get(cell, frozenset()) | seen
    return FleetSpan(requests, found)


def _vehicles(
    connection: Connection, cell: tuple[str, str, str], since: datetime, until: datetime, most: int
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


def _parts(connection: Connection, query: FleetQuery, now: FleetSpan, vehicles: int) -> list[FleetPart]:
    """Return the parts of the period in which commands of so many vehicles succeeded: at least they are behind it."""
    columns = fleet_count.c
    commanded: Counter[str] = Counter()
    for cell, count in now.requests.items():
        if not cell.door and query.model in (None, cell.model):
            commanded[cell.model] += count
    models = [model for model, _ in commanded.most_common(_MODELS_AT_MOST)]
    of_these: list[ColumnElement[bool]] = [columns.door == ""]
    if query.model is not None:
        of_these.append(columns.model == query.model)
    failed = func.sum(case((columns.reason != "", columns.requests), else_=0))
    parts = []
    for start, end in query.parts:
        counted = select(func.coalesce(func.sum(columns.requests), 0), func.coalesce(failed, 0))
        commands, failures = connection.execute(
            counted.where(*of_these, columns.day >= start, columns.day < end)
        ).one()
        if commands and _has_vehicles(connection, models, start, end, vehicles):
            parts.append(FleetPart(start, end, int(commands), int(failures)))
    return parts


def _has_vehicles(
    connection: Connection, models: Sequence[str], since: datetime, until: datetime, most: int
) -> bool:
    found: set[str] = set()
    for model in models:
        found |= _vehicles(connection, (model, "", ""), since, until, most)
        if len(found) >= most:
            return True
    return False

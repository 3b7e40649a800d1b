"""The table of how components' health goes: one row for each component, with its points."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, Connection, MetaData, String, Table, Text, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from services.diagnostics.domain.diagnosis import HEALTH_FALLING, MOST_COMPONENTS, ComponentStatus
from services.diagnostics.domain.trend import ComponentTrend, HealthPoint, components_due, extended, falls
from services.platform.database import Instant

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.diagnostics.domain.diagnosis import Diagnosis, SelfCheck


class HealthTrends:
    """The table. Each function is part of a transaction; `take` of one whose caller has locked the vehicle's row."""

    def __init__(self, metadata: MetaData) -> None:
        self.table = Table(
            "health_trend",
            metadata,
            Column("vin", String(17), primary_key=True),
            Column("component_id", String(64), primary_key=True),
            Column("name", String(64), nullable=False),
            Column("points", Text, nullable=False),
            Column("updated_at", Instant, nullable=False),
        )

    def take(
        self, connection: Connection, previous: Diagnosis | None, check: SelfCheck, keep: timedelta
    ) -> frozenset[str]:
        """Keep what a self-check that is newer than the `previous` says of health, each point for so long; return the
        ids of the components whose health falls.
        """
        standing = previous.alerts if previous is not None else ()
        fell = frozenset(each.component_id for each in standing if each.code == HEALTH_FALLING)
        due = components_due(previous.check if previous is not None else None, check)
        if not due:
            return fell
        known = self._of(connection, check.vin, [each.component_id for each in due])
        falling = set(fell)
        rows = []
        for component in due:
            points = extended(known.get(component.component_id, ()), component, check.observed_at, keep)
            if falls(points, fell=component.component_id in fell):
                falling.add(component.component_id)
            else:
                falling.discard(component.component_id)
            rows.append(
                {
                    "vin": check.vin,
                    "component_id": component.component_id,
                    "name": component.name,
                    "points": _to_text(points),
                    "updated_at": points[-1].at,
                }
            )
        self._save(connection, rows)
        if len(known) < len(due):
            self._bound(connection, check.vin)
        return frozenset(falling)

    def _of(
        self, connection: Connection, vin: str, component_ids: Sequence[str]
    ) -> dict[str, tuple[HealthPoint, ...]]:
        columns = self.table.c
        rows = connection.execute(
            select(columns.component_id, columns.points).where(
                columns.vin == vin, columns.component_id.in_(component_ids)
            )
        )
        return {row.component_id: _from_text(row.points) for row in rows}

    def _save(self, connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
        dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
        statement = dialect.insert(self.table)
        changed = {name: statement.excluded[name] for name in ("name", "points", "updated_at")}
        connection.execute(
            statement.on_conflict_do_update(index_elements=["vin", "component_id"], set_=changed), list(rows)
        )

    def _bound(self, connection: Connection, vin: str) -> None:
        """Give up what was not heard of for longest, of a vehicle that names ever new components."""
        columns = self.table.c
        kept = (
            select(columns.component_id)
            .where(columns.vin == vin)
            .order_by(columns.updated_at.desc(), columns.component_id)
            .limit(MOST_COMPONENTS)
        )
        connection.execute(
            delete(self.table).where(
                columns.vin == vin, columns.component_id.not_in(kept.scalar_subquery().correlate(None))
            )
        )

    def of_vehicle(self, connection: Connection, vin: str, component_id: str | None) -> list[ComponentTrend]:
        """Return the points of a vehicle's components, or of one of them, in the order of their ids."""
        columns = self.table.c
        query = select(self.table).where(columns.vin == vin).order_by(columns.component_id)
        if component_id is not None:
            query = query.where(columns.component_id == component_id)
        return [
            ComponentTrend(row.component_id, row.name, _from_text(row.points))
            for row in connection.execute(query)
        ]


def _to_text(points: Sequence[HealthPoint]) -> str:
    return json.dumps(
        [[each.at.timestamp(), each.health, each.lowest, each.status.value] for each in points],
        separators=(",", ":"),
    )


def _from_text(text: str) -> tuple[HealthPoint, ...]:
    return tuple(
        HealthPoint(datetime.fromtimestamp(at, UTC), health, lowest, ComponentStatus(status))
        for at, health, lowest, status in json.loads(text)
    )

"""The table of what was reported of alerts, for as long as it matters (services.diagnostics.domain.damping)."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    bindparam,
    delete,
    insert,
    select,
)

from services.diagnostics.adapters.alert_budget import SECONDS_EACH
from services.diagnostics.domain.damping import ToldAlert
from services.diagnostics.domain.diagnosis import Alert, Severity
from services.platform.database import Instant

if TYPE_CHECKING:
    from datetime import datetime

    from services.diagnostics.domain.diagnosis import AlertKey

_AT_ONCE = 100


class ToldAlerts:
    """The table. Each function is part of a transaction whose caller has locked the vehicle's row."""

    def __init__(self, metadata: MetaData) -> None:
        self.table = Table(
            "told_alert",
            metadata,
            Column("vin", String(17), primary_key=True),
            Column("component_id", String(64), primary_key=True),
            Column("code", String(64), primary_key=True),
            Column("severity", String(16), nullable=False),
            Column("message", Text, nullable=False),
            Column("raised_at", Instant, nullable=False),
            Column("standing", Boolean, nullable=False),
            Column("told_standing", Boolean, nullable=False),
            Column("told_at", Instant, nullable=False),
            Column("flips", Integer, nullable=False),
            Column("flapping", Boolean, nullable=False),
            Column("due_at", Instant, nullable=False, index=True),
        )
        columns = self.table.c
        self._delete = delete(self.table).where(
            columns.vin == bindparam("of_vin"),
            columns.component_id == bindparam("of_component"),
            columns.code == bindparam("of_code"),
        )

    def of(self, connection: Connection, vin: str) -> dict[AlertKey, ToldAlert]:
        """Return what was reported of this vehicle's alerts."""
        rows = connection.execute(select(self.table).where(self.table.c.vin == vin))
        return {(row.component_id, row.code): _told(row) for row in rows}

    def keep(
        self,
        connection: Connection,
        vin: str,
        told: dict[AlertKey, ToldAlert | None],
        now: datetime,
        damping: timedelta,
        *,
        looked_at: bool = False,
    ) -> None:
        """Keep these in the place of what was known of them; None is forgotten. What was `looked_at` because it was due
        is not due again at once, whatever became of it.
        """
        not_before = now + timedelta(seconds=1) if looked_at else now
        if told:
            replaced = [
                {"of_vin": vin, "of_component": component, "of_code": code} for component, code in told
            ]
            connection.execute(self._delete, replaced)
        rows = [_row(vin, each, not_before, damping) for each in told.values() if each is not None]
        if rows:
            connection.execute(insert(self.table), rows)

    def due(self, connection: Connection, now: datetime) -> list[str]:
        """Return some vehicles of whose alerts something may have to be told by now."""
        table = self.table
        query = (
            select(table.c.vin).where(table.c.due_at <= now).distinct().order_by(table.c.vin).limit(_AT_ONCE)
        )
        return list(connection.execute(query).scalars())


def _row(vin: str, told: ToldAlert, not_before: datetime, damping: timedelta) -> dict[str, Any]:
    # What is owed waits until the vehicle may have some of its share again.
    due_at = not_before + timedelta(seconds=SECONDS_EACH) if told.owed else told.told_at + damping
    return {
        "vin": vin,
        "component_id": told.alert.component_id,
        "code": told.alert.code,
        "severity": told.alert.severity.value,
        "message": told.alert.message,
        "raised_at": told.alert.raised_at,
        "standing": told.standing,
        "told_standing": told.told_standing,
        "told_at": told.told_at,
        "flips": told.flips,
        "flapping": told.flapping,
        "due_at": max(due_at, not_before),
    }


def _told(row: Any) -> ToldAlert:
    alert = Alert(row.component_id, row.code, Severity(row.severity), row.message, row.raised_at)
    return ToldAlert(alert, row.standing, row.told_standing, row.told_at, row.flips, row.flapping)

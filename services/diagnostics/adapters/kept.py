"""What each table of this service is kept for, and how long."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from services.diagnostics.adapters.store import (
    DiagnosticsModel,
    audit_outbox,
    check_requests,
    dead_letters,
    health_trends,
    holds,
    outbox,
    sessions,
    told_alerts,
)
from services.platform.kept_data import KeptTable
from services.platform.kept_tables import audit_outbox_line, holds_line, letters_line, outbox_line
from services.telematics.kept import session_line

if TYPE_CHECKING:
    from collections.abc import Sequence

_SHOWING = "showing it to those who may: contract"


def kept_tables(letters: timedelta, trend: timedelta = timedelta(days=400)) -> Sequence[KeptTable]:
    """Return a line for each table. `letters` is how long dead letters are kept, `trend` points of health."""
    tables = DiagnosticsModel.metadata.tables
    return [
        KeptTable(
            tables["last_check"],
            "the last self-check of each vehicle: its parts, and nobody's name",
            _SHOWING,
            "until the next",
            resource="vin",
        ),
        KeptTable(
            tables["standing_alert"],
            "alerts that stand now",
            _SHOWING,
            "until the vehicle takes it back",
            resource="vin",
        ),
        KeptTable(
            told_alerts.table,
            "what was told of alerts",
            "telling what flaps once",
            "until it has been quiet for DOORS_ALERT_DAMPING_SECONDS",
            resource="vin",
        ),
        KeptTable(
            health_trends.table,
            "how the health of each part goes: points in time, and nobody's name",
            "seeing that a part wears before it fails: contract",
            f"each point {trend.days} days (DOORS_HEALTH_TREND_DAYS), all of them with the part's last",
            over=lambda at: health_trends.table.c.updated_at < at - trend,
            resource="vin",
        ),
        KeptTable(
            check_requests.table,
            "which vehicle was asked to check itself, and when it is next: nobody's name",
            "asking each in its turn: contract",
            "always: one row for each vehicle",
            resource="vin",
        ),
        session_line(sessions, "reading a vehicle's reports"),
        outbox_line(outbox),
        letters_line(dead_letters, letters),
        audit_outbox_line(audit_outbox),
        holds_line(holds),
    ]

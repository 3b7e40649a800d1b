"""What each table of this service is kept for, and how long."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.platform.kept_data import KeptTable
from services.platform.kept_tables import audit_outbox_line, holds_line, letters_line, outbox_line
from services.platform.times import microseconds
from services.status.adapters.store import (
    StatusModel,
    audit_outbox,
    dead_letters,
    expectations,
    holds,
    outbox,
    sessions,
)
from services.telematics.kept import session_line

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

KEEP_MICROSECONDS = 24 * 3_600 * 1_000_000
"""Long enough that a result that is sent again finds its command judged."""


def kept_tables(letters: timedelta) -> Sequence[KeptTable]:
    """Return a line for each table. `letters` is how long dead letters are kept."""
    created_at_us = expectations.table.c.created_at_us
    return [
        KeptTable(
            StatusModel.metadata.tables["vehicle_status"],
            "the last report of each vehicle: doors and locks, and nobody's name",
            "showing it to those who may: contract",
            "until the next report",
            resource="vin",
        ),
        KeptTable(
            expectations.table,
            "how doors must stand after a command",
            "finding out whether what a vehicle said is so",
            "24 h",
            over=lambda at: created_at_us < microseconds(at) - KEEP_MICROSECONDS,
            resource="vin",
        ),
        session_line(sessions, "reading a vehicle's reports"),
        outbox_line(outbox),
        letters_line(dead_letters, letters),
        audit_outbox_line(audit_outbox),
        holds_line(holds),
    ]

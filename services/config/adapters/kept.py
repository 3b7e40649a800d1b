"""What each table of this service is kept for, and how long."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from services.config.adapters.store import audit_outbox, dead_letters, holds, outbox, sessions
from services.config.adapters.store.tables import answers, audit, configs, inbox
from services.config.domain.config import KEEP_ANSWERS
from services.config.usecases import KEEP_NEWS
from services.platform.kept_data import KeptTable, OnErasure
from services.platform.kept_tables import audit_outbox_line, holds_line, inbox_line, letters_line, outbox_line
from services.telematics.kept import order_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

KEEP_AUDIT = timedelta(days=1_095)


def kept_tables(letters: timedelta, keep_audit: timedelta = KEEP_AUDIT) -> Sequence[KeptTable]:
    """Return a line for each table. `letters` is how long dead letters are kept, `keep_audit` the audit."""
    return [
        KeptTable(
            configs,
            "settings of vehicles, as wanted and as reported",
            "running a vehicle with them: contract with its owner",
            "as long as the vehicle",
            resource="vin",
            secret=("capability", "mac"),
        ),
        KeptTable(
            answers,
            "what a change of settings was answered",
            "answering a repeat: contract",
            "24 h",
            over=lambda at: answers.c.answered_at < at - KEEP_ANSWERS,
            persons=("actor",),
            resource="vin",
            on_erasure=OnErasure.DELETED,
        ),
        KeptTable(
            audit,
            "the audit: who changed which setting",
            "evidence of who made a vehicle less safe: legal obligation, and the owner's interest",
            f"{keep_audit.days} days (DOORS_AUDIT_RETENTION_DAYS)",
            over=lambda at: audit.c.changed_at < at - keep_audit,
            persons=("subject", "actor"),
            words=("correlation_id",),
            resource="vin",
            on_erasure=OnErasure.PSEUDONYMISED,
        ),
        *order_lines(sessions),
        inbox_line(inbox, KEEP_NEWS, f"{KEEP_NEWS.days} days"),
        outbox_line(outbox),
        letters_line(dead_letters, letters),
        audit_outbox_line(audit_outbox),
        holds_line(holds),
    ]

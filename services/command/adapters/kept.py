"""What each table of this service is kept for, and how long."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import and_, or_, select

from services.command.adapters.store.failure_counts import (
    FLEET_KEPT,
    counted_until,
    failure_count,
    fleet_count,
)
from services.command.adapters.store.tables import (
    audit,
    audit_outbox,
    audit_rows,
    cancellation,
    command,
    dead_letters,
    history,
    holds,
    inbox,
    outbox,
    sessions,
    wake_up,
)
from services.command.domain.commands import IDEMPOTENCY_KEPT, CommandAction
from services.command.domain.wake_budget import WAKES_REMEMBERED
from services.platform.kept_data import KeptTable, OnErasure
from services.platform.kept_tables import audit_outbox_line, holds_line, inbox_line, letters_line, outbox_line
from services.telematics.kept import order_lines

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from sqlalchemy import ColumnElement

    from services.command.domain.rules import Rules

_AUDIT = "evidence of who opened a vehicle: legal obligation, and the owner's interest"


def kept_tables(rules: Rules, letters: timedelta, *, relayed: bool = True) -> list[KeptTable]:
    """Return a line for each table. `letters` is how long dead letters are kept; where the audit is `relayed`, what the
    ledger does not have yet stays.
    """
    has_it = [audit_rows.kept_no_longer] if relayed else []
    days = f"{rules.retention.days} days after it was asked (DOORS_HISTORY_RETENTION_DAYS)"
    looks = f"looks at the status {rules.checks_kept.days} (DOORS_STATUS_CHECK_RETENTION_DAYS)"
    theirs = select(command.c.command_id)
    return [
        KeptTable(
            history,
            "the history: requests and looks, and how they ended",
            "ACCESS_HISTORY: consent",
            f"{days}; {looks}",
            over=lambda at: or_(
                history.c.requested_at < at - rules.retention,
                and_(
                    history.c.action == CommandAction.STATUS_CHECK.value,
                    history.c.requested_at < at - rules.checks_kept,
                ),
            ),
            persons=("user_id",),
            mentions=("actor_id",),
            resource="vin",
            on_erasure=OnErasure.DELETED,
        ),
        KeptTable(
            command,
            "commands: what was asked, by whom, and how it ended",
            "carrying it out once, and answering a repeat: contract",
            "24 h after its end, and as long as its entry in the history",
            over=lambda at: _over(command.c.command_id, command.c.finished_at, at, rules),
            persons=("subject",),
            mentions=("principal",),
            resource="vin",
            on_erasure=OnErasure.DELETED,
            secret=("fingerprint",),
        ),
        KeptTable(
            cancellation,
            "cancellations of commands",
            "carrying it out once, and answering a repeat: contract",
            "24 h after its end, and as long as its entry in the history",
            over=lambda at: _over(cancellation.c.cancel_id, cancellation.c.finished_at, at, rules),
            about=lambda person: or_(
                cancellation.c.idempotency_key.endswith(f" {person}", autoescape=True),
                cancellation.c.command_id.in_(theirs.where(command.c.subject == person)),
            ),
            on_erasure=OnErasure.DELETED,
            secret=("fingerprint",),
        ),
        KeptTable(
            audit,
            "the audit: who did what with which vehicle, and what became of it",
            _AUDIT,
            f"{days}, once the ledger has it",
            over=lambda at: and_(audit.c.at < at - rules.retention, *has_it),
            persons=("subject", "actor"),
            words=("correlation_id",),
            secret=("entry",),
            resource="vin",
            on_erasure=OnErasure.PSEUDONYMISED,
        ),
        KeptTable(
            wake_up,
            "wake-ups of sleeping vehicles, and for whom",
            "the budget of a vehicle's battery: contract",
            f"{WAKES_REMEMBERED.days * 24 + WAKES_REMEMBERED.seconds // 3_600} h",
            over=lambda at: wake_up.c.at < at - WAKES_REMEMBERED,
            persons=("subject",),
            resource="vin",
            on_erasure=OnErasure.DELETED,
        ),
        KeptTable(
            failure_count,
            "how often requests failed, and why, by the hour",
            "finding the causes of failures: ACCESS_HISTORY: consent",
            days,
            over=lambda at: failure_count.c.hour < at - rules.retention,
            persons=("subject",),
            resource="vin",
            on_erasure=OnErasure.DELETED,
        ),
        KeptTable(
            fleet_count,
            "how often requests failed, and why, by the day and model: of no vehicle and nobody",
            "finding what fails in many vehicles",
            f"{FLEET_KEPT.days} days",
            over=lambda at: fleet_count.c.day < at - FLEET_KEPT,
        ),
        KeptTable(
            counted_until, "up to where these were counted", "counting everything once", "always: one row"
        ),
        *order_lines(sessions),
        inbox_line(inbox, IDEMPOTENCY_KEPT, "24 h"),
        outbox_line(outbox),
        letters_line(dead_letters, letters),
        audit_outbox_line(audit_outbox),
        holds_line(holds),
    ]


def _over(
    its_id: ColumnElement[str], finished_at: ColumnElement[datetime | None], at: datetime, rules: Rules
) -> ColumnElement[bool]:
    """Return whether a request has ended, is not recognised any more, and no entry of the history is left that shows
    it.
    """
    listed = select(history.c.entry_id).where(history.c.entry_id == its_id).exists()
    return or_(finished_at < at - rules.retention, and_(finished_at < at - IDEMPOTENCY_KEPT, ~listed))

"""The lines of the tables that more than one service has: outbox, inbox, dead letters, legal holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.platform.kept_data import KeptTable, OnErasure, contains

if TYPE_CHECKING:
    from datetime import timedelta

    from services.platform.audit_outbox import AuditOutbox
    from services.platform.dead_letters import DeadLetters
    from services.platform.inbox import Inbox
    from services.platform.legal_holds import LegalHolds
    from services.platform.outbox_table import Outbox


def outbox_line(outbox: Outbox) -> KeptTable:
    """Return the line of messages that leave. The relay deletes them; what waits to leave is nobody's to delete."""
    columns = outbox.table.c
    return KeptTable(
        outbox.table,
        "messages between services, until they have left",
        "telling others what was decided",
        "24 h after it left",
        about=lambda person: contains(columns.payload, person) & columns.sent_at.is_not(None),
        message="payload",
        on_erasure=OnErasure.DELETED,
        secret=("payload",),
    )


def audit_outbox_line(outbox: AuditOutbox) -> KeptTable:
    """Return the line of entries on their way to the audit ledger: those that it will never take are kept apart."""
    columns = outbox.table.c
    return KeptTable(
        outbox.table,
        "entries that the audit ledger does not have yet",
        "bringing them there: legal obligation",
        "until the ledger has it",
        about=lambda person: contains(columns.entry, person) & columns.set_aside.is_not(None),
        message="entry",
        on_erasure=OnErasure.DELETED,
        secret=("entry",),
    )


def inbox_line(inbox: Inbox, keep: timedelta, until: str) -> KeptTable:
    """Return the line of ids of messages that came."""
    return KeptTable(
        inbox.table,
        "ids of messages that came in",
        "recognising what comes twice",
        until,
        over=lambda at: inbox.table.c.received_at < at - keep,
    )


def letters_line(letters: DeadLetters, keep: timedelta) -> KeptTable:
    """Return the line of messages that could not be understood."""
    columns = letters.table.c
    return KeptTable(
        letters.table,
        "messages that could not be understood or sent",
        "finding the fault and making good for it",
        f"{keep.days} days (DOORS_DEAD_LETTER_DAYS)",
        over=lambda at: columns.received_at < at - keep,
        about=lambda person: contains(columns.payload, person),
        message="payload",
        resource="sender",
        on_erasure=OnErasure.DELETED,
        secret=("payload",),
    )


def holds_line(holds: LegalHolds) -> KeptTable:
    """Return the line of the copy of legal holds."""
    return KeptTable(
        holds.table,
        "the legal holds in force",
        "keeping what a court or an authority asked to be kept",
        "as long as the hold",
        persons=("person",),
        resource="resource",
        on_erasure=OnErasure.STAYS,
    )

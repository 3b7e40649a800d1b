"""What an erasure must wait for in this service, and what it does beside the tables' lines."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import delete, or_, select, update

from services.command.adapters.store.tables import audit, cancellation, command, outbox
from services.platform.kept_data import contains
from services.platform.subject_data import MESSAGES_WAITING

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from sqlalchemy import Connection

COMMAND_IN_FLIGHT = "COMMAND_IN_FLIGHT"
_IDS_AT_ONCE = 100
_UPDATED_FOR = timedelta(days=8)
"""The broker keeps an update for a day, and a vehicle's late answer to a command for a week before that."""


def in_the_way_of_erasure(connection: Connection, person: str, *, relayed: bool = True) -> str:
    """Return what must end first: a command that is alive, and, where the audit is `relayed`, what the ledger does not
    have yet; empty when nothing must.
    """
    alive = select(command.c.command_id).where(
        or_(command.c.subject == person, command.c.principal == person), command.c.finished_at.is_(None)
    )
    if connection.execute(alive.limit(1)).first() is not None:
        return COMMAND_IN_FLIGHT
    untold = select(audit.c.audit_id).where(
        or_(audit.c.subject == person, audit.c.actor == person),
        audit.c.delivered_at.is_(None),
        audit.c.set_aside.is_(None),
    )
    if relayed and connection.execute(untold.limit(1)).first() is not None:
        return MESSAGES_WAITING
    return ""


def erase_messages(connection: Connection, person: str, _pseudonym: str) -> None:
    """Delete what was kept to be sent for their commands, which holds the capabilities they came with, and what the
    ledger was sent of them.
    """
    theirs_in_audit = or_(audit.c.subject == person, audit.c.actor == person)
    connection.execute(update(audit).where(theirs_in_audit).values(entry=None))
    theirs = select(command.c.command_id).where(
        or_(command.c.subject == person, command.c.principal == person)
    )
    _delete_updates(connection, list(connection.execute(theirs).scalars()))
    cancelling = select(cancellation.c.cancel_id).where(cancellation.c.command_id.in_(theirs))
    ids = outbox.table.c.message_id
    connection.execute(
        delete(outbox.table).where(
            or_(ids.in_(theirs), ids.in_(cancelling)), outbox.table.c.sent_at.is_not(None)
        )
    )


def words_of(connection: Connection, person: str, *, now: Callable[[], datetime]) -> list[str]:
    """Return the correlation ids that their apps chose for what live updates may still be kept of."""
    lately = command.c.accepted_at >= now() - _UPDATED_FOR
    theirs = or_(command.c.subject == person, command.c.principal == person)
    return list(connection.execute(select(command.c.correlation_id).where(theirs, lately)).scalars())


def _delete_updates(connection: Connection, command_ids: list[str]) -> None:
    """Delete what was kept to be told of these commands: it has their correlation ids. Most have nothing left."""
    for begin in range(0, len(command_ids), _IDS_AT_ONCE):
        some = command_ids[begin : begin + _IDS_AT_ONCE]
        connection.execute(
            delete(outbox.table).where(
                outbox.table.c.sent_at.is_not(None),
                or_(*(contains(outbox.table.c.payload, command_id) for command_id in some)),
            )
        )

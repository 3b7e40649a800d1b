"""What a lock writes that takes the place of an unlock. Part of a transaction that its caller owns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import insert, select, update

from services.command.domain import (
    CommandAction,
    RequestedOrder,
)
from services.command.endings import superseded
from services.command.own_cancellations import superseded_id
from services.command.store.requests import end_command, insert_command, write_audit
from services.command.store.tables import cancellation, command, command_from_row, outbox, sessions

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from services.command.domain import Command
    from services.command.store.requests import OutboxMessages
    from services.platform.outbox import OutgoingMessage


def supersede(
    connection: Connection,
    lock: Command,
    unlock_id: str,
    outbox_messages: OutboxMessages,
    *,
    surely_unsent: bool,
) -> list[OutgoingMessage] | None:
    """Return the lock's rows, and of the unlock its end or the cloud's own cancellation; None when there is no
    such unlock.

    The vehicle's session is locked first, as everywhere. Whoever issues the unlock at this moment is waited for, so
    that its counter is below the lock's; whoever issues it later finds it superseded (orders.SqlOrders.issue).
    """
    sessions.store(connection).load(lock.vin)
    row = connection.execute(
        select(command)
        .where(
            command.c.command_id == unlock_id,
            command.c.vin == lock.vin,
            command.c.action == CommandAction.UNLOCK.value,
            command.c.finished_at.is_(None),
            command.c.superseded_at.is_(None),
        )
        .with_for_update()
    ).one_or_none()
    if row is None:
        return None
    at = lock.accepted_at
    messages = None
    if surely_unsent:
        messages = end_command(connection, unlock_id, superseded(at), outbox_messages, unless_taken_over=True)
    if messages is None:
        connection.execute(update(command).where(command.c.command_id == unlock_id).values(superseded_at=at))
        messages = _cancel(connection, command_from_row(row), lock, outbox_messages)
    # After this it is not found by a scan for what is unsent.
    outbox.cancel(connection, unlock_id, at)
    return messages + insert_command(connection, lock, outbox_messages)


def _cancel(
    connection: Connection, unlock: Command, lock: Command, outbox_messages: OutboxMessages
) -> list[OutgoingMessage]:
    """Nobody asked for it, so it is not in the history."""
    connection.execute(
        insert(cancellation),
        {
            "cancel_id": superseded_id(unlock.command_id),
            "command_id": unlock.command_id,
            "fingerprint": "",
            "answered": unlock.status.value,
            "requested_at": lock.accepted_at,
        },
    )
    write_audit(connection, unlock, "SUPERSEDED", lock.accepted_at, {"by": lock.command_id})
    kept = select(outbox.table.c.payload).where(outbox.table.c.message_id == unlock.command_id)
    order = connection.execute(kept).scalar_one()
    messages = outbox_messages.supersede(RequestedOrder(unlock.command_id, unlock.vin, bytes(order)), lock)
    outbox.add(connection, messages)
    return messages

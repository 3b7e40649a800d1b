"""What requests write. Each function is part of a transaction that its caller owns."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from sqlalchemy import Connection, insert, select, update

from services.command.domain import (
    Cancellation,
    Command,
    CommandAction,
    Ending,
    FailureReason,
    PersonRole,
    Status,
)
from services.command.own_cancellations import taken_back_id
from services.command.store.statements import (
    ALIVE,
    EARLIER_WAKE_UPS,
    END_HISTORY,
    FIND,
    INSERT_AUDIT,
    INSERT_COMMAND,
    INSERT_HISTORY,
    INSERT_WAKE_UP,
    MARK_RECEIVED,
    OPEN_CANCELLATIONS,
    WAKING,
    end_statement,
    in_milliseconds,
)
from services.command.store.tables import (
    cancellation,
    command,
    command_from_row,
    idempotency_key,
    outbox,
    results_to_text,
)
from services.command.wake_budget import WAKES_REMEMBERED, WakeUp, may_wake
from services.platform.database import microseconds, moment

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from services.command.domain import RequestedOrder
    from services.platform.outbox import OutgoingMessage

_MICROSECONDS = 1_000_000


class OutboxMessages(Protocol):
    """Which messages tell the vehicle and the world of a change."""

    def accepted(self, command: Command) -> list[OutgoingMessage]:
        """Return a new command: to the vehicle, and to whoever watches."""

    def changed(self, command: Command) -> list[OutgoingMessage]:
        """Return the messages of a status that is another."""

    def late(self, command: Command) -> list[OutgoingMessage]:
        """Keep its late result."""

    def cancel(self, cancellation: Cancellation) -> list[OutgoingMessage]:
        """Return the messages of a cancellation that the vehicle is to decide on."""

    def take_back(self, command: RequestedOrder, at: datetime) -> list[OutgoingMessage]:
        """Return the messages of a command to which the right has ended."""

    def supersede(self, unlock: RequestedOrder, lock: Command) -> list[OutgoingMessage]:
        """Return the messages of an unlock whose place a lock takes."""

    def waking(self, command: Command) -> list[OutgoingMessage]:
        """Return the messages of a command whose vehicle was sent a wake-up."""


def insert_command(
    connection: Connection, new: Command, outbox_messages: OutboxMessages
) -> list[OutgoingMessage]:
    """Return command, history, audit and outbox rows of a new command. Raises IntegrityError when it is not new."""
    doors = json.dumps(new.order.target_doors)
    INSERT_COMMAND(
        connection,
        {
            "command_id": new.command_id,
            "vin": new.vin,
            "action": new.order.action.value,
            "target_doors": doors,
            "mode": new.order.mode.value,
            "principal": new.requester.principal,
            "subject": new.requester.subject,
            "source": new.requester.source,
            "correlation_id": new.correlation_id,
            "idempotency_key": idempotency_key(
                new.requester.subject, new.vin, new.order.action.value, new.correlation_id
            ),
            "fingerprint": new.order.fingerprint(),
            "accepted_at": microseconds(new.accepted_at),
            "expires_at": microseconds(new.expires_at),
            "estimated_seconds": new.estimated_seconds,
            "status": new.status.value,
            "role": new.requester.role.value if new.requester.role else None,
            "asleep": new.asleep,
            "lost": new.lost,
        },
    )
    INSERT_HISTORY(
        connection,
        {
            "entry_id": new.command_id,
            "vin": new.vin,
            "command_id": new.command_id,
            "action": new.order.action.value,
            "target_doors": doors,
            "requested_at": microseconds(new.accepted_at),
            "user_id": new.requester.subject,
            "actor_id": new.requester.principal,
            "source": new.requester.source,
            "correlation_id": new.correlation_id,
        },
    )
    write_audit(connection, new, "COMMAND_ACCEPTED", new.accepted_at, {"doors": new.order.target_doors})
    messages = outbox_messages.accepted(new)
    outbox.add(connection, messages)
    return messages


def insert_cancellation(connection: Connection, new: Cancellation, answered: Status) -> None:
    """Insert cancellation, history and audit rows. Raises IntegrityError when it is not new."""
    connection.execute(
        insert(cancellation),
        {
            "cancel_id": new.cancel_id,
            "command_id": new.command_id,
            "idempotency_key": idempotency_key(
                new.requester.subject, new.vin, CommandAction.CANCEL.value, new.correlation_id
            ),
            "fingerprint": new.cancel_request.fingerprint(),
            "answered": answered.value,
            "requested_at": new.requested_at,
        },
    )
    INSERT_HISTORY(
        connection,
        {
            "entry_id": new.cancel_id,
            "vin": new.vin,
            "command_id": new.command_id,
            "action": CommandAction.CANCEL.value,
            "target_doors": "[]",
            "requested_at": microseconds(new.requested_at),
            "user_id": new.requester.subject,
            "actor_id": new.requester.principal,
            "source": new.requester.source,
            "correlation_id": new.correlation_id,
        },
    )
    INSERT_AUDIT(
        connection,
        {
            "at": microseconds(new.requested_at),
            "event": "CANCEL_REQUESTED",
            "vin": new.vin,
            "command_id": new.command_id,
            "subject": new.requester.subject,
            "actor": new.requester.principal,
            "source": new.requester.source,
            "correlation_id": new.correlation_id,
            "detail": json.dumps({"reason": new.cancel_request.reason, "force": new.cancel_request.force}),
        },
    )


def take_back(
    connection: Connection, taken: RequestedOrder, at: datetime, outbox_messages: OutboxMessages
) -> list[OutgoingMessage] | None:
    """Insert cancellation, audit and outbox rows of the cloud's own cancellation; None when the command has ended.

    Nothing to send when it was taken back before. Nobody asked for it, so it is not in the history.
    """
    # Locked, so that an end that is being written at this moment is seen, or sees this cancellation.
    row = connection.execute(
        FIND.where(command.c.finished_at.is_(None)).with_for_update(), {"of_command": taken.command_id}
    ).one_or_none()
    if row is None:
        return None
    cancel_id = taken_back_id(taken.command_id)
    if connection.execute(
        select(cancellation.c.cancel_id).where(cancellation.c.cancel_id == cancel_id)
    ).one_or_none():
        return []
    connection.execute(
        insert(cancellation),
        {
            "cancel_id": cancel_id,
            "command_id": taken.command_id,
            "fingerprint": "",
            "answered": row.status,
            "requested_at": at,
        },
    )
    write_audit(connection, command_from_row(row), "RIGHT_ENDED", at, {})
    messages = outbox_messages.take_back(taken, at)
    outbox.add(connection, messages)
    return messages


def end_command(
    connection: Connection,
    command_id: str,
    ending: Ending,
    outbox_messages: OutboxMessages,
    *,
    unless_taken_over: bool = False,
    by_vehicle: bool = False,
) -> list[OutgoingMessage] | None:
    """Give it its final status, once; None when it has one already. Its open cancellations end with it.

    What the vehicle tells the end of, the vehicle has received.
    """
    end = end_statement(unless_taken_over=unless_taken_over, by_vehicle=by_vehicle)
    changed = end(
        connection,
        {
            "of_command": command_id,
            "at": microseconds(ending.finished_at),
            "new_status": ending.status.value,
            "new_message": ending.message,
            "new_reason": ending.failure_reason.value if ending.failure_reason else None,
            "new_guidance": ending.guidance,
            "new_may_have": ending.may_have_succeeded,
            "new_results": results_to_text(ending.door_results) if ending.door_results else None,
        },
    )
    if changed.rowcount == 0:
        return None
    ended = command_from_row(connection.execute(FIND, {"of_command": command_id}).one())
    end_history(
        connection, command_id, ending.status, ending.finished_at, ended.accepted_at, ending.failure_reason
    )
    write_audit(
        connection,
        ended,
        f"COMMAND_{ending.status.value}",
        ending.finished_at,
        {"reason": ending.failure_reason, "doors": [r.door_id for r in ending.door_results if r.success]},
    )
    _end_cancellations(connection, ended, ending)
    messages = outbox_messages.changed(ended)
    outbox.add(connection, messages)
    return messages


def end_history(
    connection: Connection,
    entry_id: str,
    status: Status,
    at: datetime,
    requested_at: datetime,
    reason: FailureReason | None,
) -> None:
    """Make an entry part of the history that is listed; history_entries.record_ended dates it."""
    END_HISTORY(
        connection,
        {
            "of_entry": entry_id,
            "new_status": status.value,
            "at": microseconds(at),
            "now_us": in_milliseconds(at),
            "new_duration": _duration_us(at - requested_at),
            "new_reason": reason.value if reason else None,
        },
    )


def _end_cancellations(connection: Connection, ended: Command, ending: Ending) -> None:
    """End cancellations: one succeeded when its command was cancelled; one that came to nothing was too late."""
    open_ones = OPEN_CANCELLATIONS(connection, {"of_command": ended.command_id}).all()
    if not open_ones:
        return
    stopped = FailureReason.CANCELLED in {
        ending.failure_reason,
        *(r.failure_reason for r in ending.door_results),
    }
    for open_one in open_ones:
        if (
            ending.status is Status.CANCELLED
            or stopped
            or ending.failure_reason is FailureReason.GRANT_REVOKED
        ):
            status, reason = Status.SUCCESS, None
        elif ending.status is Status.TIMEOUT:
            status, reason = Status.TIMEOUT, FailureReason.TTL_EXPIRED
        else:
            status, reason = Status.FAILED, FailureReason.TOO_LATE
        requested_at = moment(open_one.requested_at)
        end_cancellation(connection, open_one.cancel_id, requested_at, status, ending.finished_at, reason)


def end_cancellation(
    connection: Connection,
    cancel_id: str,
    requested_at: datetime,
    status: Status,
    at: datetime,
    reason: FailureReason | None,
) -> None:
    """Give a cancellation its end."""
    connection.execute(
        update(cancellation).where(cancellation.c.cancel_id == cancel_id).values(finished_at=at)
    )
    end_history(connection, cancel_id, status, at, requested_at, reason)


def write_audit(
    connection: Connection, about: Command, event: str, at: datetime, detail: dict[str, object]
) -> None:
    """One line of the audit."""
    INSERT_AUDIT(
        connection,
        {
            "at": microseconds(at),
            "event": event,
            "vin": about.vin,
            "command_id": about.command_id,
            "subject": about.requester.subject,
            "actor": about.requester.principal,
            "source": about.requester.source,
            "correlation_id": about.correlation_id,
            "detail": json.dumps(detail),
        },
    )


def wake(
    connection: Connection, vin: str, command_id: str, at: datetime, outbox_messages: OutboxMessages
) -> list[OutgoingMessage] | None:
    """Count a wake-up and note it on the command, if that is alive and the budgets allow one more, else None.

    The watchers are told the first time that a vehicle is woken for a command.
    """
    alive = ALIVE(connection, {"of_command": command_id}).one_or_none()
    if alive is None:
        return None
    wanted = WakeUp(at, alive.subject, alive.role == PersonRole.OWNER.value)
    known = EARLIER_WAKE_UPS(connection, {"of_vin": vin, "after": microseconds(at - WAKES_REMEMBERED)})
    # Of one from before, nobody knows for whom it was: it counts against the vehicle's budget alone.
    earlier = [
        WakeUp(moment(row.at), row.subject, row.by_owner is None or bool(row.by_owner)) for row in known
    ]
    if not may_wake(earlier, wanted):
        return None
    INSERT_WAKE_UP(
        connection,
        {"vin": vin, "at": microseconds(at), "subject": wanted.subject, "by_owner": wanted.by_owner},
    )
    if alive.waking_at is not None:
        return []
    changed = connection.execute(WAKING, {"of_command": command_id, "at": at}).one_or_none()
    if changed is None:
        return []
    messages = outbox_messages.waking(command_from_row(changed))
    outbox.add(connection, messages)
    return messages


def mark_received(
    connection: Connection, about: Command, at: datetime, outbox_messages: OutboxMessages
) -> list[OutgoingMessage]:
    """Note that the vehicle has it."""
    changed = MARK_RECEIVED(
        connection,
        {
            "of_command": about.command_id,
            "at": microseconds(at),
            "new_status": Status.IN_PROGRESS.value,
        },
    )
    if changed.rowcount == 0:
        return []
    messages = outbox_messages.changed(replace(about, status=Status.IN_PROGRESS, received_at=at))
    outbox.add(connection, messages)
    return messages


def _duration_us(duration: timedelta) -> int:
    return round(duration.total_seconds() * _MICROSECONDS)

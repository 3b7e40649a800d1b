"""The rows of new commands and cancellations. Each function is part of a transaction that its caller owns."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError

from services.command.adapters.store.statements import INSERT_COMMAND, INSERT_HISTORY
from services.command.adapters.store.tables import cancellation, idempotency_key
from services.command.domain.commands import CommandAction
from services.command.usecases.ports import CommandConflictError
from services.platform.times import microseconds

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

    from services.command.adapters.store.audit import AuditWriter
    from services.command.domain.commands import Cancellation, Command, Status


def insert_command(connection: Connection, new: Command, audit: AuditWriter) -> None:
    """Insert command, history and audit rows of a new command; none of the history for who does not consent to it.

    Raises CommandConflictError when it is not new, or another is in flight.
    """
    doors = json.dumps(new.door_action.target_doors)
    values = {
        "command_id": new.command_id,
        "vin": new.vin,
        "action": new.door_action.action.value,
        "target_doors": doors,
        "mode": new.door_action.mode.value,
        "principal": new.requester.principal,
        "subject": new.requester.subject,
        "source": new.requester.source,
        "correlation_id": new.correlation_id,
        "idempotency_key": idempotency_key(
            new.requester.subject, new.vin, new.door_action.action.value, new.correlation_id
        ),
        "fingerprint": new.door_action.fingerprint(),
        "accepted_at": microseconds(new.accepted_at),
        "expires_at": microseconds(new.expires_at),
        "estimated_seconds": new.estimated_seconds,
        "status": new.status.value,
        "role": new.requester.role.value if new.requester.role else None,
        "asleep": new.asleep,
        "lost": new.lost,
        "never_connected": new.never_connected,
    }
    try:
        INSERT_COMMAND(connection, values)
    except IntegrityError as error:
        raise CommandConflictError from error
    if new.requester.recorded:
        INSERT_HISTORY(
            connection,
            {
                "entry_id": new.command_id,
                "vin": new.vin,
                "command_id": new.command_id,
                "action": new.door_action.action.value,
                "target_doors": doors,
                "requested_at": microseconds(new.accepted_at),
                "user_id": new.requester.subject,
                "actor_id": new.requester.principal,
                "source": new.requester.source,
                "correlation_id": new.correlation_id,
            },
        )
    detail = {"doors": new.door_action.target_doors, "mode": new.door_action.mode.value}
    audit.write(connection, new, "COMMAND_ACCEPTED", new.accepted_at, detail)


def insert_cancellation(
    connection: Connection, new: Cancellation, answered: Status, audit: AuditWriter
) -> None:
    """Insert cancellation, history and audit rows, as `insert_command` does. Raises CommandConflictError when it is
    not new.
    """
    values = {
        "cancel_id": new.cancel_id,
        "command_id": new.command_id,
        "idempotency_key": idempotency_key(
            new.requester.subject, new.vin, CommandAction.CANCEL.value, new.correlation_id
        ),
        "fingerprint": new.cancel_request.fingerprint(),
        "answered": answered.value,
        "requested_at": new.requested_at,
    }
    try:
        connection.execute(insert(cancellation), values)
    except IntegrityError as error:
        raise CommandConflictError from error
    if new.requester.recorded:
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
    detail = {"reason": new.cancel_request.reason, "force": new.cancel_request.force}
    audit.write(connection, new, "CANCEL_REQUESTED", new.requested_at, detail)


def insert_own_cancellation(
    connection: Connection, cancel_id: str, command_id: str, answered: Status, at: datetime
) -> None:
    """Insert the cloud's own cancellation. Nobody asked for it, so it is not in the history."""
    connection.execute(
        insert(cancellation),
        {
            "cancel_id": cancel_id,
            "command_id": command_id,
            "fingerprint": "",
            "answered": answered.value,
            "requested_at": at,
        },
    )

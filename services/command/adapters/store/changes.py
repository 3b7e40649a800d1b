"""The rows of what happened to commands. Nothing is decided here: each change is written where it still holds.

Every function is part of a transaction that its caller owns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.command.adapters.store.requests import insert_own_cancellation
from services.command.adapters.store.statements import (
    END_CANCELLATION,
    END_HISTORY,
    INSERT_WAKE_UP,
    KEEP_LATE,
    MARK_RECEIVED,
    NOTE_WAKE_UP,
    PROVE_INACTION,
    SUPERSEDE,
    end_statement,
    in_milliseconds,
)
from services.command.adapters.store.tables import late_to_text, results_to_text
from services.command.domain.changes import (
    CancellationEnded,
    CommandEnded,
    CommandReceived,
    CommandSuperseded,
    CommandTakenBack,
    InactionProven,
    LateResultKept,
    OutcomeContradicted,
    WakeUpCounted,
    WakeUpNoted,
)
from services.command.domain.commands import Status
from services.command.usecases.ports import StaleStateError
from services.platform.times import microseconds

if TYPE_CHECKING:
    from datetime import datetime
    from typing import Any

    from sqlalchemy import Connection, CursorResult

    from services.command.adapters.store.audit import AuditWriter
    from services.command.domain.changes import CommandChange
    from services.command.domain.commands import Command, FailureReason
    from services.command.domain.wake_budget import WakeUp

_MICROSECONDS = 1_000_000


def write(
    connection: Connection, about: Command, change: CommandChange, audit: AuditWriter
) -> datetime | None:
    """Write one change of a command, which stands as it does after it; when an entry of the history ended, if one did.

    Raises StaleStateError when the command does not stand as it did when this was decided.
    """
    match change:
        case CommandEnded():
            _end(connection, about, change, audit)
            return change.ending.finished_at
        case CancellationEnded():
            _end_cancellation(connection, change)
            return change.at
        case _:
            _note(connection, about, change, audit)
            return None


def _note(
    connection: Connection,
    about: Command,
    change: CommandReceived
    | LateResultKept
    | InactionProven
    | CommandTakenBack
    | CommandSuperseded
    | WakeUpCounted
    | WakeUpNoted
    | OutcomeContradicted,
    audit: AuditWriter,
) -> None:
    match change:
        case CommandReceived():
            _mark_received(connection, about, change)
        case LateResultKept():
            _keep_late(connection, about, change, audit)
        case InactionProven():
            _prove_inaction(connection, about, change, audit)
        case CommandTakenBack():
            _take_back(connection, about, change, audit)
        case CommandSuperseded():
            _supersede(connection, about, change, audit)
        case WakeUpCounted():
            count_wake_up(connection, about.vin, change.wake_up)
        case WakeUpNoted():
            values = {"of_command": about.command_id, "at": microseconds(change.at)}
            _hit(NOTE_WAKE_UP(connection, values))
        case OutcomeContradicted():
            audit.write(connection, about, "COMMAND_CONTRADICTED", change.at, {"doors": change.doors})


def _hit(changed: CursorResult[Any]) -> None:
    if changed.rowcount != 1:
        raise StaleStateError


def _mark_received(connection: Connection, about: Command, change: CommandReceived) -> None:
    values = {
        "of_command": about.command_id,
        "at": microseconds(change.at),
        "new_status": Status.IN_PROGRESS.value,
    }
    _hit(MARK_RECEIVED(connection, values))


def _end(connection: Connection, about: Command, change: CommandEnded, audit: AuditWriter) -> None:
    ending = change.ending
    write_end = end_statement(unless_taken_over=change.unless_taken_over, by_vehicle=change.by_vehicle)
    values = {
        "of_command": about.command_id,
        "at": microseconds(ending.finished_at),
        "new_status": ending.status.value,
        "new_message": ending.message,
        "new_reason": ending.failure_reason.value if ending.failure_reason else None,
        "new_guidance": ending.guidance,
        "new_may_have": ending.may_have_succeeded,
        "new_results": results_to_text(ending.door_results) if ending.door_results else None,
    }
    _hit(write_end(connection, values))
    _end_history(
        connection,
        about.command_id,
        ending.status,
        ending.finished_at,
        about.accepted_at,
        ending.failure_reason,
    )
    moved = [door.door_id for door in ending.door_results if door.success]
    detail: dict[str, object] = {"reason": ending.failure_reason, "doors": moved}
    audit.write(connection, about, f"COMMAND_{ending.status.value}", ending.finished_at, detail)


def _end_cancellation(connection: Connection, change: CancellationEnded) -> None:
    values = {"of_cancellation": change.cancel_id, "at": microseconds(change.at)}
    _hit(END_CANCELLATION(connection, values))
    _end_history(connection, change.cancel_id, change.status, change.at, change.requested_at, change.reason)


def _end_history(
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
            "new_duration": round((at - requested_at).total_seconds() * _MICROSECONDS),
            "new_reason": reason.value if reason else None,
        },
    )


def _keep_late(connection: Connection, about: Command, change: LateResultKept, audit: AuditWriter) -> None:
    late = change.late_result
    _hit(KEEP_LATE(connection, {"of_command": about.command_id, "new_late": late_to_text(late)}))
    audit.write(connection, about, "LATE_RESULT", late.received_at, {"status": late.status.value})


def _prove_inaction(
    connection: Connection, about: Command, change: InactionProven, audit: AuditWriter
) -> None:
    values = {"of_command": about.command_id, "was": True, "now": False, "new_guidance": change.guidance}
    _hit(PROVE_INACTION(connection, values))
    audit.write(connection, about, "COMMAND_DID_NOT_ACT", change.at, {})


def _take_back(connection: Connection, about: Command, change: CommandTakenBack, audit: AuditWriter) -> None:
    insert_own_cancellation(connection, change.cancel_id, about.command_id, change.answered, change.at)
    audit.write(connection, about, "RIGHT_ENDED", change.at, {})


def _supersede(connection: Connection, about: Command, change: CommandSuperseded, audit: AuditWriter) -> None:
    _hit(SUPERSEDE(connection, {"of_command": about.command_id, "at": microseconds(change.at)}))
    insert_own_cancellation(connection, change.cancel_id, about.command_id, change.answered, change.at)
    audit.write(connection, about, "SUPERSEDED", change.at, {"by": change.by})


def count_wake_up(connection: Connection, vin: str, wake_up: WakeUp) -> None:
    """Keep a wake-up of a vehicle."""
    INSERT_WAKE_UP(
        connection,
        {
            "vin": vin,
            "at": microseconds(wake_up.at),
            "subject": wake_up.subject,
            "by_owner": wake_up.by_owner,
        },
    )

"""The record while it is changed (ports.CommandTransaction): it loads how things stand, and keeps what happened."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from services.command.adapters.store import changes, history_entries, requests
from services.command.adapters.store.queries import wake_ups_of
from services.command.adapters.store.statements import CANCELLATIONS, FIND_ALL, KEEP_OUTCOME
from services.command.adapters.store.tables import (
    command_from_row,
    confirmation_to_text,
    inbox,
    outbox,
    sessions,
)
from services.command.domain.changes import CancellationState
from services.command.domain.commands import RequestedOrder

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from protocol.cloud_side import CloudStore
    from services.command.adapters.store.audit import AuditWriter
    from services.command.domain.changes import CommandChange
    from services.command.domain.commands import Cancellation, Command, ObservedOutcome, Status
    from services.command.domain.reports import SignedEvidence
    from services.command.domain.wake_budget import WakeUp
    from services.platform.outbox import OutgoingMessage


class SqlTransaction:
    """One transaction over a connection whose owner commits it, after `finish`."""

    def __init__(self, connection: Connection, audit: AuditWriter) -> None:
        self._connection = connection
        self._audit = audit
        self._ended_at: datetime | None = None
        self.decided = False
        """Whether somebody's request was accepted in it."""

    @property
    def sessions(self) -> CloudStore:
        """Return the vehicles' sessions: to load one locks it."""
        return sessions.store(self._connection)

    def commands(self, command_ids: Iterable[str]) -> dict[str, Command]:
        """Return those that there are, by id, locked: nobody else changes one of them, nor cancels it, before the end
        of this transaction.
        """
        rows = self._connection.execute(FIND_ALL, {"ids": list(command_ids)})
        return {row.command_id: command_from_row(row) for row in rows}

    def cancellations(self, command_ids: Iterable[str]) -> dict[str, tuple[CancellationState, ...]]:
        """Return all that were ever kept of these commands, which are locked; those of the cloud's own too."""
        found: dict[str, tuple[CancellationState, ...]] = {}
        for row in self._connection.execute(CANCELLATIONS, {"ids": list(command_ids)}):
            each = CancellationState(row.cancel_id, row.requested_at, unanswered=row.finished_at is None)
            found[row.command_id] = (*found.get(row.command_id, ()), each)
        return found

    def first_time(self, message_id: str, at: datetime) -> bool:
        """Keep that this message came; False when it came before."""
        return inbox.first_time(self._connection, message_id, at)

    def change(
        self, command: Command, happened: Sequence[CommandChange], evidence: SignedEvidence | None = None
    ) -> None:
        """Keep what happened to a command, with its history and audit entries. `command` is how it stands then.
        `evidence` is what its vehicle signed of it.

        Raises StaleStateError when the command stood otherwise than it was when this was decided.
        """
        audit = self._audit.proven_by(evidence)
        for each in happened:
            ended_at = changes.write(self._connection, command, each, audit)
            if ended_at is not None:
                self._ended_at = max(ended_at, self._ended_at or ended_at)

    def add_command(self, command: Command) -> None:
        """Keep a new command, with its history and audit entries. Raises CommandConflictError."""
        requests.insert_command(self._connection, command, self._audit)
        self.decided = True

    def add_cancellation(self, cancellation: Cancellation, answered: Status) -> None:
        """Keep a cancellation and what the command was told, with its history and audit entries. Raises
        CommandConflictError.
        """
        requests.insert_cancellation(self._connection, cancellation, answered, self._audit)
        self.decided = True

    def keep_outcome(self, outcome: ObservedOutcome) -> Command | None:
        """Keep what was observed of its vehicle's command, if that may still succeed (lifecycle.MAY_STILL_SUCCEED)
        and has none; return that command, else None.
        """
        values = {
            "of_command": outcome.command_id,
            "of_vin": outcome.vin,
            "new_confirmation": confirmation_to_text(outcome.confirmation),
        }
        row = self._connection.execute(KEEP_OUTCOME, values).one_or_none()
        return None if row is None else command_from_row(row)

    def wake_ups(self, vin: str, after: datetime) -> list[WakeUp]:
        """Return the wake-ups that this vehicle was sent after that time."""
        return wake_ups_of(self._connection, vin, after)

    def add_wake_up(self, vin: str, wake_up: WakeUp) -> None:
        """Keep that this vehicle is sent a wake-up for no command."""
        changes.count_wake_up(self._connection, vin, wake_up)

    def order_of(self, command: Command) -> RequestedOrder:
        """Return the order of a command as it was sent, or waits to be."""
        kept = select(outbox.table.c.payload).where(outbox.table.c.message_id == command.command_id)
        payload = self._connection.execute(kept).scalar_one()
        return RequestedOrder(command.command_id, command.vin, bytes(payload))

    def withdraw(self, message_id: str, at: datetime) -> None:
        """Count a message that must not leave any more as dealt with."""
        outbox.cancel(self._connection, message_id, at)

    def send(self, messages: Sequence[OutgoingMessage]) -> None:
        """Keep messages that leave after the commit."""
        outbox.add(self._connection, messages)

    def finish(self) -> None:
        """Date what ended: the last thing before the commit."""
        if self._ended_at is not None:
            history_entries.record_ended(self._connection, self._ended_at)

"""The record as the use cases know it: each method is one transaction; the relays hear of it after the commit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError

from services.command.accepting import CommandConflict
from services.command.domain import CommandAction
from services.command.store import history_entries, queries, reports, requests, supersedings
from services.command.store.tables import (
    audit,
    cancellation,
    command,
    history,
    inbox,
    outbox,
    sessions,
    wake_up,
)
from services.command.vehicle_usecases import CommandReceipt
from services.command.wake_budget import WAKES_REMEMBERED

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from sqlalchemy import Connection, Select

    from services.command.domain import (
        Cancellation,
        Command,
        CommandRightEnded,
        Ending,
        InFlight,
        ObservedOutcome,
        RequestedOrder,
        Requester,
        Status,
        StatusCheck,
    )
    from services.command.history import HistoryPage, HistoryQuery, RefusedRequest
    from services.command.usecases import PriorRequest
    from services.command.vehicle_usecases import IngestResult, VerifiedMessage
    from services.platform.database import Database
    from services.platform.outbox import OutgoingMessage


class SqlCommands:
    """`usecases.Commands` over a service's database.

    `outbox_messages` says which messages a change sends; `committed` is called with them after each commit.
    """

    def __init__(
        self,
        database: Database,
        outbox_messages: requests.OutboxMessages,
        committed: Callable[[Sequence[OutgoingMessage]], None],
    ) -> None:
        self._database = database
        self._outbox_messages = outbox_messages
        self._committed = committed

    async def accept(self, new: Command) -> None:
        """Keep a new command, its history and audit entries and what is to be sent. Raises Taken."""
        outbox_messages = self._outbox_messages
        await self._insert(lambda connection: requests.insert_command(connection, new, outbox_messages))

    async def supersede(self, lock: Command, unlock_id: str, *, surely_unsent: bool) -> bool:
        """Keep a new lock in the place of an unlock, which ends at once where it surely never left, and else is not
        sent any more and is the vehicle's to give up. Raises Taken.

        False when the unlock has ended or was superseded meanwhile: then nothing is kept.
        """
        outbox_messages = self._outbox_messages

        def work(connection: Connection) -> list[OutgoingMessage]:
            messages = supersedings.supersede(
                connection, lock, unlock_id, outbox_messages, surely_unsent=surely_unsent
            )
            if messages is None:
                raise _TooLate
            history_entries.record_ended(connection, lock.accepted_at)
            return messages

        return await self._insert(work)

    async def ask_to_cancel(self, new: Cancellation, answered: Status) -> bool:
        """Keep a cancellation for the vehicle to decide, and as what the command was told. Raises Taken.

        False when the command has ended meanwhile: then nothing is kept.
        """
        messages = self._outbox_messages.cancel(new)

        def work(connection: Connection) -> list[OutgoingMessage]:
            if connection.execute(_alive(new.command_id)).one_or_none() is None:
                raise _TooLate
            requests.insert_cancellation(connection, new, answered)
            outbox.add(connection, messages)
            return messages

        return await self._insert(work)

    async def cancel_unsent(self, new: Cancellation, ending: Ending) -> bool:
        """End a command that has not left, and keep its cancellation. Raises Taken.

        False when it has ended or was taken over meanwhile: then nothing is kept.
        """
        outbox_messages = self._outbox_messages

        def work(connection: Connection) -> list[OutgoingMessage]:
            # First the command, as ask_to_cancel does: two that cancel at once wait for each other.
            if connection.execute(_alive(new.command_id)).one_or_none() is None:
                raise _TooLate
            requests.insert_cancellation(connection, new, ending.status)
            messages = requests.end_command(
                connection, new.command_id, ending, outbox_messages, unless_taken_over=True
            )
            if messages is None:
                raise _TooLate
            outbox.cancel(connection, new.command_id, ending.finished_at)
            history_entries.record_ended(connection, ending.finished_at)
            return messages

        return await self._insert(work)

    async def _insert(self, work: Callable[[Connection], list[OutgoingMessage]]) -> bool:
        """Return whether it was not too late."""
        try:
            messages = await self._database.write(work)
        except IntegrityError as error:
            raise CommandConflict from error
        except _TooLate:
            return False
        self._committed(messages)
        return True

    async def take_over(self, command_ids: Sequence[str], now: datetime) -> set[str]:
        """Return which of them are still alive. They are marked: from now on none of them surely never left."""
        statement = (
            update(command)
            .where(
                command.c.command_id.in_(command_ids),
                command.c.finished_at.is_(None),
                command.c.superseded_at.is_(None),
                command.c.expires_at > now,
            )
            .values(taken_over_at=now)
            .returning(command.c.command_id)
        )
        return await self._database.write(
            lambda connection: set(connection.execute(statement).scalars().all())
        )

    async def finish(self, endings: Sequence[tuple[str, Ending]], *, unless_taken_over: bool) -> None:
        """End these commands; those that have ended already stay as they are.

        With `unless_taken_over` so do those that another process may have handed over.
        """
        outbox_messages = self._outbox_messages

        def work(connection: Connection) -> list[OutgoingMessage]:
            messages: list[OutgoingMessage] = []
            for command_id, ending in endings:
                ended = requests.end_command(
                    connection, command_id, ending, outbox_messages, unless_taken_over=unless_taken_over
                )
                if ended is not None:
                    messages += ended
                    outbox.cancel(connection, command_id, ending.finished_at)
            if endings:
                history_entries.record_ended(connection, max(ending.finished_at for _, ending in endings))
            return messages

        self._committed(await self._database.write(work))

    async def ingest(self, arrived: Sequence[VerifiedMessage], at: datetime) -> IngestResult:
        """Take in what vehicles said, each once, in order."""
        outbox_messages = self._outbox_messages

        def work(connection: Connection) -> tuple[list[OutgoingMessage], IngestResult]:
            messages, taken = reports.ingest(connection, arrived, at, outbox_messages)
            if any(not isinstance(report, CommandReceipt) for report in taken.accepted):
                history_entries.record_ended(connection, at)
            return messages, taken

        messages, taken = await self._database.write(work)
        self._committed(messages)
        return taken

    async def confirm(self, verdicts: Sequence[ObservedOutcome], at: datetime) -> None:
        """Keep what was observed after these commands had succeeded, each once; only of the vehicle's own commands."""
        await self._database.write(lambda connection: reports.confirm(connection, verdicts, at))

    async def wake(self, vin: str, command_id: str, at: datetime) -> bool:
        """Count a wake-up against the budgets of vehicle and person and note it on the command; False: none is left."""
        outbox_messages = self._outbox_messages
        messages = await self._database.write(
            lambda connection: requests.wake(connection, vin, command_id, at, outbox_messages)
        )
        self._committed(messages or ())
        return messages is not None

    async def release_key(self, prior: PriorRequest) -> None:
        """Let its idempotency key be used anew."""

        def work(connection: Connection) -> None:
            for table in (command, cancellation):
                connection.execute(
                    update(table).where(table.c.idempotency_key == prior.key).values(idempotency_key=None)
                )

        await self._database.write(work)

    async def prior(
        self, requester: Requester, vin: str, operation: str, correlation_id: str
    ) -> PriorRequest | None:
        """Return what was asked for before for the same customer under this id, at any time."""
        return await self._database.read(
            lambda connection: queries.prior(connection, requester, vin, operation, correlation_id)
        )

    async def in_flight(self, vin: str) -> InFlight | None:
        """Return the command in flight on this vehicle; one that is superseded is in nobody's way."""
        return await self._database.read(lambda connection: queries.in_flight(connection, vin))

    async def get(self, vin: str, command_id: str) -> Command | None:
        """Return one command of this vehicle."""
        return await self._database.read(lambda connection: queries.by_id(connection, vin, command_id))

    async def latest_by_correlation_id(self, vin: str, correlation_id: str) -> Command | None:
        """Return the newest command of this vehicle that was requested with this id."""
        return await self._database.read(
            lambda connection: queries.latest_by_correlation_id(connection, vin, correlation_id)
        )

    async def overdue(self, now: datetime, at_most: int) -> list[tuple[str, bool]]:
        """Return the ids of commands whose time has run out and that have not ended, and whether each was taken
        over.
        """
        return await self._database.read(lambda connection: queries.overdue(connection, now, at_most))

    async def unreceived(self, vin: str, now: datetime) -> Sequence[OutgoingMessage]:
        """Return the messages of commands still alive that the vehicle has not confirmed, dated `now`."""
        return await self._database.read(lambda connection: queries.unreceived(connection, vin, now))

    async def outgoing(self, message_ids: Sequence[str], now: datetime) -> Sequence[OutgoingMessage]:
        """Return these messages as they were kept, dated `now`; those of commands that have ended are left out."""
        return await self._database.read(lambda connection: queries.outgoing(connection, message_ids, now))

    async def live(self, ended: CommandRightEnded) -> list[RequestedOrder]:
        """Return the commands alive that this may concern."""
        return await self._database.read(lambda connection: queries.live(connection, ended))

    async def take_back(self, taken: RequestedOrder, at: datetime) -> bool:
        """Keep the cloud's own cancellation of a command, for its vehicle, once; False when it has ended."""
        outbox_messages = self._outbox_messages
        messages = await self._database.write(
            lambda connection: requests.take_back(connection, taken, at, outbox_messages)
        )
        self._committed(messages or ())
        return messages is not None

    async def unanswered(
        self, accepted_before: datetime, now: datetime, at_most: int
    ) -> list[tuple[str, str]]:
        """(command id, VIN) of commands alive that no vehicle confirmed and nobody was woken for."""
        return await self._database.read(
            lambda connection: queries.unanswered(connection, accepted_before, now, at_most)
        )

    async def unconfirmed(self, accepted_before: datetime, now: datetime, at_most: int) -> list[str]:
        """Vehicles that have not confirmed a command that is alive, whoever was woken; the newest first."""
        return await self._database.read(
            lambda connection: queries.unconfirmed(connection, accepted_before, now, at_most)
        )

    async def history(self, vin: str, query: HistoryQuery) -> HistoryPage:
        """Return a page of finished requests, newest first."""
        return await self._database.read(lambda connection: history_entries.page(connection, vin, query))

    async def add_status_checks(self, checks: Sequence[StatusCheck], at: datetime) -> None:
        """Keep these in the history; those that are there already stay as they are."""
        rows = [history_entries.status_check_row(check) for check in checks]
        await self._database.write(lambda connection: history_entries.add(connection, rows, at))

    async def add_refused(self, refused: Sequence[RefusedRequest], at: datetime) -> None:
        """Keep these in the history; those that are there already stay as they are."""
        rows = [history_entries.refused_row(each) for each in refused]
        await self._database.write(lambda connection: history_entries.add(connection, rows, at))

    async def purge_expired(
        self, before: datetime, checks_before: datetime, keys_before: datetime, now: datetime
    ) -> None:
        """Drop the history that is past its retention, looks and idempotency keys past theirs, and what served
        vehicles.
        """

        def work(connection: Connection) -> None:
            connection.execute(delete(history).where(history.c.requested_at < before))
            connection.execute(
                delete(history).where(
                    history.c.action == CommandAction.STATUS_CHECK.value,
                    history.c.requested_at < checks_before,
                )
            )
            connection.execute(delete(cancellation).where(cancellation.c.finished_at < before))
            connection.execute(delete(audit).where(audit.c.at < before))
            connection.execute(delete(command).where(command.c.finished_at < before))
            connection.execute(delete(wake_up).where(wake_up.c.at < now - WAKES_REMEMBERED))
            inbox.purge_expired(connection, keys_before)
            sessions.purge_expired(connection, round(now.timestamp() * 1_000))

        await self._database.write(work)


class _TooLate(Exception):
    """Rolls a cancellation back: its command has ended, or was taken over."""


def _alive(command_id: str) -> Select[tuple[str]]:
    """Lock it, so that an end that is being written at this moment is seen, or sees what follows."""
    return (
        select(command.c.command_id)
        .where(command.c.command_id == command_id, command.c.finished_at.is_(None))
        .with_for_update()
    )

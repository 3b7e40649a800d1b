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
    from services.runtime.database import Database
    from services.runtime.outbox import OutgoingMessage


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
        """See usecases.Commands."""
        outbox_messages = self._outbox_messages
        await self._insert(lambda connection: requests.insert_command(connection, new, outbox_messages))

    async def supersede(self, lock: Command, unlock_id: str, *, surely_unsent: bool) -> bool:
        """See usecases.Commands."""
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
        """See usecases.Commands."""
        messages = self._outbox_messages.cancel(new)

        def work(connection: Connection) -> list[OutgoingMessage]:
            if connection.execute(_alive(new.command_id)).one_or_none() is None:
                raise _TooLate
            requests.insert_cancellation(connection, new, answered)
            outbox.add(connection, messages)
            return messages

        return await self._insert(work)

    async def cancel_unsent(self, new: Cancellation, ending: Ending) -> bool:
        """See usecases.Commands."""
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
        """Whether it was not too late."""
        try:
            messages = await self._database.write(work)
        except IntegrityError as error:
            raise CommandConflict from error
        except _TooLate:
            return False
        self._committed(messages)
        return True

    async def take_over(self, command_ids: Sequence[str], now: datetime) -> set[str]:
        """See usecases.Commands."""
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
        """See usecases.Commands."""
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
        """See usecases.Commands."""
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
        """See usecases.Commands."""
        await self._database.write(lambda connection: reports.confirm(connection, verdicts, at))

    async def wake(self, vin: str, command_id: str, at: datetime) -> bool:
        """See usecases.Commands."""
        outbox_messages = self._outbox_messages
        messages = await self._database.write(
            lambda connection: requests.wake(connection, vin, command_id, at, outbox_messages)
        )
        self._committed(messages or ())
        return messages is not None

    async def release_key(self, prior: PriorRequest) -> None:
        """See usecases.Commands."""

        def work(connection: Connection) -> None:
            for table in (command, cancellation):
                connection.execute(
                    update(table).where(table.c.idempotency_key == prior.key).values(idempotency_key=None)
                )

        await self._database.write(work)

    async def prior(
        self, requester: Requester, vin: str, operation: str, correlation_id: str
    ) -> PriorRequest | None:
        """See usecases.Commands."""
        return await self._database.read(
            lambda connection: queries.prior(connection, requester, vin, operation, correlation_id)
        )

    async def in_flight(self, vin: str) -> InFlight | None:
        """See usecases.Commands."""
        return await self._database.read(lambda connection: queries.in_flight(connection, vin))

    async def get(self, vin: str, command_id: str) -> Command | None:
        """See usecases.Commands."""
        return await self._database.read(lambda connection: queries.by_id(connection, vin, command_id))

    async def latest_by_correlation_id(self, vin: str, correlation_id: str) -> Command | None:
        """See usecases.Commands."""
        return await self._database.read(
            lambda connection: queries.latest_by_correlation_id(connection, vin, correlation_id)
        )

    async def overdue(self, now: datetime, at_most: int) -> list[tuple[str, bool]]:
        """See usecases.Commands."""
        return await self._database.read(lambda connection: queries.overdue(connection, now, at_most))

    async def unreceived(self, vin: str, now: datetime) -> Sequence[OutgoingMessage]:
        """See usecases.Commands."""
        return await self._database.read(lambda connection: queries.unreceived(connection, vin, now))

    async def outgoing(self, message_ids: Sequence[str], now: datetime) -> Sequence[OutgoingMessage]:
        """See usecases.Commands."""
        return await self._database.read(lambda connection: queries.outgoing(connection, message_ids, now))

    async def live(self, ended: CommandRightEnded) -> list[RequestedOrder]:
        """See usecases.Commands."""
        return await self._database.read(lambda connection: queries.live(connection, ended))

    async def take_back(self, taken: RequestedOrder, at: datetime) -> bool:
        """See usecases.Commands."""
        outbox_messages = self._outbox_messages
        messages = await self._database.write(
            lambda connection: requests.take_back(connection, taken, at, outbox_messages)
        )
        self._committed(messages or ())
        return messages is not None

    async def unanswered(
        self, accepted_before: datetime, now: datetime, at_most: int
    ) -> list[tuple[str, str]]:
        """See usecases.Commands."""
        return await self._database.read(
            lambda connection: queries.unanswered(connection, accepted_before, now, at_most)
        )

    async def unconfirmed(self, accepted_before: datetime, now: datetime, at_most: int) -> list[str]:
        """See usecases.Commands."""
        return await self._database.read(
            lambda connection: queries.unconfirmed(connection, accepted_before, now, at_most)
        )

    async def history(self, vin: str, query: HistoryQuery) -> HistoryPage:
        """See usecases.Commands."""
        return await self._database.read(lambda connection: history_entries.page(connection, vin, query))

    async def add_status_checks(self, checks: Sequence[StatusCheck], at: datetime) -> None:
        """See usecases.Commands."""
        rows = [history_entries.status_check_row(check) for check in checks]
        await self._database.write(lambda connection: history_entries.add(connection, rows, at))

    async def add_refused(self, refused: Sequence[RefusedRequest], at: datetime) -> None:
        """See usecases.Commands."""
        rows = [history_entries.refused_row(each) for each in refused]
        await self._database.write(lambda connection: history_entries.add(connection, rows, at))

    async def purge_expired(
        self, before: datetime, checks_before: datetime, keys_before: datetime, now: datetime
    ) -> None:
        """See usecases.Commands."""

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
    """Locks it, so that an end that is being written at this moment is seen, or sees what follows."""
    return (
        select(command.c.command_id)
        .where(command.c.command_id == command_id, command.c.finished_at.is_(None))
        .with_for_update()
    )

"""The record as the use cases know it: each method is one transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from sqlalchemy import select, update

from services.command.adapters.store import failure_counts, history_entries, queries
from services.command.adapters.store.audit import AuditWriter
from services.command.adapters.store.tables import (
    cancellation,
    command,
    sessions,
)
from services.command.adapters.store.transaction import SqlTransaction
from services.command.domain.commands import Status
from services.command.domain.failures import UNKNOWN_MODEL, EndedRequest
from services.platform.call import call_being_served

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from services.command.adapters.audit_entries import CommandAuditEntries
    from services.command.domain.commands import (
        Command,
        CommandRightEnded,
        InFlight,
        RequestedOrder,
        Requester,
        StatusCheck,
    )
    from services.command.domain.history import HistoryPage, HistoryQuery, RefusedRequest
    from services.command.domain.wake_budget import WakeUp
    from services.command.usecases.ports import CommandTransaction, PriorRequest
    from services.platform.database import Database
    from services.platform.outbox import OutgoingMessage

T = TypeVar("T")


class SqlCommands:
    """`ports.Commands` over a service's database."""

    def __init__(
        self,
        database: Database,
        audit_entries: CommandAuditEntries | None = None,
        model_of: Callable[[str], str] = lambda _: UNKNOWN_MODEL,
    ) -> None:
        self._database = database
        self._model_of = model_of
        self._audit = AuditWriter(audit_entries)
        self._is_relayed = audit_entries is not None

    async def write(self, work: Callable[[CommandTransaction], T]) -> T:
        """Run `work` in a transaction and return its answer once that is durable; what it raises undoes everything.

        Raises StorageUnavailableError, CommitUncertainError.
        """

        def run(connection: Connection) -> tuple[T, bool]:
            transaction = SqlTransaction(connection, self._audit)
            answer = work(transaction)
            transaction.finish()
            return answer, transaction.decided

        answer, decided = await self._database.write(run)
        if decided and (call := call_being_served()) is not None:
            call.note_recorded()
        return answer

    async def vehicles_with_session(self, at_most: int) -> Sequence[str]:
        """Return so many of the vehicles that have a session."""
        statement = select(sessions.sessions.c.vin).limit(at_most)
        return await self._database.read(lambda connection: connection.execute(statement).scalars().all())

    async def has_session(self, vin: str) -> bool:
        """Return whether this vehicle has a session."""
        statement = select(sessions.sessions.c.vin).where(sessions.sessions.c.vin == vin)
        found = await self._database.read(lambda connection: connection.execute(statement).scalar())
        return found is not None

    async def wake_ups(self, vin: str, after: datetime) -> list[WakeUp]:
        """Return the wake-ups that this vehicle was sent after that time."""
        return await self._database.read(lambda connection: queries.wake_ups_of(connection, vin, after))

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

    async def requesters(self, command_ids: Sequence[str]) -> dict[str, str]:
        """Return for whom each of these commands that are known was given."""
        return await self._database.read(lambda connection: queries.requesters(connection, command_ids))

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
        """Keep these in the history, and count them; those that are there already stay as they are."""

        def work(connection: Connection) -> None:
            new = history_entries.add_refused(connection, refused, at)
            failure_counts.add(connection, map(_as_ended, new), self._model_of)

        await self._database.write(work)


def _as_ended(refused: RefusedRequest) -> EndedRequest:
    return EndedRequest(
        refused.vin, refused.requester.subject, refused.action, Status.FAILED, refused.at, refused.reason
    )

"""What a service keeps about a person: handing it over, and erasing it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlalchemy import select

from services.platform.kept_data import contains, erase, rows_about
from services.platform.mentions import mentions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
    from typing import Any

    from sqlalchemy import ColumnElement, Connection

    from services.platform.audit_outbox import AuditOutbox
    from services.platform.database import Database
    from services.platform.kept_data import KeptTable
    from services.platform.legal_holds import LegalHolds
    from services.platform.outbox_table import Outbox

LEGAL_HOLD = "LEGAL_HOLD"
MESSAGES_WAITING = "MESSAGES_WAITING"


@dataclass(frozen=True, slots=True)
class ErasedRows:
    """What an erasure did: how many rows of which table, or what stood in its way."""

    in_the_way: str = ""
    rows: Mapping[str, int] = field(default_factory=dict)


def nothing_in_the_way(_connection: Connection, _person: str) -> str:
    """Return that nothing is."""
    return ""


def nothing_besides(_connection: Connection, _person: str, _pseudonym: str) -> None:
    """Do nothing."""


def no_words(_connection: Connection, _person: str) -> Sequence[str]:
    """Return none."""
    return ()


def pseudonym_of(erasure_id: str) -> str:
    """Return what stands in the place of an erased person's name: it says nothing of them."""
    return f"erased-{erasure_id}"[:64]


class SubjectData:
    """All tables of a service, by their lines. `in_the_way` says what must end first; `besides` does what no line says,
    in the same transaction and before the tables; `scrub` makes sure that nothing is left in the database's files.
    `told` erases what the broker still keeps of what this service told, before the tables are touched, by the person's
    name and by the `words` that they chose; it says what stands in the way until nothing is left.
    """

    def __init__(
        self,
        database: Database,
        tables: Sequence[KeptTable],
        holds: LegalHolds,
        scrub: Callable[[], Awaitable[None]],
        *,
        outbox: Outbox | None = None,
        audit_outbox: AuditOutbox | None = None,
        in_the_way: Callable[[Connection, str], str] = nothing_in_the_way,
        besides: Callable[[Connection, str, str], None] = nothing_besides,
        told: Callable[[str, str, Sequence[str]], Awaitable[str]] | None = None,
        words: Callable[[Connection, str], Sequence[str]] = no_words,
    ) -> None:
        self._database = database
        self._tables = tables
        self._holds = holds
        self._scrub = scrub
        self._outbox = outbox
        self._audit_outbox = audit_outbox
        self._in_the_way = in_the_way
        self._besides = besides
        self._told = told
        self._words = words

    async def rows(self, person: str) -> AsyncIterator[tuple[str, str]]:
        """Yield table and row, as a JSON object, of all that is about a person."""
        for kept in self._tables:
            after: Sequence[Any] | None = None
            while True:

                def some(
                    connection: Connection, kept: KeptTable = kept, after: Sequence[Any] | None = after
                ) -> tuple[list[str], Sequence[Any] | None]:
                    return rows_about(connection, kept, person, after)

                page, after = await self._database.read(some)
                for row in page:
                    yield kept.name, row
                if after is None:
                    break

    async def look(self, person: str) -> str:
        """Return what stands in the way of erasing them; empty when nothing does."""
        return await self._database.read(lambda connection: self._what_stands(connection, person))

    async def erase(self, person: str, erasure_id: str) -> ErasedRows:
        """Erase them, unless something stands in the way. Raises StorageUnavailableError; it can be asked again."""

        def work(connection: Connection) -> ErasedRows:
            if stands := self._what_stands(connection, person):
                return ErasedRows(stands)
            pseudonym = pseudonym_of(erasure_id)
            self._besides(connection, person, pseudonym)
            rows = {kept.name: erase(connection, kept, person, pseudonym) for kept in self._tables}
            return ErasedRows(rows={name: count for name, count in rows.items() if count})

        if stands := await self._erase_told(person, erasure_id):
            return ErasedRows(stands)
        done = await self._database.write(work)
        if not done.in_the_way:
            await self._scrub()
        return done

    async def unsent(self, person: str) -> str:
        """Return MESSAGES_WAITING while messages that name them wait to leave; empty when none does."""
        return await self._database.read(lambda connection: self._what_waits(connection, person))

    async def _erase_told(self, person: str, erasure_id: str) -> str:
        """Erase what the broker keeps, unless something else stands in the way; what does."""
        if self._told is None:
            return ""

        def work(connection: Connection) -> tuple[str, Sequence[str]]:
            stands = self._what_stands(connection, person)
            return stands, () if stands else self._words(connection, person)

        stands, words = await self._database.read(work)
        return stands or await self._told(erasure_id, person, words)

    def _what_stands(self, connection: Connection, person: str) -> str:
        if self._holds.of(connection, person):
            return LEGAL_HOLD
        return self._in_the_way(connection, person) or self._what_waits(connection, person)

    def _what_waits(self, connection: Connection, person: str) -> str:
        if self._outbox is not None:
            columns = self._outbox.table.c
            if _waits(connection, columns.payload, columns.sent_at, person):
                return MESSAGES_WAITING
        if self._audit_outbox is not None:
            columns = self._audit_outbox.table.c
            if _waits(connection, columns.entry, columns.set_aside, person):
                return MESSAGES_WAITING
        return ""


def _waits(
    connection: Connection, message: ColumnElement[bytes], done: ColumnElement[Any], person: str
) -> bool:
    """Return whether a message that names them has not gone yet."""
    query = select(message).where(done.is_(None), contains(message, person))
    return any(mentions(bytes(each), person) for each in connection.execute(query).scalars())

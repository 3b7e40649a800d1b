"""The inbox and the dead letters: what came in, once, and what could not be understood."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    Column,
    Connection,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from services.runtime.database import Instant

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Select

    from services.runtime.database import Database


MAX_SUBJECT = 256
MAX_REASON = 2_000


class Inbox:
    """Which messages this room has taken in: a second delivery of one is recognised by its id."""

    def __init__(self, metadata: MetaData) -> None:
        self.table = Table(
            "inbox",
            metadata,
            Column("message_id", String(160), primary_key=True),
            Column("received_at", Instant, nullable=False, index=True),
        )
        # Made once: making a statement takes longer than running it.
        self._insert = {
            "sqlite": sqlite.insert(self.table).on_conflict_do_nothing(),
            "postgresql": postgresql.insert(self.table).on_conflict_do_nothing(),
        }

    def first_time(self, connection: Connection, message_id: str, at: datetime) -> bool:
        """Record it in this transaction; False when it was there already."""
        statement = self._insert[connection.dialect.name]
        return connection.execute(statement, {"message_id": message_id, "received_at": at}).rowcount == 1

    def forget(self, connection: Connection, before: datetime) -> None:
        """Drop ids older than any message that the broker may still deliver again."""
        connection.execute(delete(self.table).where(self.table.c.received_at < before))


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that can not be handled, and why."""

    subject: str
    payload: bytes
    reason: str
    received_at: datetime


@dataclass(frozen=True, slots=True)
class KeptLetter:
    """A dead letter as it is kept, without its payload of `payload_bytes` bytes.

    `replayed_at` is when it was handed over again and taken; None: it waits.
    """

    letter_id: int
    subject: str
    reason: str
    received_at: datetime
    payload_bytes: int
    replayed_at: datetime | None


class DeadLetters:
    """Where they are kept, to be looked at and replayed: they never block the queue they came on."""

    def __init__(self, metadata: MetaData) -> None:
        self.table = Table(
            "dead_letter",
            metadata,
            Column("id", Integer, primary_key=True, autoincrement=True),
            Column("subject", String(MAX_SUBJECT), nullable=False),
            Column("payload", LargeBinary, nullable=False),
            Column("reason", Text, nullable=False),
            Column("received_at", Instant, nullable=False),
            Column("replayed_at", Instant, nullable=True),
        )
        columns = self.table.c
        # Without the payloads, of which many together may be more than a process should hold.
        self._without_payload = select(
            columns.id,
            columns.subject,
            columns.reason,
            columns.received_at,
            func.length(columns.payload).label("payload_bytes"),
            columns.replayed_at,
        )

    async def bury(self, database: Database, letters: Sequence[DeadLetter]) -> None:
        """Keep them durably, whatever is in them. Raises StorageUnavailable."""
        rows = [
            {
                "subject": _storable(d.subject)[:MAX_SUBJECT],
                "payload": d.payload,
                "reason": _storable(d.reason)[:MAX_REASON],
                "received_at": d.received_at,
            }
            for d in letters
        ]
        if rows:
            await database.write(lambda connection: connection.execute(insert(self.table), rows) and None)

    async def newest(self, database: Database, limit: int, before: int | None = None) -> list[KeptLetter]:
        """At most `limit`, the newest first, of those with an id below `before`. Raises StorageUnavailable."""
        query = self._without_payload.order_by(self.table.c.id.desc()).limit(limit)
        return await _letters(database, query if before is None else query.where(self.table.c.id < before))

    async def waiting(self, database: Database, limit: int, after: int) -> list[KeptLetter]:
        """At most `limit` that were not replayed, the oldest first, of those with an id above `after`.

        Raises StorageUnavailable.
        """
        columns = self.table.c
        query = self._without_payload.where(columns.id > after, columns.replayed_at.is_(None))
        return await _letters(database, query.order_by(columns.id).limit(limit))

    async def find(self, database: Database, letter_id: int) -> KeptLetter | None:
        """The letter with this id. Raises StorageUnavailable."""
        found = await _letters(database, self._without_payload.where(self.table.c.id == letter_id))
        return found[0] if found else None

    async def payload(self, database: Database, letter_id: int) -> bytes:
        """What a letter that is kept says. Raises StorageUnavailable."""
        query = select(self.table.c.payload).where(self.table.c.id == letter_id)
        return await database.read(lambda connection: bytes(connection.execute(query).scalar_one()))

    async def mark_replayed(self, database: Database, letter_id: int, at: datetime) -> datetime:
        """It was taken; since when, which is the first such time. Raises StorageUnavailable."""
        columns = self.table.c
        mark = update(self.table).where(columns.id == letter_id, columns.replayed_at.is_(None))
        query = select(columns.replayed_at).where(columns.id == letter_id)

        def work(connection: Connection) -> datetime:
            connection.execute(mark.values(replayed_at=at))
            since: datetime = connection.execute(query).scalar_one()
            return since

        return await database.write(work)


async def _letters(database: Database, query: Select[Any]) -> list[KeptLetter]:
    rows: Sequence[Any] = await database.read(lambda connection: connection.execute(query).all())
    return [KeptLetter(*row) for row in rows]


def _storable(text: str) -> str:
    """Without what PostgreSQL refuses in a text: NUL and lone surrogates."""
    return text.encode(errors="backslashreplace").decode().replace("\0", "\\0")

"""The inbox and the dead letters: what came in, once, and what could not be understood."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import Column, Connection, Integer, LargeBinary, MetaData, String, Table, Text, delete, insert
from sqlalchemy.dialects import postgresql, sqlite

from services.runtime.database import Instant

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

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

    def first_time(self, connection: Connection, message_id: str, at: datetime) -> bool:
        """Record it in this transaction; False when it was there already."""
        dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
        statement = dialect.insert(self.table).values(message_id=message_id, received_at=at)
        return connection.execute(statement.on_conflict_do_nothing()).rowcount == 1

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


def _storable(text: str) -> str:
    """Without what PostgreSQL refuses in a text: NUL and lone surrogates."""
    return text.encode(errors="backslashreplace").decode().replace("\0", "\\0")

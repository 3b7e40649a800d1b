"""The outbox's table: messages that leave after the commit that decides them (services.platform.outbox)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import (
    Column,
    Connection,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from services.platform.database import Instant
from services.platform.prepared import PreparedStatement
from services.platform.times import microseconds

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class OutgoingMessage:
    """One message to publish. `message_id` is unique for ever; `queue` names the relay that sends it.

    `ttl_seconds` is how long the broker keeps it undelivered; None keeps it by the stream's own rule.
    """

    message_id: str
    queue: str
    subject: str
    payload: bytes
    created_at: datetime
    ttl_seconds: int | None = None


class Outbox:
    """The table and the two things done to it inside a service's own transactions."""

    def __init__(self, metadata: MetaData) -> None:
        self.table = Table(
            "outbox",
            metadata,
            Column("sequence", Integer, primary_key=True, autoincrement=True),
            Column("message_id", String(128), nullable=False, unique=True),
            Column("queue", String(32), nullable=False),
            Column("subject", String(128), nullable=False),
            Column("payload", LargeBinary, nullable=False),
            Column("ttl_seconds", Integer, nullable=True),
            Column("created_at", Instant, nullable=False),
            Column("sent_at", Instant, nullable=True),
        )
        Index(
            "outbox_unsent",
            self.table.c.queue,
            self.table.c.sequence,
            sqlite_where=self.table.c.sent_at.is_(None),
            postgresql_where=self.table.c.sent_at.is_(None),
        )
        self._insert = PreparedStatement(
            {
                "sqlite": sqlite.insert(self.table).inline().on_conflict_do_nothing(),
                "postgresql": postgresql.insert(self.table).inline().on_conflict_do_nothing(),
            },
            "message_id",
            "queue",
            "subject",
            "payload",
            "ttl_seconds",
            "created_at",
        )

    def add(self, connection: Connection, messages: Sequence[OutgoingMessage]) -> None:
        """Make them part of this transaction. Hand them to their relay after the commit.

        A message that is there already, because another replica came to the same decision, is the same message.
        """
        if messages:
            self._insert.for_each(
                connection,
                [
                    {
                        "message_id": m.message_id,
                        "queue": m.queue,
                        "subject": m.subject,
                        "payload": m.payload,
                        "ttl_seconds": m.ttl_seconds,
                        "created_at": microseconds(m.created_at),
                    }
                    for m in messages
                ],
            )

    def cancel(self, connection: Connection, message_id: str, at: datetime) -> None:
        """Count a message that must not leave any more as dealt with."""
        table = self.table
        connection.execute(
            update(table)
            .where(table.c.message_id == message_id, table.c.sent_at.is_(None))
            .values(sent_at=at)
        )

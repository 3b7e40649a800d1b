"""The inbox: what came in, once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Column, Connection, MetaData, String, Table
from sqlalchemy.dialects import postgresql, sqlite

from services.platform.database import Instant
from services.platform.dead_letters import DeadLetter, DeadLetters, KeptLetter
from services.platform.prepared import PreparedStatement
from services.platform.times import microseconds

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["DeadLetter", "DeadLetters", "Inbox", "KeptLetter"]


class Inbox:
    """Which messages this service has ingested: a second delivery of one is recognised by its id."""

    def __init__(self, metadata: MetaData) -> None:
        self.table = Table(
            "inbox",
            metadata,
            Column("message_id", String(160), primary_key=True),
            Column("received_at", Instant, nullable=False, index=True),
        )
        self._insert = PreparedStatement(
            {
                "sqlite": sqlite.insert(self.table).on_conflict_do_nothing(),
                "postgresql": postgresql.insert(self.table).on_conflict_do_nothing(),
            },
            "message_id",
            "received_at",
        )

    def first_time(self, connection: Connection, message_id: str, at: datetime) -> bool:
        """Record it in this transaction; False when it was there already."""
        new = {"message_id": message_id, "received_at": microseconds(at)}
        return self._insert(connection, new).rowcount == 1

"""Entries that wait in a service's database for the audit ledger: the rows, and how the relay reads them.

An entry is a row of the transaction that does what it tells. Where a service keeps rows of its own for that, they are
marked once the ledger has them (DeliveredRows); all others are rows of `audit_outbox`, which go once it has them
(AuditOutbox).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    bindparam,
    delete,
    func,
    insert,
    null,
    select,
    update,
)

from services.platform.database import Instant
from services.platform.prepared import PreparedStatement

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, Row

MAX_REASON_CHARACTERS = 200
_SEQUENCE = BigInteger().with_variant(Integer, "sqlite")


@dataclass(frozen=True, slots=True)
class WaitingEntry:
    """An entry that the ledger has not confirmed: its row's key, and the ledger's message."""

    key: int
    entry: bytes


class WaitingEntries(Protocol):
    """Where entries wait."""

    def waiting(self, connection: Connection, most: int) -> Sequence[WaitingEntry]:
        """Return so many of those that wait, the oldest first."""

    def count(self, connection: Connection) -> int:
        """Return how many wait."""

    def delivered(self, connection: Connection, done: Sequence[WaitingEntry], at: datetime) -> None:
        """Note that the ledger has these, of which there is at least one."""

    def set_aside(self, connection: Connection, which: WaitingEntry, reason: str) -> None:
        """Keep one that the ledger will never take, and bring it no more."""


class AuditOutbox:
    """Entries without a row of their service's own. What the ledger has is here no longer.

    SQLite gives the number of the last row anew once it is gone. So a row is known by its entry too: what another
    process did with the row that had the number before concerns no new one.
    """

    def __init__(self, metadata: MetaData) -> None:
        self.table = Table(
            "audit_outbox",
            metadata,
            # Four bytes would be used up: on PostgreSQL a number is never given twice.
            Column("sequence", _SEQUENCE, primary_key=True, autoincrement=True),
            Column("entry", LargeBinary, nullable=False),
            Column("set_aside", String(MAX_REASON_CHARACTERS), nullable=True),
        )
        self._insert = PreparedStatement(insert(self.table).inline(), "entry")
        self._delete = PreparedStatement(
            delete(self.table).where(
                self.table.c.sequence == bindparam("which"), self.table.c.entry == bindparam("of")
            )
        )
        self._waits = self.table.c.set_aside.is_(None)

    def add(self, connection: Connection, entries: Sequence[bytes]) -> None:
        """Make them part of this transaction."""
        if entries:
            self._insert.for_each(connection, [{"entry": entry} for entry in entries])

    def waiting(self, connection: Connection, most: int) -> Sequence[WaitingEntry]:
        """Return so many of those that wait, the oldest first."""
        table = self.table.c
        query = select(table.sequence, table.entry).where(self._waits).order_by(table.sequence).limit(most)
        return [WaitingEntry(row.sequence, bytes(row.entry)) for row in connection.execute(query)]

    def count(self, connection: Connection) -> int:
        """Return how many wait."""
        query = select(func.count()).select_from(self.table).where(self._waits)
        return connection.execute(query).scalar_one()

    def delivered(self, connection: Connection, done: Sequence[WaitingEntry], at: datetime) -> None:  # noqa: ARG002  # the port's signature
        """Drop these: the ledger has them."""
        self._delete.for_each(connection, [{"which": each.key, "of": each.entry} for each in done])

    def set_aside(self, connection: Connection, which: WaitingEntry, reason: str) -> None:
        """Keep one that the ledger will never take, and bring it no more."""
        table = self.table
        this = (table.c.sequence == which.key, table.c.entry == which.entry)
        connection.execute(update(table).where(*this).values(set_aside=reason))


class DeliveredRows:
    """A table with an integer primary key and three columns for this: `entry`, the ledger's message until it has it;
    `delivered_at`, since when it has it; `set_aside`, why it will never take it. `entry_of` makes the message of a row
    of an older version, which has none.
    """

    def __init__(self, table: Table, entry_of: Callable[[Row[Any]], bytes]) -> None:
        self._table = table
        self._entry_of = entry_of
        (self._key,) = table.primary_key
        self._mark = PreparedStatement(
            update(table)
            .where(self._key == bindparam("which"))
            .values(delivered_at=bindparam("at", type_=Instant), entry=null())
        )

    @property
    def _waits(self) -> ColumnElement[bool]:
        return self._table.c.delivered_at.is_(None) & self._table.c.set_aside.is_(None)

    @property
    def kept_no_longer(self) -> ColumnElement[bool]:
        """What a row must be before its retention may end: delivered."""
        return self._table.c.delivered_at.is_not(None)

    def waiting(self, connection: Connection, most: int) -> Sequence[WaitingEntry]:
        """Return so many of those that wait, the oldest first."""
        query = select(self._table).where(self._waits).order_by(self._key).limit(most)
        return [
            WaitingEntry(
                getattr(row, self._key.name),
                bytes(row.entry) if row.entry is not None else self._entry_of(row),
            )
            for row in connection.execute(query)
        ]

    def count(self, connection: Connection) -> int:
        """Return how many wait."""
        query = select(func.count()).select_from(self._table).where(self._waits)
        return connection.execute(query).scalar_one()

    def delivered(self, connection: Connection, done: Sequence[WaitingEntry], at: datetime) -> None:
        """Note since when the ledger has these; its message is needed no more."""
        at_us = Instant().process_bind_param(at, connection.dialect)
        self._mark.for_each(connection, [{"which": each.key, "at": at_us} for each in done])

    def set_aside(self, connection: Connection, which: WaitingEntry, reason: str) -> None:
        """Keep one that the ledger will never take, and bring it no more."""
        connection.execute(update(self._table).where(self._key == which.key).values(set_aside=reason))

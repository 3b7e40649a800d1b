"""The tables of this service."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003  # SQLModel reads the annotations
from typing import TYPE_CHECKING

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, String
from sqlmodel import Field, SQLModel

from services.platform.database import Instant

if TYPE_CHECKING:
    from sqlalchemy import Table

HEAD = "0005_pages_since"


class AuditModel(SQLModel):
    """The base of this service's rows."""

    metadata = MetaData()


class PersonKeyRow(AuditModel, table=True):
    """A person's key. `person` is a keyed hash; without `wrapped` the key is destroyed.

    A person whose key was destroyed and who comes again has another one.
    """

    __tablename__ = "person_key"

    key_id: bytes = Field(sa_column=Column(LargeBinary, primary_key=True))
    person: bytes = Field(sa_column=Column(LargeBinary, nullable=False, index=True))
    wrapped: bytes | None = Field(sa_column=Column(LargeBinary))
    made_at: datetime = Field(sa_column=Column(Instant, nullable=False))
    destroyed_at: datetime | None = Field(sa_column=Column(Instant))
    row_mac: bytes | None = Field(sa_column=Column(LargeBinary))


class LedgerEntryRow(AuditModel, table=True):
    """An entry at its place in the tree. What is sealed is sealed for `leaf_id`.

    `vehicle` and `command` are keyed hashes, and `row_mac` is one of the whole row: what of it nobody can open any more
    can still be told from what was changed.
    `subject` and `actor` are ids of keys; an entry that came when its person's was destroyed has nothing sealed.
    `decision` is the leaf's, to filter by; a replica of an earlier version leaves it out.
    """

    __tablename__ = "ledger_entry"
    __table_args__ = (
        Index("ledger_entry_of_vehicle", "vehicle", "leaf_index", "at"),
        Index("ledger_entry_of_vehicle_decided", "vehicle", "decision", "leaf_index", "at"),
        Index("ledger_entry_of_subject", "subject", "leaf_index", "vehicle", "decision", "at"),
        Index("ledger_entry_of_actor", "actor", "leaf_index", "vehicle", "decision", "at"),
        Index("ledger_entry_of_vehicle_since", "vehicle", "at", "leaf_index", "decision", "subject", "actor"),
    )

    leaf_index: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    entry_key: bytes = Field(sa_column=Column(LargeBinary, nullable=False, unique=True))
    content_mac: bytes | None = Field(sa_column=Column(LargeBinary))
    leaf_id: str = Field(sa_column=Column(String(32), nullable=False))
    leaf: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    at: datetime = Field(sa_column=Column(Instant, nullable=False))
    vehicle: bytes | None = Field(sa_column=Column(LargeBinary))
    command: bytes | None = Field(sa_column=Column(LargeBinary, index=True))
    subject: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    subject_sealed: bytes | None = Field(sa_column=Column(LargeBinary))
    actor: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    actor_sealed: bytes | None = Field(sa_column=Column(LargeBinary))
    row_mac: bytes | None = Field(sa_column=Column(LargeBinary))
    decision: str | None = Field(sa_column=Column(String(8)))


class LedgerTileRow(AuditModel, table=True):
    """A tile of the tree's hashes as it is now, full or not."""

    __tablename__ = "ledger_tile"

    level: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    number: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    hashes: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class LedgerCheckpointRow(AuditModel, table=True):
    """A tree that was signed, and the note: the log's signature, and those of witnesses as they come in."""

    __tablename__ = "ledger_checkpoint"

    size: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    root: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    note: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    signed_at: datetime = Field(sa_column=Column(Instant, nullable=False))


class LedgerLeaseRow(AuditModel, table=True):
    """Which replica signs, and until when nobody else does."""

    __tablename__ = "ledger_lease"

    number: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    holder: str = Field(sa_column=Column(String(64), nullable=False))
    until: datetime = Field(sa_column=Column(Instant, nullable=False))


class LedgerTreeRow(AuditModel, table=True):
    """How many leaves there are. One row, which whoever adds one holds."""

    __tablename__ = "ledger_tree"

    number: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    size: int = Field(sa_column=Column(BigInteger, nullable=False))


_tables = AuditModel.metadata.tables
person_keys: Table = _tables["person_key"]
entries: Table = _tables["ledger_entry"]
tree: Table = _tables["ledger_tree"]
tiles: Table = _tables["ledger_tile"]
checkpoints: Table = _tables["ledger_checkpoint"]
lease: Table = _tables["ledger_lease"]

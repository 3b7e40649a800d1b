"""API keys that wait for a second operator: their table and what is asked of it. Rows never leave this file.

They are in a table of their own: replicas of an older version take every row among the API keys for a good one.
"""

from __future__ import annotations

from datetime import datetime  # noqa: TC003  # SQLModel reads the annotations
from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, Connection, Index, LargeBinary, Row, insert, select, update
from sqlmodel import Field

from services.access.adapters import store
from services.access.adapters.store import AccessModel
from services.access.domain.accounts import ApiKey, ApiKeyNotPendingError, NewApiKey, PendingApiKey, Source
from services.platform.database import Instant

if TYPE_CHECKING:
    from services.platform.database import Database


class PendingApiKeyRow(AccessModel, table=True):
    """An API key as issued, by its keyed hash, and who issued and approved it."""

    __tablename__ = "pending_api_key"
    __table_args__ = (Index("pending_api_key_principal", "principal"),)
    key_hash: bytes = Field(primary_key=True, sa_type=LargeBinary)
    principal: str = Field(max_length=128)
    name: str = Field(max_length=64)
    source: str = Field(max_length=16)
    valid_seconds: int = Field(sa_type=BigInteger)
    requested_by: str = Field(max_length=128)
    requested_at: datetime = Field(sa_type=Instant)
    approved_by: str | None = Field(default=None, max_length=128)
    ended_at: datetime | None = Field(default=None, sa_type=Instant)
    scopes: str | None = Field(default=None, max_length=512)
    vins: str | None = Field(default=None, max_length=600)


_pending = AccessModel.metadata.tables["pending_api_key"]


class SqlPendingApiKeys:
    """approvals.PendingApiKeys on a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def request(self, new: NewApiKey, *, by: str, at: datetime) -> PendingApiKey:
        """See the port."""
        return await self._database.write(lambda connection: _request(connection, new, by, at))

    async def approve(self, key_id: str, *, by: str, at: datetime) -> tuple[ApiKey, PendingApiKey]:
        """See the port."""
        return await self._database.write(lambda connection: _approve(connection, key_id, by, at))

    async def cancel(self, key_id: str, *, by: str, at: datetime) -> PendingApiKey | None:
        """See the port."""
        return await self._database.write(lambda connection: _cancel(connection, key_id, by, at))

    async def of(self, principal: str) -> list[PendingApiKey]:
        """Return all of an account's, decided ones included, oldest first."""
        query = (
            select(_pending)
            .where(_pending.c.principal == principal)
            .order_by(_pending.c.requested_at, _pending.c.key_hash)
        )
        return await self._database.read(lambda c: [_pending_of(row) for row in c.execute(query)])


def _request(connection: Connection, new: NewApiKey, by: str, at: datetime) -> PendingApiKey:
    connection.execute(
        insert(_pending).values(
            key_hash=new.key_hash,
            principal=new.principal,
            name=new.name,
            source=new.source.value,
            valid_seconds=new.valid_seconds,
            requested_by=by,
            requested_at=at,
            scopes=" ".join(new.scopes) or None,
            vins=" ".join(new.vins) or None,
        )
    )
    _write_audit(connection, "API_KEY_REQUESTED", new, by, at)
    return PendingApiKey(new, by, at)


def _approve(connection: Connection, key_id: str, by: str, at: datetime) -> tuple[ApiKey, PendingApiKey]:
    known = _find(connection, key_id)
    if known is None:
        raise ApiKeyNotPendingError(key_id)
    if known.approved_by is not None:
        return store.key_by_id(connection, key_id), known
    known.check_approval(by, at)
    connection.execute(update(_pending).where(_has_id(key_id)).values(approved_by=by))
    _write_audit(connection, "API_KEY_APPROVED", known.asked, by, at)
    # Its row in the audit names who issued it; the one above, who approved.
    key = store.issue_key(connection, known.asked, known.requested_by, at)
    return key, PendingApiKey(known.asked, known.requested_by, known.requested_at, by)


def _cancel(connection: Connection, key_id: str, by: str, at: datetime) -> PendingApiKey | None:
    known = _find(connection, key_id)
    if known is None or known.approved_by is not None:
        return None
    if known.ended_at is None:
        connection.execute(update(_pending).where(_has_id(key_id)).values(ended_at=at))
        _write_audit(connection, "API_KEY_WITHDRAWN", known.asked, by, at)
        known = PendingApiKey(known.asked, known.requested_by, known.requested_at, None, at)
    return known


def _find(connection: Connection, key_id: str) -> PendingApiKey | None:
    # SQLite has one writer at a time, and ignores the lock.
    row = connection.execute(select(_pending).where(_has_id(key_id)).with_for_update()).one_or_none()
    return None if row is None else _pending_of(row)


def _has_id(key_id: str) -> Any:
    return store.has_key_id(_pending.c.key_hash, key_id)


def _pending_of(row: Row[Any]) -> PendingApiKey:
    asked = NewApiKey(
        bytes(row.key_hash),
        row.principal,
        row.name,
        Source(row.source),
        row.valid_seconds,
        store.words_in(row.scopes),
        store.words_in(row.vins),
    )
    return PendingApiKey(asked, row.requested_by, row.requested_at, row.approved_by, row.ended_at)


def _write_audit(connection: Connection, act: str, asked: NewApiKey, by: str, at: datetime) -> None:
    store.write_audit(connection, act, by=by, at=at, principal=asked.principal, named=asked.key_id)

"""The room's tables and what is asked of them. Rows never leave this file."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    Connection,
    Index,
    LargeBinary,
    MetaData,
    Row,
    bindparam,
    insert,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Field, SQLModel

from services.access.domain import (
    Caller,
    Grant,
    GrantConflict,
    GrantUnknown,
    NewGrant,
    Role,
    Source,
    Standing,
    highest_role,
    standing_of,
)
from services.runtime.database import Instant
from services.runtime.outbox import Outbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from services.access.usecases import Question
    from services.runtime.database import Database
    from services.runtime.outbox import OutgoingMessage

HEAD = "0002_pending_grants"


class RoomModel(SQLModel):
    """The tables of this room."""

    metadata = MetaData()


class VehicleRow(RoomModel, table=True):
    """A vehicle that somebody has or had a right on."""

    __tablename__ = "vehicle"
    vin: str = Field(primary_key=True, max_length=17)
    registered_at: datetime = Field(sa_type=Instant)


class PrincipalRow(RoomModel, table=True):
    """An account about which there is something to say; most have no row."""

    __tablename__ = "principal"
    principal: str = Field(primary_key=True, max_length=128)
    locked_at: datetime | None = Field(default=None, sa_type=Instant)
    reason: str | None = Field(default=None, max_length=256)


class GrantRow(RoomModel, table=True):
    """A right. `actions` are words with a space between; empty means all of the role's."""

    __tablename__ = "access_grant"
    __table_args__ = (Index("access_grant_holder", "vin", "principal"),)
    grant_id: str = Field(primary_key=True, max_length=64)
    principal: str = Field(max_length=128)
    vin: str = Field(foreign_key="vehicle.vin", max_length=17)
    role: str = Field(max_length=16)
    actions: str = Field(max_length=1100)
    valid_seconds: int | None = Field(default=None, sa_type=BigInteger)
    created_at: datetime = Field(sa_type=Instant)
    expires_at: datetime | None = Field(default=None, sa_type=Instant)
    revoked_at: datetime | None = Field(default=None, sa_type=Instant)


class ApiKeyRow(RoomModel, table=True):
    """An API key by its keyed hash; the key itself is nowhere."""

    __tablename__ = "api_key"
    key_hash: bytes = Field(primary_key=True, sa_type=LargeBinary)
    principal: str = Field(max_length=128)
    source: str = Field(max_length=16)
    created_at: datetime = Field(sa_type=Instant)
    revoked_at: datetime | None = Field(default=None, sa_type=Instant)


class AuditRow(RoomModel, table=True):
    """Who changed which right when. `actor` is a workload's identity."""

    __tablename__ = "audit_entry"
    sequence: int | None = Field(default=None, primary_key=True)
    at: datetime = Field(sa_type=Instant)
    actor: str = Field(max_length=128)
    act: str = Field(max_length=32)
    grant_id: str = Field(max_length=64)
    principal: str = Field(max_length=128)
    vin: str = Field(max_length=17)


outbox = Outbox(RoomModel.metadata)

_vehicles = RoomModel.metadata.tables["vehicle"]
_principals = RoomModel.metadata.tables["principal"]
_grants = RoomModel.metadata.tables["access_grant"]
_keys = RoomModel.metadata.tables["api_key"]
_audit = RoomModel.metadata.tables["audit_entry"]


def create_grant(connection: Connection, new: NewGrant, by: str, at: datetime) -> Grant:
    """Keep the grant and its audit row. The same again changes nothing, not even when it was revoked since:
    a repeated message must not bring a right back. Raises GrantConflict when the id says something else.
    """
    _add_if_new(connection, _vehicles, {"vin": new.vin, "registered_at": at})
    expires_at = None if new.valid_seconds is None else at + timedelta(seconds=new.valid_seconds)
    row = {
        "grant_id": new.grant_id,
        "principal": new.principal,
        "vin": new.vin,
        "role": new.role.value,
        "actions": " ".join(new.actions),
        "valid_seconds": new.valid_seconds,
        "created_at": at,
        "expires_at": expires_at,
    }
    if not _add_if_new(connection, _grants, row):
        known = _grant_by_id(connection, new.grant_id)
        if known.asked != new:
            raise GrantConflict(new.grant_id)
        return known
    _write_audit(connection, "GRANT_CREATED", new, by, at)
    return Grant(new, at, expires_at)


def revoke_grant(
    connection: Connection,
    grant_id: str,
    by: str,
    at: datetime,
    announce: Callable[[Grant, datetime], OutgoingMessage],
) -> tuple[Grant, list[OutgoingMessage]]:
    """End the grant with its audit row and its message. No message when it had ended before.

    Raises GrantUnknown.
    """
    ended = connection.execute(
        update(_grants)
        .where(_grants.c.grant_id == grant_id, _grants.c.revoked_at.is_(None))
        .values(revoked_at=at)
    )
    grant = _grant_by_id(connection, grant_id)
    if ended.rowcount == 0:
        return grant, []
    _write_audit(connection, "GRANT_REVOKED", grant.asked, by, at)
    messages = [announce(grant, at)]
    outbox.add(connection, messages)
    return grant, messages


def grants_on(connection: Connection, vin: str) -> list[Grant]:
    """All of a vehicle's grants, oldest first."""
    query = select(_grants).where(_grants.c.vin == vin).order_by(_grants.c.created_at, _grants.c.grant_id)
    return [_grant_of(row) for row in connection.execute(query)]


# Built once: building a statement costs more than running it.
_ANSWERS = (
    select(_grants)
    .join(_principals, _principals.c.principal == _grants.c.principal, isouter=True)
    .where(
        tuple_(_grants.c.principal, _grants.c.vin).in_(bindparam("holders", expanding=True)),
        _grants.c.revoked_at.is_(None),
        _principals.c.locked_at.is_(None),
    )
)
_LIVE_GRANTS = select(_grants).where(
    _grants.c.vin == bindparam("vin"),
    _grants.c.principal == bindparam("subject"),
    _grants.c.revoked_at.is_(None),
)
_LOCKED = select(_principals.c.principal).where(
    _principals.c.principal.in_([bindparam("subject"), bindparam("actor")]),
    _principals.c.locked_at.is_not(None),
)
_KEY = select(_keys.c.principal, _keys.c.source).where(
    _keys.c.key_hash == bindparam("key_hash"), _keys.c.revoked_at.is_(None)
)


def answer(connection: Connection, questions: Sequence[Question], at: datetime) -> list[Role | None]:
    """For each question the highest role that allows it at `at`. One query for all."""
    holders = sorted({(question.subject, question.vin) for question in questions})
    live: dict[tuple[str, str], list[Grant]] = {}
    for row in connection.execute(_ANSWERS, {"holders": holders}):
        grant = _grant_of(row)
        if grant.is_live(at):
            live.setdefault((grant.asked.principal, grant.asked.vin), []).append(grant)
    return [highest_role(live.get((q.subject, q.vin), ()), q.action) for q in questions]


def standing(connection: Connection, subject: str, actor: str, vin: str, at: datetime) -> Standing:
    """What `subject`, for whom `actor` acts, is to `vin`."""
    grants = connection.execute(_LIVE_GRANTS, {"vin": vin, "subject": subject})
    locked = connection.execute(_LOCKED, {"subject": subject, "actor": actor}).scalars()
    return standing_of([_grant_of(row) for row in grants], locked, at)


def find_key(connection: Connection, key_hash: bytes) -> Caller | None:
    """Whose live key this is."""
    row = connection.execute(_KEY, {"key_hash": key_hash}).first()
    return None if row is None else Caller(row.principal, row.principal, Source(row.source))


def add_vehicles(connection: Connection, vins: Iterable[str], at: datetime) -> None:
    """Register those that are not."""
    for vin in vins:
        _add_if_new(connection, _vehicles, {"vin": vin, "registered_at": at})


def add_key(connection: Connection, key_hash: bytes, principal: str, source: Source, at: datetime) -> None:
    """Keep a key, unless it was kept before: one that was revoked stays so."""
    row = {"key_hash": key_hash, "principal": principal, "source": source.value, "created_at": at}
    _add_if_new(connection, _keys, row)


class SqlGrantRecord:
    """The record of grants (usecases.GrantRecord). `sent` hears of messages after their commit."""

    def __init__(
        self,
        database: Database,
        announce: Callable[[Grant, datetime], OutgoingMessage],
        sent: Callable[[Sequence[OutgoingMessage]], None],
    ) -> None:
        self._database = database
        self._announce = announce
        self._sent = sent

    async def create(self, new: NewGrant, *, by: str, at: datetime) -> Grant:
        """See the port."""
        return await self._database.write(lambda connection: create_grant(connection, new, by, at))

    async def revoke(self, grant_id: str, *, by: str, at: datetime) -> Grant:
        """See the port."""
        grant, messages = await self._database.write(
            lambda connection: revoke_grant(connection, grant_id, by, at, self._announce)
        )
        self._sent(messages)
        return grant

    async def on_vehicle(self, vin: str) -> list[Grant]:
        """See the port."""
        return await self._database.read(lambda connection: grants_on(connection, vin))

    async def answer(self, questions: Sequence[Question], *, at: datetime) -> list[Role | None]:
        """See the port."""
        return await self._database.read(lambda connection: answer(connection, questions, at))


def _add_if_new(connection: Connection, table: Any, row: dict[str, Any]) -> bool:
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    return connection.execute(dialect.insert(table).values(row).on_conflict_do_nothing()).rowcount == 1


def _grant_by_id(connection: Connection, grant_id: str) -> Grant:
    row = connection.execute(select(_grants).where(_grants.c.grant_id == grant_id)).first()
    if row is None:
        raise GrantUnknown(grant_id)
    return _grant_of(row)


def _grant_of(row: Row[Any]) -> Grant:
    asked = NewGrant(
        grant_id=row.grant_id,
        principal=row.principal,
        vin=row.vin,
        role=Role(row.role),
        actions=tuple(row.actions.split()),
        valid_seconds=row.valid_seconds,
    )
    return Grant(asked, row.created_at, row.expires_at, row.revoked_at)


def _write_audit(connection: Connection, act: str, grant: NewGrant, by: str, at: datetime) -> None:
    connection.execute(
        insert(_audit).values(
            at=at, actor=by, act=act, grant_id=grant.grant_id, principal=grant.principal, vin=grant.vin
        )
    )

"""The sessions with vehicles, and what was issued in them: tables of every service that talks to vehicles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    bindparam,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite

from protocol import session_record
from protocol.cloud_side import IssuedOrder
from protocol.domains import Domain
from services.platform.prepared import PreparedStatement

if TYPE_CHECKING:
    from collections.abc import Iterable

    from protocol.session import CloudSession

_log = structlog.get_logger()

MAX_ID_CHARACTERS = 128
KEEP_ISSUED_MILLIS = 86_400_000
"""How long an answer to an order may take."""


class VehicleSessions:
    """The tables. `store` gives protocol's CloudStore in a transaction of the caller's.

    A service that only listens has no `issues_orders`, and no table for them.
    """

    def __init__(self, metadata: MetaData, *, issues_orders: bool) -> None:
        self.sessions = Table(
            "vehicle_session",
            metadata,
            Column("vin", String(17), primary_key=True),
            Column("record", Text, nullable=False),
        )
        columns = self.sessions.c
        load = select(columns.record).where(columns.vin == bindparam("of_vin")).with_for_update()
        self.load_session = PreparedStatement(load)
        save = {name: _upsert(self.sessions, name) for name in ("sqlite", "postgresql")}
        self.save_session = PreparedStatement(save, "vin", "record")
        self._find_all = select(self.sessions).where(columns.vin.in_(bindparam("vins", expanding=True)))
        self._issued = _issued_table(metadata) if issues_orders else None
        if self._issued is not None:
            issued = self._issued
            self.find_issued = PreparedStatement(
                select(issued).where(
                    issued.c.request_hash == bindparam("of_hash"), issued.c.vin == bindparam("of_vin")
                )
            )
            self.insert_issued = PreparedStatement(issued.insert(), *(column.name for column in issued.c))

    @property
    def issued(self) -> Table:
        """The orders that were issued. Raises LookupError in a service that issues none."""
        if self._issued is None:
            raise LookupError("this service issues no orders")
        return self._issued

    def store(self, connection: Connection) -> SessionStore:
        """Return sessions and issued orders in this transaction."""
        return SessionStore(self, connection)

    def find_all(self, connection: Connection, vins: Iterable[str]) -> dict[str, CloudSession]:
        """Return the sessions there are of these vehicles; not locked."""
        rows = connection.execute(self._find_all, {"vins": list(vins)}).all()
        sessions = {row.vin: _loaded(row.record) for row in rows}
        return {vin: session for vin, session in sessions.items() if session is not None}


def _loaded(record: str) -> CloudSession | None:
    """Return the session; None when the record is not readable: the vehicle's next hello begins it anew."""
    try:
        return session_record.load(record)
    except (ValueError, KeyError, TypeError) as error:
        _log.error("session_record_unreadable", reason=f"{type(error).__name__}: {error}")
        return None


def _issued_table(metadata: MetaData) -> Table:
    return Table(
        "issued_order",
        metadata,
        Column("request_hash", LargeBinary(32), primary_key=True),
        Column("vin", String(17), nullable=False),
        Column("domain", String(16), nullable=False),
        Column("order_id", String(MAX_ID_CHARACTERS), nullable=False),
        Column("command_id", String(MAX_ID_CHARACTERS), nullable=False),
        Column("issued_at_millis", BigInteger, nullable=False, index=True),
    )


def _upsert(sessions: Table, dialect: str) -> sqlite.Insert | postgresql.Insert:
    insert = postgresql.insert(sessions) if dialect == "postgresql" else sqlite.insert(sessions)
    return insert.on_conflict_do_update(index_elements=["vin"], set_={"record": insert.excluded.record})


class SessionStore:
    """protocol's CloudStore."""

    def __init__(self, tables: VehicleSessions, connection: Connection) -> None:
        self._tables = tables
        self._connection = connection

    def load(self, vin: str) -> CloudSession | None:
        """Return the vehicle's session, locked against others until the transaction ends."""
        record = self._tables.load_session(self._connection, {"of_vin": vin}).scalar()
        return None if record is None else _loaded(record)

    def save(self, vin: str, session: CloudSession) -> None:
        """Replace it."""
        self._tables.save_session(self._connection, {"vin": vin, "record": session_record.dump(session)})

    def remember(self, issued: IssuedOrder) -> None:
        """Keep it for as long as an answer may come (a day)."""
        self._tables.insert_issued(
            self._connection,
            {
                "request_hash": issued.request_hash,
                "vin": issued.vin,
                "domain": issued.domain.value,
                "order_id": issued.order_id,
                "command_id": issued.command_id,
                "issued_at_millis": issued.issued_at_millis,
            },
        )

    def find(self, vin: str, request_hash: bytes) -> IssuedOrder | None:
        """Return what was issued to this vehicle under this hash."""
        wanted = {"of_hash": request_hash, "of_vin": vin}
        row = self._tables.find_issued(self._connection, wanted).one_or_none()
        if row is None:
            return None
        return IssuedOrder(
            row.vin,
            Domain(row.domain),
            row.order_id,
            row.command_id,
            bytes(row.request_hash),
            row.issued_at_millis,
        )

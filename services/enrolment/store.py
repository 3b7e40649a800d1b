"""The table of this room. Rows never leave this file."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003  # SQLModel reads the annotations
from typing import TYPE_CHECKING

from sqlalchemy import Column, Connection, MetaData, String, insert, select, update
from sqlmodel import Field, SQLModel

from services.enrolment.domain import CertificateTaken, Enrolment
from services.runtime.database import Instant

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Row, Table

    from services.runtime.database import Database

HEAD = "0001_enrolment"


class RoomModel(SQLModel):
    """The base of this room's rows."""

    metadata = MetaData()


class VehicleEnrolment(RoomModel, table=True):
    """A vehicle's certificate, by its SHA-256 fingerprint in hex."""

    __tablename__ = "vehicle_enrolment"

    vin: str = Field(sa_column=Column(String(17), primary_key=True))
    fingerprint: str = Field(sa_column=Column(String(64), nullable=False, unique=True))
    enrolled_at: datetime = Field(sa_column=Column(Instant, nullable=False))
    revoked_at: datetime | None = Field(sa_column=Column(Instant))


_table: Table = RoomModel.metadata.tables["vehicle_enrolment"]


class SqlRegister:
    """usecases.Register on a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, vin: str) -> Enrolment | None:
        """See usecases.Register."""
        return await self._database.read(lambda connection: find(connection, vin))

    async def put(self, enrolment: Enrolment) -> None:
        """See usecases.Register."""
        await self._database.write(lambda connection: put(connection, enrolment))

    async def revoke(self, vin: str, at: datetime) -> Enrolment | None:
        """See usecases.Register."""
        return await self._database.write(lambda connection: _revoke(connection, vin, at))

    async def all(self) -> Sequence[Enrolment]:
        """See usecases.Register."""
        query = select(_table).order_by(_table.c.vin)
        return await self._database.read(lambda c: [_enrolment(row) for row in c.execute(query)])


def find(connection: Connection, vin: str) -> Enrolment | None:
    """The vehicle's enrolment, revoked or not."""
    row = connection.execute(select(_table).where(_table.c.vin == vin)).one_or_none()
    return None if row is None else _enrolment(row)


def put(connection: Connection, enrolment: Enrolment) -> None:
    """Enrol, in place of what was there. Raises CertificateTaken."""
    same = select(_table.c.vin).where(_table.c.fingerprint == enrolment.fingerprint)
    owner = connection.execute(same).scalar()
    if owner not in {None, enrolment.vin}:
        raise CertificateTaken("the certificate is enrolled for another vehicle")
    values = {
        "fingerprint": enrolment.fingerprint,
        "enrolled_at": enrolment.enrolled_at,
        "revoked_at": enrolment.revoked_at,
    }
    changed = connection.execute(update(_table).where(_table.c.vin == enrolment.vin).values(values))
    if not changed.rowcount:
        connection.execute(insert(_table).values(vin=enrolment.vin, **values))


def _revoke(connection: Connection, vin: str, at: datetime) -> Enrolment | None:
    still_valid = (_table.c.vin == vin) & _table.c.revoked_at.is_(None)
    connection.execute(update(_table).where(still_valid).values(revoked_at=at))
    return find(connection, vin)


def _enrolment(row: Row[tuple[str, str, datetime, datetime | None]]) -> Enrolment:
    return Enrolment(row.vin, row.fingerprint, row.enrolled_at, row.revoked_at)

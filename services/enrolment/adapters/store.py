"""The table of this service. Rows never leave this file."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003  # SQLModel reads the annotations
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    Column,
    Connection,
    LargeBinary,
    MetaData,
    String,
    bindparam,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Field, SQLModel

from services.enrolment.domain import CredentialInUseError, Enrolment, PublicKeys
from services.platform.audit_outbox import AuditOutbox
from services.platform.audited_database import AuditedAct, note_act
from services.platform.database import Instant
from services.platform.legal_holds import LegalHolds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Row, Table

    from services.platform.database import Database

HEAD = "0006_wide_audit_outbox"
_ATTEMPTS = 3


class EnrolmentModel(SQLModel):
    """The base of this service's rows."""

    metadata = MetaData()


class VehicleEnrolment(EnrolmentModel, table=True):
    """A vehicle's certificate, by its SHA-256 fingerprint in hex, and its public keys."""

    __tablename__ = "vehicle_enrolment"

    vin: str = Field(sa_column=Column(String(17), primary_key=True))
    fingerprint: str | None = Field(sa_column=Column(String(64), unique=True))
    enrolled_at: datetime = Field(sa_column=Column(Instant, nullable=False))
    revoked_at: datetime | None = Field(sa_column=Column(Instant))
    verify_key: bytes | None = Field(sa_column=Column(LargeBinary, unique=True))
    seal_key: bytes | None = Field(sa_column=Column(LargeBinary, unique=True))
    certificate_ends_at: datetime | None = Field(sa_column=Column(Instant))


holds = LegalHolds(EnrolmentModel.metadata)
audit_outbox = AuditOutbox(EnrolmentModel.metadata)
_table: Table = EnrolmentModel.metadata.tables["vehicle_enrolment"]
# Built once: building a statement costs more than running it.
_VALID_KEYS = select(_table.c.vin, _table.c.verify_key, _table.c.seal_key).where(
    _table.c.vin.in_(bindparam("vins", expanding=True)),
    _table.c.revoked_at.is_(None),
    _table.c.verify_key.is_not(None),
)


class SqlEnrolmentRecord:
    """usecases.EnrolmentRecord on a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, vin: str) -> Enrolment | None:
        """Return the vehicle's enrolment, revoked or not."""
        return await self._database.read(lambda connection: find(connection, vin))

    async def put(self, enrolment: Enrolment) -> None:
        """Enrol, in place of what was there. Raises CredentialInUseError."""

        def work(connection: Connection) -> None:
            put(connection, enrolment)
            detail = {"fingerprint": enrolment.fingerprint or ""}
            note_act(
                connection,
                AuditedAct("VEHICLE_ENROLLED", enrolment.enrolled_at, resource=enrolment.vin, detail=detail),
            )

        await self._database.write(work)

    async def revoke(self, vin: str, at: datetime) -> Enrolment | None:
        """Return the enrolment as it is revoked now; what was revoked keeps its time. None: not enrolled."""
        return await self._database.write(lambda connection: _revoke(connection, vin, at))

    async def page(self, limit: int, after: str = "") -> Sequence[Enrolment]:
        """At most `limit` enrolments, revoked or not, by VIN, of those after this VIN."""
        query = select(_table).where(_table.c.vin > after).order_by(_table.c.vin).limit(limit)
        return await self._database.read(lambda c: [_enrolment(row) for row in c.execute(query)])

    async def valid_keys(self, vins: Sequence[str]) -> Mapping[str, PublicKeys]:
        """Return the keys of those that have keys and are not revoked, by VIN."""
        return await self._database.read(
            lambda connection: {
                row.vin: PublicKeys(row.verify_key, row.seal_key)
                for row in connection.execute(_VALID_KEYS, {"vins": list(vins)})
            }
        )


def find(connection: Connection, vin: str) -> Enrolment | None:
    """Return the vehicle's enrolment, revoked or not."""
    row = connection.execute(select(_table).where(_table.c.vin == vin)).one_or_none()
    return None if row is None else _enrolment(row)


def put(connection: Connection, enrolment: Enrolment) -> None:
    """Enrol, in place of what was there. Raises CredentialInUseError."""
    keys = enrolment.keys
    values = {
        "fingerprint": enrolment.fingerprint,
        "enrolled_at": enrolment.enrolled_at,
        "revoked_at": enrolment.revoked_at,
        "verify_key": keys.verify_key if keys else None,
        "seal_key": keys.seal_key if keys else None,
        "certificate_ends_at": enrolment.certificate_ends_at,
    }
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    change = update(_table).where(_table.c.vin == enrolment.vin).values(values)
    begin = dialect.insert(_table).values(vin=enrolment.vin, **values).on_conflict_do_nothing()
    for _ in range(_ATTEMPTS):
        _check_free(connection, enrolment)
        # What another replica enrols at this moment is waited for, and looked at again.
        if connection.execute(change).rowcount or connection.execute(begin).rowcount:
            return
    raise CredentialInUseError("the certificate or the keys are just being enrolled for another vehicle")


def _check_free(connection: Connection, enrolment: Enrolment) -> None:
    keys = enrolment.keys
    theirs = []
    if enrolment.fingerprint is not None:
        theirs.append(_table.c.fingerprint == enrolment.fingerprint)
    if keys is not None:
        theirs += [_table.c.verify_key == keys.verify_key, _table.c.seal_key == keys.seal_key]
    if not theirs:
        return
    query = select(_table.c.fingerprint).where(or_(*theirs), _table.c.vin != enrolment.vin)
    for owner in connection.execute(query):
        same_certificate = owner.fingerprint is not None and owner.fingerprint == enrolment.fingerprint
        what = "the certificate is" if same_certificate else "the keys are"
        raise CredentialInUseError(f"{what} enrolled for another vehicle")


def _revoke(connection: Connection, vin: str, at: datetime) -> Enrolment | None:
    still_valid = (_table.c.vin == vin) & _table.c.revoked_at.is_(None)
    if connection.execute(update(_table).where(still_valid).values(revoked_at=at)).rowcount:
        note_act(connection, AuditedAct("VEHICLE_REVOKED", at, resource=vin))
    return find(connection, vin)


def _enrolment(row: Row[Any]) -> Enrolment:
    keys = None if row.verify_key is None else PublicKeys(row.verify_key, row.seal_key)
    return Enrolment(row.vin, row.fingerprint, row.enrolled_at, row.revoked_at, keys, row.certificate_ends_at)

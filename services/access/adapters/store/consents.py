"""Consents: what people have said, and all that they said before."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003  # SQLModel reads the annotations
from typing import TYPE_CHECKING, Any

from sqlalchemy import Index, Row, insert, select, update
from sqlmodel import Field

from services.access.adapters.store.tables import AccessModel, add_if_new, add_or_replace, write_audit
from services.access.domain.consents import (
    MOST_CHANGES,
    ConsentChange,
    ConsentPurpose,
    ConsentState,
    GivenText,
    PersonConsent,
)
from services.platform.database import Instant

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from services.platform.database import Database


class ConsentRow(AccessModel, table=True):
    """What a person has said last to a purpose, and the text that they were shown when they agreed."""

    __tablename__ = "consent"
    principal: str = Field(primary_key=True, max_length=128)
    purpose: str = Field(primary_key=True, max_length=32)
    text_version: int
    language: str = Field(max_length=8)
    text_sha256: str = Field(max_length=64)
    given_at: datetime = Field(sa_type=Instant)
    withdrawn_at: datetime | None = Field(default=None, sa_type=Instant)


class ConsentChangeRow(AccessModel, table=True):
    """One thing that was said: the evidence. Written, never changed."""

    __tablename__ = "consent_change"
    __table_args__ = (Index("consent_change_person", "principal", "purpose"),)
    sequence: int | None = Field(default=None, primary_key=True)
    principal: str = Field(max_length=128)
    purpose: str = Field(max_length=32)
    state: str = Field(max_length=16)
    at: datetime = Field(sa_type=Instant)
    text_version: int
    language: str = Field(max_length=8)
    text_sha256: str = Field(max_length=64)
    source: str = Field(max_length=16)


consents = AccessModel.metadata.tables["consent"]
_changes = AccessModel.metadata.tables["consent_change"]


class SqlConsents:
    """usecases.consents.ConsentRecord on a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of(self, person: str) -> list[PersonConsent]:
        """See the port."""
        query = select(consents).where(consents.c.principal == person)
        return await self._database.read(lambda c: [_consent_of(row) for row in c.execute(query)])

    async def with_changes(self, person: str, purpose: ConsentPurpose) -> PersonConsent:
        """See the port."""
        return await self._database.read(lambda connection: _with_changes(connection, person, purpose))

    async def give(
        self, person: str, purpose: ConsentPurpose, shown: GivenText, source: str, *, at: datetime
    ) -> tuple[PersonConsent, bool]:
        """See the port."""
        return await self._database.write(
            lambda connection: give_consent(connection, person, purpose, shown, source, at)
        )

    async def withdraw(
        self, person: str, purpose: ConsentPurpose, source: str, *, at: datetime
    ) -> tuple[PersonConsent, bool]:
        """See the port."""
        return await self._database.write(
            lambda connection: _withdraw(connection, person, purpose, source, at)
        )


def give_consent(
    connection: Connection,
    person: str,
    purpose: ConsentPurpose,
    shown: GivenText,
    source: str,
    at: datetime,
    *,
    again: bool = True,
) -> tuple[PersonConsent, bool]:
    """Keep that they agree; nothing where they do already, to the same version. Unless `again`, nothing either where
    they have said anything before. Return what they have said now, and whether that changed anything.
    """
    row = {
        "principal": person,
        "purpose": purpose.value,
        "text_version": shown.version,
        "language": shown.language,
        "text_sha256": shown.sha256,
        "given_at": at,
        "withdrawn_at": None,
    }
    if not add_if_new(connection, consents, row):
        said = _find(connection, person, purpose, lock=True)
        if said is None or not again or (said.given_version == shown.version and said.withdrawn_at is None):
            return _with_changes(connection, person, purpose), False
        add_or_replace(connection, consents, row)
    _note(connection, person, purpose, ConsentChange(ConsentState.GIVEN, at, shown, source))
    return _with_changes(connection, person, purpose), True


def _withdraw(
    connection: Connection, person: str, purpose: ConsentPurpose, source: str, at: datetime
) -> tuple[PersonConsent, bool]:
    ended = connection.execute(
        update(consents)
        .where(
            consents.c.principal == person,
            consents.c.purpose == purpose.value,
            consents.c.withdrawn_at.is_(None),
        )
        .values(withdrawn_at=at)
        .returning(consents.c.text_version, consents.c.language, consents.c.text_sha256)
    ).first()
    if ended is not None:
        agreed_to = GivenText(ended.text_version, ended.language, ended.text_sha256)
        _note(connection, person, purpose, ConsentChange(ConsentState.WITHDRAWN, at, agreed_to, source))
    return _with_changes(connection, person, purpose), ended is not None


def _note(connection: Connection, person: str, purpose: ConsentPurpose, change: ConsentChange) -> None:
    connection.execute(
        insert(_changes).values(
            principal=person,
            purpose=purpose.value,
            state=change.state.value,
            at=change.at,
            text_version=change.shown.version,
            language=change.shown.language,
            text_sha256=change.shown.sha256,
            source=change.source,
        )
    )
    act = f"CONSENT_{change.state.value}"
    write_audit(connection, act, by=person, at=change.at, principal=person, named=purpose.value)


def _find(
    connection: Connection, person: str, purpose: ConsentPurpose, *, lock: bool = False
) -> PersonConsent | None:
    query = select(consents).where(consents.c.principal == person, consents.c.purpose == purpose.value)
    row = connection.execute(query.with_for_update() if lock else query).first()
    return None if row is None else _consent_of(row)


def _with_changes(connection: Connection, person: str, purpose: ConsentPurpose) -> PersonConsent:
    said = _find(connection, person, purpose)
    if said is None:
        return PersonConsent(purpose)
    query = (
        select(_changes)
        .where(_changes.c.principal == person, _changes.c.purpose == purpose.value)
        .order_by(_changes.c.sequence.desc())
        .limit(MOST_CHANGES)
    )
    changes = tuple(_change_of(row) for row in connection.execute(query))
    return PersonConsent(purpose, said.given_version, said.given_at, said.withdrawn_at, changes)


def _consent_of(row: Row[Any]) -> PersonConsent:
    return PersonConsent(ConsentPurpose(row.purpose), row.text_version, row.given_at, row.withdrawn_at)


def _change_of(row: Row[Any]) -> ConsentChange:
    shown = GivenText(row.text_version, row.language, row.text_sha256)
    return ConsentChange(ConsentState(row.state), row.at, shown, row.source)

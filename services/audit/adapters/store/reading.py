"""The ledger's entries as they are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import or_, select

from services.audit.adapters.store.ledger import open_entries
from services.audit.adapters.store.tables import entries, person_keys
from services.audit.domain.entries import AuditDecision
from services.audit.domain.reading import LedgerEntry
from services.platform.times import moment

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from typing import Any

    from sqlalchemy import ColumnElement, Select

    from services.audit.adapters.sealing import HouseKey
    from services.audit.adapters.store.ledger import OpenEntry
    from services.platform.database import Database

_MILLISECOND_US = 1_000


class SqlLedgerReading:
    """usecases.reading.LedgerReading on the ledger's database."""

    def __init__(self, database: Database, house: HouseKey) -> None:
        self._database = database
        self._house = house

    async def entries_of_vehicle(
        self, vin: str, *, before: int | None, limit: int, since: datetime | None, of_person: str | None
    ) -> Sequence[LedgerEntry]:
        """Return at most `limit` entries about this vehicle, newest first: of those before this leaf, not older than
        `since`, and about or by this person.
        """
        query = select(entries).where(entries.c.vehicle == self._house.lookup("vehicle", vin))
        if since is not None:
            query = query.where(entries.c.at >= since)
        if of_person is not None:
            query = query.where(self._is_of(of_person))
        return await self._page(query, before, limit)

    async def entries_of_person(
        self, principal: str, *, before: int | None, limit: int
    ) -> Sequence[LedgerEntry]:
        """Return at most `limit` entries about or by this person, newest first, of those before this leaf."""
        return await self._page(select(entries).where(self._is_of(principal)), before, limit)

    async def entries_of_command(self, command_id: str) -> Sequence[LedgerEntry]:
        """Return a command's entries, oldest first."""
        about = entries.c.command == self._house.lookup("command", command_id)
        query = select(entries).where(about).order_by(entries.c.leaf_index)
        return await self._read(query)

    def _is_of(self, principal: str) -> ColumnElement[bool]:
        keys = select(person_keys.c.key_id).where(
            person_keys.c.person == self._house.lookup("person", principal)
        )
        return or_(entries.c.subject.in_(keys), entries.c.actor.in_(keys))

    async def _page(self, query: Select[Any], before: int | None, limit: int) -> Sequence[LedgerEntry]:
        if before is not None:
            query = query.where(entries.c.leaf_index < before)
        return await self._read(query.order_by(entries.c.leaf_index.desc()).limit(limit))

    async def _read(self, query: Select[Any]) -> Sequence[LedgerEntry]:
        found = await self._database.read(lambda c: open_entries(c, self._house, c.execute(query)))
        return [_shown(entry) for entry in found]


def _shown(entry: OpenEntry) -> LedgerEntry:
    leaf = entry.leaf
    return LedgerEntry(
        leaf_index=entry.leaf_index,
        leaf_id=leaf.id,
        at=moment(leaf.at_millis * _MILLISECOND_US),
        kind=leaf.kind,
        decision=AuditDecision(leaf.decision),
        service=leaf.service,
        members={name: each.value for name, each in entry.members.items()},
        erased=entry.erased,
    )

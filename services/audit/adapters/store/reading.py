"""The ledger's entries as they are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from services.audit.adapters.store.ledger import open_entries
from services.audit.adapters.store.pages import EntryFilter, newest_rows
from services.audit.adapters.store.tables import entries
from services.audit.domain.entries import AuditDecision
from services.audit.domain.reading import LedgerEntry
from services.platform.times import moment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime
    from typing import Any

    from sqlalchemy import Connection, Row

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
        self,
        vin: str,
        *,
        before: int | None,
        limit: int,
        since: datetime | None,
        of_person: str | None,
        decision: AuditDecision | None = None,
    ) -> Sequence[LedgerEntry]:
        """Return at most `limit` entries about this vehicle, newest first: of those before this leaf, not older than
        `since`, about or by this person, and of this decision (or of a row that does not say its own).
        """
        return await self._page(EntryFilter(vin, of_person or "", since, decision, before), limit)

    async def entries_of_person(
        self, principal: str, *, before: int | None, limit: int
    ) -> Sequence[LedgerEntry]:
        """Return at most `limit` entries about or by this person, newest first, of those before this leaf."""
        return await self._page(EntryFilter(person=principal, before=before), limit)

    async def entries_of_command(self, command_id: str) -> Sequence[LedgerEntry]:
        """Return a command's entries, oldest first."""
        about = entries.c.command == self._house.lookup("command", command_id)
        query = select(entries).where(about).order_by(entries.c.leaf_index)
        return await self._read(lambda c: c.execute(query))

    async def _page(self, asked: EntryFilter, limit: int) -> Sequence[LedgerEntry]:
        return await self._read(lambda c: newest_rows(c, self._house, asked, limit))

    async def _read(self, rows: Callable[[Connection], Iterable[Row[Any]]]) -> Sequence[LedgerEntry]:
        found = await self._database.read(lambda c: open_entries(c, self._house, rows(c)))
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

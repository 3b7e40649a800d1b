"""What is in the tree: entries at their places, and what is read of them."""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, select, update

from services.audit.adapters.sealing import (
    UnreadableSealError,
    content_mac,
    entry_key,
    new_disclosures,
    open_seal,
    seal,
)
from services.audit.adapters.store.pages import EntryFilter, newest_rows
from services.audit.adapters.store.persons import PersonKeyRing, destroy_key, find_keys
from services.audit.adapters.store.restoring import restore
from services.audit.adapters.store.tables import entries as _entries
from services.audit.adapters.store.tables import tree
from services.audit.adapters.store.tree import extend, hold
from services.audit.domain.entries import OF_THE_ACTOR, RejectedEntry, RejectedFor
from services.audit.domain.history import check_size
from services.platform.times import milliseconds
from tlog import leaves
from tlog.leaves import Leaf, commitments_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection, Row

    from services.audit.adapters.sealing import HouseKey
    from services.audit.adapters.store.persons import FoundKeys
    from services.audit.domain.entries import AuditEntry
    from services.audit.domain.history import TreeHead
    from services.platform.database import Database
    from tlog.leaves import Disclosure


@dataclass(frozen=True, slots=True)
class OpenEntry:
    """An entry as it is in the tree, with as much of it as can still be opened.

    `members` are by name; those of a person whose key is destroyed are not there. `erased` names whose: "subject",
    "actor". `lost` names whose cannot be opened although nobody destroyed their key.
    """

    leaf_index: int
    leaf: Leaf
    members: Mapping[str, Disclosure]
    erased: frozenset[str] = frozenset()
    lost: frozenset[str] = frozenset()

    def value(self, name: str) -> str:
        """Return the member's value; empty where it has none, or is forgotten."""
        found = self.members.get(name)
        return "" if found is None else found.value


class SqlLedger:
    """usecases.LedgerRecord on a database. `now` gives aware times."""

    def __init__(self, database: Database, house: HouseKey, now: Callable[[], datetime]) -> None:
        self._database = database
        self._house = house
        self._now = now

    async def append(
        self, entries: Sequence[AuditEntry], at_least: int = 0
    ) -> tuple[Sequence[RejectedEntry], int]:
        """Keep those that are not there yet, each at the next place; return those that are another's id, and how many
        leaves there are then.

        When this returns they are on the disk. Raises StorageUnavailableError, and HistoryBrokenError where there are
        fewer leaves than `at_least`: what was kept behind them would be taken back with them.
        """
        now = self._now()

        def work(connection: Connection) -> tuple[list[RejectedEntry], int]:
            size = hold(connection)
            check_size(size, at_least)
            return _append(connection, self._house, entries, now, size)

        return await self._database.write(work)

    async def entries_of_person(
        self, principal: str, before: int | None = None, limit: int = 100
    ) -> list[OpenEntry]:
        """Return at most `limit` entries whose subject or actor this person is, newest first, before this leaf.

        Raises StorageUnavailableError.
        """
        return await self._page(EntryFilter(person=principal, before=before), limit)

    async def entries_from(self, first: int, limit: int) -> list[OpenEntry]:
        """Return at most `limit` entries from this leaf on, oldest first. Raises StorageUnavailableError."""
        query = select(_entries).where(_entries.c.leaf_index >= first).order_by(_entries.c.leaf_index)
        return await self._database.read(
            lambda c: open_entries(c, self._house, c.execute(query.limit(limit)))
        )

    async def entry(self, leaf_index: int) -> OpenEntry | None:
        """Return the entry at this place. Raises StorageUnavailableError."""
        found = await self.entries_from(leaf_index, 1)
        return found[0] if found and found[0].leaf_index == leaf_index else None

    async def restore(self, head: TreeHead, leaves: Callable[[int, int], Iterator[bytes]]) -> int:
        """See usecases.restoring.RestorableLedger."""
        return await self._database.write(lambda c: restore(c, self._house, head, leaves))

    async def destroy_key(self, principal: str) -> int:
        """Destroy the person's key: nobody opens what was sealed under it any more. Return how many keys were.

        Raises ValueError for nobody, StorageUnavailableError.
        """
        now = self._now()

        def work(connection: Connection) -> int:
            hold(connection)
            return destroy_key(connection, self._house, principal, now)

        return await self._database.write(work)

    async def _page(self, asked: EntryFilter, limit: int) -> list[OpenEntry]:
        return await self._database.read(
            lambda c: open_entries(c, self._house, newest_rows(c, self._house, asked, limit))
        )


def _append(
    connection: Connection, house: HouseKey, entries: Sequence[AuditEntry], now: datetime, size: int
) -> tuple[list[RejectedEntry], int]:
    """Return those that are rejected, and the new size. Whoever adds holds the tree's row: the next one sees these
    entries, and goes on behind them.
    """
    keys = PersonKeyRing(connection, house, now)
    known = _known(connection, entries)
    rejected: list[RejectedEntry] = []
    rows: list[dict[str, Any]] = []
    for entry in entries:
        ring_key = keys.key_for(entry.subject, entry.at)
        mac = content_mac(ring_key.key, entry.content()) if ring_key.key is not None else None
        id_ = entry_key(entry.entry_id)
        if id_ in known:
            there = known[id_]
            # Where one was forgotten nothing can be compared any more, and nothing need be.
            if there is not None and mac is not None and not hmac.compare_digest(there, mac):
                detail = "another entry has this id"
                rejected.append(RejectedEntry(entry.entry_id, RejectedFor.ID_REUSED, detail))
            continue
        known[id_] = mac
        row = {**_row(house, keys, entry, size + len(rows)), "entry_key": id_, "content_mac": mac}
        rows.append({**row, "row_mac": house.row_mac(row)})
    if rows:
        connection.execute(insert(_entries), rows)
        connection.execute(update(tree).where(tree.c.number == 1).values(size=size + len(rows)))
        extend(connection, size, [row["leaf"] for row in rows])
    return rejected, size + len(rows)


def _known(connection: Connection, entries: Iterable[AuditEntry]) -> dict[bytes, bytes | None]:
    ids = {entry_key(entry.entry_id) for entry in entries}
    query = select(_entries.c.entry_key, _entries.c.content_mac).where(_entries.c.entry_key.in_(ids))
    return {row.entry_key: row.content_mac for row in connection.execute(query)}


def _row(house: HouseKey, keys: PersonKeyRing, entry: AuditEntry, leaf_index: int) -> dict[str, Any]:
    subject, actor = keys.key_for(entry.subject, entry.at), keys.key_for(entry.who_acted, entry.at)
    disclosures = new_disclosures(entry.members())
    leaf = Leaf(
        secrets.token_hex(16),
        milliseconds(entry.at),
        entry.kind,
        entry.decision.value,
        entry.service,
        commitments_of(disclosures),
    )
    theirs = [each for each in disclosures if each.name in OF_THE_ACTOR]
    ours = [each for each in disclosures if each.name not in OF_THE_ACTOR]
    return {
        "leaf_index": leaf_index,
        "leaf_id": leaf.id,
        "leaf": leaf.encode(),
        "at": entry.at,
        "decision": leaf.decision,
        "vehicle": house.lookup("vehicle", entry.vin) if entry.vin else None,
        "command": house.lookup("command", entry.command_id) if entry.command_id else None,
        "subject": subject.key_id,
        "subject_sealed": None if subject.key is None else seal(subject.key, leaf.id, ours),
        "actor": actor.key_id,
        "actor_sealed": None if actor.key is None or not theirs else seal(actor.key, leaf.id, theirs),
    }


def open_entries(connection: Connection, house: HouseKey, found: Iterable[Row[Any]]) -> list[OpenEntry]:
    """Return the entries of these rows, with as much of them as can still be opened."""
    rows = list(found)
    keys = find_keys(connection, house, {key for row in rows for key in (row.subject, row.actor)})
    return [open_row(row, keys) for row in rows]


def open_row(row: Row[Any], keys: FoundKeys) -> OpenEntry:
    """Return the entry of a row. Raises LeafError for a leaf that is none."""
    leaf = leaves.decode(row.leaf)
    members: dict[str, Disclosure] = {}
    erased, lost = set(), set()
    for whose, key_id, sealed in (
        ("subject", row.subject, row.subject_sealed),
        ("actor", row.actor, row.actor_sealed),
    ):
        if key_id in keys.destroyed:
            erased.add(whose)
        elif key_id not in keys.open:
            lost.add(whose)
        elif sealed is not None:
            try:
                members |= {each.name: each for each in open_seal(keys.open[key_id], row.leaf_id, sealed)}
            except UnreadableSealError:
                lost.add(whose)
    return OpenEntry(row.leaf_index, leaf, members, frozenset(erased), frozenset(lost))

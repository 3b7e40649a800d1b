"""Whether the rows agree with the leaves: what an export says of the tables."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from services.audit.adapters.sealing import content_mac, entry_key
from services.audit.adapters.store.ledger import open_row
from services.audit.adapters.store.persons import find_keys
from services.audit.adapters.store.tables import entries
from services.audit.domain.entries import OF_THE_ACTOR, content_of
from services.platform.times import milliseconds
from tlog.leaves import LeafError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, Row

    from services.audit.adapters.sealing import HouseKey
    from services.audit.adapters.store.ledger import OpenEntry
    from services.audit.adapters.store.persons import FoundKeys
    from services.platform.database import Database


@dataclass(frozen=True, slots=True)
class InspectedRow:
    """A row, the entry in it as far as it opens (None: its leaf is none), and what is wrong with it."""

    leaf_index: int
    leaf: bytes
    entry: OpenEntry | None
    problems: tuple[str, ...]


class LedgerInspection:
    """Looks at the rows of a database."""

    def __init__(self, database: Database, house: HouseKey) -> None:
        self._database = database
        self._house = house

    async def rows(self, first: int, end: int) -> list[InspectedRow]:
        """Return the rows of the leaves from `first` to before `end`, in order: those that are there.

        Raises StorageUnavailableError.
        """
        return await self._database.read(lambda c: _inspected(c, self._house, first, end))


def _inspected(connection: Connection, house: HouseKey, first: int, end: int) -> list[InspectedRow]:
    query = (
        select(entries)
        .where(entries.c.leaf_index >= first, entries.c.leaf_index < end)
        .order_by(entries.c.leaf_index)
    )
    rows = list(connection.execute(query))
    keys = find_keys(connection, house, {key for row in rows for key in (row.subject, row.actor)})
    inspected = []
    for row in rows:
        try:
            entry = open_row(row, keys)
        except LeafError as error:
            inspected.append(InspectedRow(row.leaf_index, row.leaf, None, (f"its leaf is none: {error}",)))
        else:
            problems = tuple(_problems(row, entry, keys, house))
            inspected.append(InspectedRow(row.leaf_index, row.leaf, entry, problems))
    return inspected


def _problems(row: Row[Any], entry: OpenEntry, keys: FoundKeys, house: HouseKey) -> Iterator[str]:
    leaf = entry.leaf
    if not house.is_intact(row._asdict()):  # SQLAlchemy's public name
        yield "it is not the row that was written"
    if row.leaf_id != leaf.id or milliseconds(row.at) != leaf.at_millis:
        yield "id or time is not that of its leaf"
    if row.decision not in {None, leaf.decision}:
        yield "its decision is not that of its leaf"
    for name, member in entry.members.items():
        if not leaf.holds(member):
            yield f"{name} is not what its leaf commits to"
    unopened = entry.erased | entry.lost
    if "actor" not in unopened:
        yield from _problems_of_the_actor(row, entry, keys, house)
    if "subject" not in unopened:
        yield from _problems_of_the_subject(row, entry, keys, house)
    if not unopened:
        values = {name: member.value for name, member in entry.members.items()}
        content = content_of(values, row.at, leaf.service, leaf.kind, leaf.decision)
        mac = content_mac(keys.open[row.subject], content)
        if row.content_mac is None or not hmac.compare_digest(row.content_mac, mac):
            yield "it is not what came in"


def _problems_of_the_actor(
    row: Row[Any], entry: OpenEntry, keys: FoundKeys, house: HouseKey
) -> Iterator[str]:
    acted = entry.value("actor")
    if entry.leaf.commitments.keys() & OF_THE_ACTOR - entry.members.keys():
        yield "its actor is not there"
    if acted and keys.persons[row.actor] != house.lookup("person", acted):
        yield "it is under another person's key than its actor's"


def _problems_of_the_subject(
    row: Row[Any], entry: OpenEntry, keys: FoundKeys, house: HouseKey
) -> Iterator[str]:
    if entry.leaf.commitments.keys() - entry.members.keys() - OF_THE_ACTOR:
        yield "members of its subject are not there"
    if keys.persons[row.subject] != house.lookup("person", entry.value("subject")):
        yield "it is under another person's key than its subject's"
    for what, kept, name in (("vehicle", row.vehicle, "vin"), ("command", row.command, "command_id")):
        value = entry.value(name)
        if kept != (house.lookup(what, value) if value else None):
            yield f"it is found by another {what} than its own"
    if row.entry_key != entry_key(entry.value("entry_id")):
        yield "it is known by another id than its own"

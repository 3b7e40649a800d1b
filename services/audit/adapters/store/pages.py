"""Pages of entries, newest first: what one costs does not grow with the ledger.

Without `since` a page is read in an index's order. With it that order would lead through all that is older wherever
a page does not fill; so the vehicle's entries since then are looked at, by an index of their times, and sorted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select

from services.audit.adapters.store.tables import entries, person_keys

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime
    from typing import Any

    from sqlalchemy import ColumnElement, Connection, Row

    from services.audit.adapters.sealing import HouseKey
    from services.audit.domain.entries import AuditDecision


@dataclass(frozen=True, slots=True)
class EntryFilter:
    """Which entries: about a vehicle, about or by a person, not older than `since`, of one decision, before a leaf.

    A vehicle or a person must be given, and a vehicle with `since`. With `decision` also rows that do not say theirs:
    those that a replica of an earlier version wrote.
    """

    vin: str = ""
    person: str = ""
    since: datetime | None = None
    decision: AuditDecision | None = None
    before: int | None = None


def newest_rows(
    connection: Connection, house: HouseKey, asked: EntryFilter, limit: int
) -> Sequence[Row[Any]]:
    """Return at most `limit` rows, newest first.

    Each way in which an entry may be meant is a query of its own, because no index has the order of two of them.
    """
    places: set[int] = set()
    place = _place(asked)
    for way in _ways(connection, house, asked):
        newest = select(entries.c.leaf_index).where(*way, *_bounds(asked))
        newest = newest.order_by(place.desc()).limit(limit)
        places.update(connection.execute(newest).scalars())
    if not places:
        return []
    kept = sorted(places, reverse=True)[:limit]
    return list(
        connection.execute(
            select(entries).where(entries.c.leaf_index.in_(kept)).order_by(entries.c.leaf_index.desc())
        )
    )


def _ways(connection: Connection, house: HouseKey, asked: EntryFilter) -> Iterator[list[ColumnElement[bool]]]:
    decided: list[list[ColumnElement[bool]]] = [[]]
    if asked.decision is not None:
        decided = [[entries.c.decision == asked.decision.value], [entries.c.decision.is_(None)]]
    vehicle = [entries.c.vehicle == house.lookup("vehicle", asked.vin)] if asked.vin else []
    if not asked.person:
        yield from ([*vehicle, *each] for each in decided)
        return
    theirs = select(person_keys.c.key_id).where(person_keys.c.person == house.lookup("person", asked.person))
    for key in connection.execute(theirs).scalars().all():
        for column in (entries.c.subject, entries.c.actor):
            yield from ([column == key, *vehicle, *each] for each in decided)


def _bounds(asked: EntryFilter) -> Iterator[ColumnElement[bool]]:
    if asked.since is not None:
        yield entries.c.at >= asked.since
    if asked.before is not None:
        yield _place(asked) < asked.before


def _place(asked: EntryFilter) -> ColumnElement[int]:
    """Return an entry's place, to sort and compare by: with `since` as a number that no index is in the order of."""
    return entries.c.leaf_index if asked.since is None else entries.c.leaf_index + 0

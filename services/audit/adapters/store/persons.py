"""People's keys in the database: made when a person is first seen, kept wrapped, destroyed for ever."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog
from sqlalchemy import insert, select, update

from services.audit.adapters.sealing import KEY_BYTES, UnreadableSealError
from services.audit.adapters.store.tables import person_keys
from services.audit.domain.entries import HOUSE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from sqlalchemy import Connection

    from services.audit.adapters.sealing import HouseKey

_KEY_ID_BYTES = 16
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class PersonKey:
    """A key, or its id alone once it is destroyed."""

    key_id: bytes
    key: bytes | None


@dataclass(frozen=True, slots=True)
class FoundKeys:
    """The keys that open, by id, and the ids of those that were destroyed. All others are lost.

    `persons` says whose each is (a keyed hash).
    """

    open: Mapping[bytes, bytes]
    destroyed: frozenset[bytes]
    persons: Mapping[bytes, bytes]


def find_keys(connection: Connection, house: HouseKey, key_ids: Iterable[bytes]) -> FoundKeys:
    """Return what there is of these keys."""
    query = select(person_keys).where(person_keys.c.key_id.in_(set(key_ids)))
    found, destroyed, persons = {}, set(), {}
    for row in connection.execute(query):
        persons[row.key_id] = row.person
        if not house.is_intact(row._asdict()):  # SQLAlchemy's public name
            _log.error("person_key_changed", key=row.key_id.hex())
        elif row.wrapped is not None and row.destroyed_at is None:
            key = _unwrapped(house, row.key_id, row.wrapped)
            if key is not None:
                found[row.key_id] = key
        elif row.destroyed_at is not None:
            destroyed.add(row.key_id)
    return FoundKeys(found, frozenset(destroyed), persons)


def _unwrapped(house: HouseKey, key_id: bytes, wrapped: bytes) -> bytes | None:
    """Return the key, or None for one that is lost: it takes what is sealed under it, and nothing else."""
    try:
        return house.unwrap(key_id, wrapped)
    except UnreadableSealError as error:
        _log.error("person_key_lost", key=key_id.hex(), reason=str(error))
        return None


class PersonKeyRing:
    """The keys of people as one piece of work finds and makes them. Only for who holds the tree's row."""

    def __init__(self, connection: Connection, house: HouseKey, now: datetime) -> None:
        self._connection = connection
        self._house = house
        self._now = now
        self._found: dict[str, tuple[PersonKey | None, PersonKey | None, datetime | None]] = {}

    def key_for(self, principal: str, at: datetime) -> PersonKey:
        """Return the key for what this person did then. What was done before a key was destroyed has that one."""
        live, destroyed, destroyed_at = self._known(principal)
        if destroyed is not None and destroyed_at is not None and at <= destroyed_at:
            return destroyed
        if live is None:
            live = self._make(principal)
            self._found[principal] = (live, destroyed, destroyed_at)
        return live

    def _known(self, principal: str) -> tuple[PersonKey | None, PersonKey | None, datetime | None]:
        if principal not in self._found:
            person = self._house.lookup("person", principal)
            query = select(person_keys).where(person_keys.c.person == person)
            live = destroyed = destroyed_at = None
            for row in self._connection.execute(query):
                if row.wrapped is not None:
                    key = _unwrapped(self._house, row.key_id, row.wrapped)
                    live = PersonKey(row.key_id, key) if key is not None else live
                elif row.destroyed_at is not None and (
                    destroyed_at is None or row.destroyed_at > destroyed_at
                ):
                    destroyed, destroyed_at = PersonKey(row.key_id, None), row.destroyed_at
            self._found[principal] = (live, destroyed, destroyed_at)
        return self._found[principal]

    def _make(self, principal: str) -> PersonKey:
        made = PersonKey(secrets.token_bytes(_KEY_ID_BYTES), secrets.token_bytes(KEY_BYTES))
        row = {
            "key_id": made.key_id,
            "person": self._house.lookup("person", principal),
            "wrapped": self._house.wrap(made.key_id, made.key or b""),
            "made_at": self._now,
            "destroyed_at": None,
        }
        self._connection.execute(insert(person_keys).values(**row, row_mac=self._house.row_mac(row)))
        return made


def destroy_key(connection: Connection, house: HouseKey, principal: str, now: datetime) -> int:
    """Destroy the person's key; return how many keys were. Doing it again destroys none.

    Raises ValueError for nobody: what is under the house's own key is about no person.
    """
    if principal == HOUSE:
        raise ValueError("what is about no person has no key to be destroyed")
    live = (person_keys.c.person == house.lookup("person", principal)) & person_keys.c.wrapped.is_not(None)
    rows = list(connection.execute(select(person_keys).where(live)))
    for row in rows:
        gone = {**row._asdict(), "wrapped": None, "destroyed_at": now}  # SQLAlchemy's public name
        connection.execute(
            update(person_keys)
            .where(person_keys.c.key_id == row.key_id)
            .values(wrapped=None, destroyed_at=now, row_mac=house.row_mac(gone))
        )
    return len(rows)

"""People's keys in the database: made when a person is first seen, kept wrapped, destroyed for ever."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import insert, select, update

from services.audit.adapters.sealing import KEY_BYTES
from services.audit.adapters.store.tables import person_keys
from services.audit.domain.entries import HOUSE

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from sqlalchemy import Connection

    from services.audit.adapters.sealing import HouseKey

_KEY_ID_BYTES = 16


@dataclass(frozen=True, slots=True)
class PersonKey:
    """A key, or its id alone once it is destroyed."""

    key_id: bytes
    key: bytes | None


def find_keys(connection: Connection, house: HouseKey, key_ids: Iterable[bytes]) -> dict[bytes, bytes]:
    """Return the keys of these ids that are there, by id. Raises UnreadableSealError."""
    query = select(person_keys.c.key_id, person_keys.c.wrapped).where(
        person_keys.c.key_id.in_(set(key_ids)), person_keys.c.wrapped.is_not(None)
    )
    return {row.key_id: house.unwrap(row.key_id, row.wrapped) for row in connection.execute(query)}


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
                    live = PersonKey(row.key_id, self._house.unwrap(row.key_id, row.wrapped))
                elif destroyed_at is None or row.destroyed_at > destroyed_at:
                    destroyed, destroyed_at = PersonKey(row.key_id, None), row.destroyed_at
            self._found[principal] = (live, destroyed, destroyed_at)
        return self._found[principal]

    def _make(self, principal: str) -> PersonKey:
        made = PersonKey(secrets.token_bytes(_KEY_ID_BYTES), secrets.token_bytes(KEY_BYTES))
        self._connection.execute(
            insert(person_keys).values(
                key_id=made.key_id,
                person=self._house.lookup("person", principal),
                wrapped=self._house.wrap(made.key_id, made.key or b""),
                made_at=self._now,
            )
        )
        return made


def destroy_key(connection: Connection, house: HouseKey, principal: str, now: datetime) -> int:
    """Destroy the person's key; return how many keys were. Doing it again destroys none.

    Raises ValueError for nobody: what is under the house's own key is about no person.
    """
    if principal == HOUSE:
        raise ValueError("what is about no person has no key to be destroyed")
    live = (person_keys.c.person == house.lookup("person", principal)) & person_keys.c.wrapped.is_not(None)
    return connection.execute(update(person_keys).where(live).values(wrapped=None, destroyed_at=now)).rowcount

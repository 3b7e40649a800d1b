"""Telling owners, and the other services, of a change in somebody's access, in the commit that changes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from sqlalchemy import select

from services.access.adapters.store.grant_rows import grant_of
from services.access.adapters.store.tables import add_if_new, grants, outbox, severances, vehicles
from services.access.domain.grants import GrantRole, GrantState
from services.access.domain.sharing import AccessChange, GrantNotPossibleError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from sqlalchemy import Connection

    from services.access.domain.ended_rights import EndedRight
    from services.access.domain.grants import Grant
    from services.access.domain.sharing import ChangeKind
    from services.platform.outbox import OutgoingMessage


class ChangeMessages(Protocol):
    """What leaves with a change, as messages of the outbox."""

    def ended(self, ended: EndedRight, /) -> OutgoingMessage:
        """Return what every service is told of a right that ended before its time."""

    def changed(self, change: AccessChange, /) -> list[OutgoingMessage]:
        """Return what the owners and the other services are told of a change."""

    def account(self, vin: str, principal: str, what: str, at: datetime, /) -> OutgoingMessage:
        """Return what the owners of a vehicle are told of an account that has a right on it: not why."""


def lock_vehicle(connection: Connection, vin: str) -> None:
    """Keep others from changing rights on the vehicle meanwhile. SQLite has one writer at a time."""
    connection.execute(select(vehicles.c.vin).where(vehicles.c.vin == vin).with_for_update())


def lock_new_vehicle(connection: Connection, vin: str, at: datetime) -> None:
    """Lock a vehicle that may not be registered yet, and is from now on: without its row there is no lock."""
    add_if_new(connection, vehicles, {"vin": vin, "registered_at": at})
    lock_vehicle(connection, vin)


def check_not_severed(connection: Connection, vin: str, principal: str) -> None:
    """Raise GrantNotPossibleError when this person's access to the vehicle is severed."""
    if is_severed(connection, vin, principal):
        raise GrantNotPossibleError


def is_severed(connection: Connection, vin: str, principal: str) -> bool:
    """Return whether a severance of this person's access to the vehicle stands."""
    query = select(severances.c.severance_id).where(
        severances.c.vin == vin, severances.c.person == principal, severances.c.reversed_at.is_(None)
    )
    return connection.execute(query).first() is not None


def owners_of(connection: Connection, vin: str, at: datetime) -> frozenset[str]:
    """Return who owns the vehicle now."""
    return frozenset(grant.asked.principal for grant in owners_grants(connection, vin, at))


def owners_grants(connection: Connection, vin: str, at: datetime) -> list[Grant]:
    """Return the rights by which somebody owns the vehicle now."""
    query = select(grants).where(
        grants.c.vin == vin, grants.c.role == GrantRole.OWNER.value, grants.c.revoked_at.is_(None)
    )
    owned = map(grant_of, connection.execute(query))
    return [grant for grant in owned if grant.state(at) is GrantState.ACTIVE]


def notify(
    connection: Connection,
    grant: Grant,
    kind: ChangeKind,
    by: str,
    at: datetime,
    owners: Iterable[str],
    change_messages: ChangeMessages,
) -> list[OutgoingMessage]:
    """Keep the messages about what has become of a grant, and return them."""
    asked = grant.asked
    told = tuple(sorted(owners))
    change = AccessChange(
        kind, asked.vin, asked.principal, asked.role, by, at, told, asked.grant_id, asked.label
    )
    messages = change_messages.changed(change)
    outbox.add(connection, messages)
    return messages

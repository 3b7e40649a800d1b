"""Telling owners, and the other services, of a change in somebody's access, in the commit that changes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from sqlalchemy import select

from services.access.adapters.store.grant_rows import grant_of
from services.access.adapters.store.tables import grants, outbox
from services.access.domain.grants import GrantRole, GrantState
from services.access.domain.sharing import AccessChange

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from sqlalchemy import Connection

    from services.access.domain.ended_rights import EndedRight
    from services.access.domain.grants import Grant
    from services.access.domain.sharing import ChangeKind
    from services.platform.outbox import OutgoingMessage


class Announcements(Protocol):
    """What leaves with a change, as messages of the outbox."""

    def ended(self, ended: EndedRight, /) -> OutgoingMessage:
        """Return what every service is told of a right that ended before its time."""

    def changed(self, change: AccessChange, /) -> list[OutgoingMessage]:
        """Return what the owners and the other services are told of a change."""


def owners_of(connection: Connection, vin: str, at: datetime) -> frozenset[str]:
    """Return who owns the vehicle now."""
    query = select(grants).where(
        grants.c.vin == vin, grants.c.role == GrantRole.OWNER.value, grants.c.revoked_at.is_(None)
    )
    owned = map(grant_of, connection.execute(query))
    return frozenset(grant.asked.principal for grant in owned if grant.state(at) is GrantState.ACTIVE)


def tell(
    connection: Connection,
    grant: Grant,
    kind: ChangeKind,
    by: str,
    at: datetime,
    owners: Iterable[str],
    announcements: Announcements,
) -> list[OutgoingMessage]:
    """Keep the messages about what has become of a grant, and return them."""
    asked = grant.asked
    told = tuple(sorted(owners))
    change = AccessChange(
        kind, asked.vin, asked.principal, asked.role, by, at, told, asked.grant_id, asked.label
    )
    messages = announcements.changed(change)
    outbox.add(connection, messages)
    return messages

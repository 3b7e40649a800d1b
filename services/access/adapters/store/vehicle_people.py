"""Who has a right on a vehicle, as the record has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from services.access.adapters.store.grant_rows import grant_of
from services.access.adapters.store.grants import not_over
from services.access.adapters.store.tables import grants, principals
from services.access.domain.vehicle_people import right_holders

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

    from services.access.domain.vehicle_people import RightHolder


def holders_of_rights(connection: Connection, vin: str, at: datetime, also: str) -> list[RightHolder]:
    """Return whoever has a right on the vehicle at this moment, owners first; see right_holders."""
    live = (
        select(grants).where(grants.c.vin == vin, grants.c.revoked_at.is_(None)).order_by(grants.c.grant_id)
    )
    held = [grant_of(row) for row in connection.execute(live)]
    if not held:
        return []
    locked = select(principals.c.principal).where(
        principals.c.principal.in_({grant.asked.principal for grant in held}),
        principals.c.locked_at.is_not(None),
    )
    return right_holders(held, set(connection.execute(locked).scalars()), at, also)


def vins_of_person(connection: Connection, person: str, after: str, most: int, at: datetime) -> list[str]:
    """Return the VINs after this one that the person's grants name which have not ended, in order, `most` at most."""
    query = (
        select(grants.c.vin)
        .where(
            grants.c.principal == person,
            grants.c.revoked_at.is_(None),
            grants.c.vin > after,
            not_over(at),
        )
        .distinct()
        .order_by(grants.c.vin)
        .limit(most)
    )
    return list(connection.execute(query).scalars())

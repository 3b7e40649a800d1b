"""A person's grants, across vehicles."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from services.access.adapters.store.grant_rows import grant_of
from services.access.adapters.store.grants import not_over
from services.access.adapters.store.tables import grants

if TYPE_CHECKING:
    from datetime import datetime

    from services.access.domain.grants import Grant
    from services.platform.database import Database

MOST_GRANTS = 1_000


class SqlPersonGrants:
    """usecases.person_vehicles.PersonGrantRecord on a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def unended(self, person: str, *, at: datetime) -> list[Grant]:
        """See the port."""
        query = (
            select(grants)
            .where(grants.c.principal == person, grants.c.revoked_at.is_(None), not_over(at))
            .order_by(grants.c.vin, grants.c.grant_id)
            .limit(MOST_GRANTS)
        )
        return await self._database.read(lambda c: [grant_of(row) for row in c.execute(query)])

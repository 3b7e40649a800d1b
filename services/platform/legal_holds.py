"""Legal holds, as each service knows them: what is about these people or resources is not deleted, whatever its time.

They are decided elsewhere and handed to every service as a whole: the table is a copy, so that a job that deletes obeys
them while nobody else can be asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import Column, Connection, MetaData, String, Table, delete, func, insert, select

from services.platform.database import Instant
from services.platform.kept_data import held_by

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from typing import Any

    from sqlalchemy import ColumnElement

    from services.platform.kept_data import KeptTable

MOST_HOLDS = 1_000


@dataclass(frozen=True, slots=True)
class HeldSubject:
    """One hold: on a resource, or on a person; the other is empty."""

    hold_id: str
    resource: str
    person: str
    since: datetime


class LegalHolds:
    """The table, and what is asked of it."""

    def __init__(self, metadata: MetaData) -> None:
        self.table = Table(
            "legal_hold",
            metadata,
            Column("hold_id", String(64), primary_key=True),
            Column("resource", String(64), nullable=False),
            Column("person", String(128), nullable=False),
            Column("since", Instant, nullable=False),
        )

    def replace(self, connection: Connection, holds: Sequence[HeldSubject]) -> None:
        """Keep these and no others."""
        connection.execute(delete(self.table))
        if holds:
            rows = [
                {"hold_id": h.hold_id, "resource": h.resource, "person": h.person, "since": h.since}
                for h in holds
            ]
            connection.execute(insert(self.table), rows)

    def count(self, connection: Connection) -> int:
        """Return how many are in force."""
        return int(connection.execute(select(func.count()).select_from(self.table)).scalar_one())

    def of(self, connection: Connection, person: str) -> list[str]:
        """Return the ids of those on a person, oldest first."""
        query = select(self.table.c.hold_id).where(self.table.c.person == person).order_by(self.table.c.since)
        return list(connection.execute(query).scalars())

    def spared(self, kept: KeptTable) -> ColumnElement[bool]:
        """Return which rows of a table a hold keeps."""

        def named(by: Any, column: Any) -> ColumnElement[bool]:
            held = self.table.alias()
            return select(held.c.hold_id).where(held.c[by] == column, held.c[by] != "").exists()

        return held_by(kept, lambda column: named("resource", column), lambda column: named("person", column))

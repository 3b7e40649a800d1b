"""Which vehicles a person has, for an app that begins with a sign-in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from services.access.domain.person_vehicles import MOST_VEHICLES, vehicles_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from services.access.domain.grants import Grant
    from services.access.domain.person_vehicles import PersonVehicle


class PersonGrantRecord(Protocol):
    """Where grants are kept."""

    async def unended(self, person: str, *, at: datetime) -> Sequence[Grant]:
        """Return the person's grants that have not ended, by VIN; of very many the first. Raise
        StorageUnavailableError.
        """


class PersonVehicles:
    """What a person may ask about the vehicles that they have."""

    def __init__(self, record: PersonGrantRecord, now: Callable[[], datetime]) -> None:
        self._record = record
        self._now = now

    async def listed(self, person: str) -> tuple[list[PersonVehicle], bool]:
        """Return the vehicles on which they have a right now, MOST_VEHICLES at most, and whether there are more.

        Raise StorageUnavailableError.
        """
        now = self._now()
        found = vehicles_of(await self._record.unended(person, at=now), now)
        return found[:MOST_VEHICLES], len(found) > MOST_VEHICLES

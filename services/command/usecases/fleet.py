"""What is read of the whole fleet's failures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from services.command.domain.fleet import fleet_overview

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from services.command.domain.fleet import FleetOverview, FleetQuery, FleetSample


class FleetCountsReader(Protocol):
    """The counts of all vehicles. Raises StorageUnavailableError."""

    async def of_fleet(self, query: FleetQuery, vehicles: int) -> FleetSample:
        """Return the counts of the query's time, and of the one before; behind none of them more than so many vehicles
        are looked for.
        """


@dataclass(frozen=True, slots=True)
class FleetDependencies:
    """What this use case works with. `minimum_vehicles`: no figure is of fewer vehicles."""

    counts: FleetCountsReader
    minimum_vehicles: int
    now: Callable[[], datetime]


async def analyse_fleet(deps: FleetDependencies, query: FleetQuery) -> FleetOverview:
    """Return why commands of the fleet failed."""
    return fleet_overview(
        query, await deps.counts.of_fleet(query, deps.minimum_vehicles), deps.minimum_vehicles
    )

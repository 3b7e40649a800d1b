"""What is counted of failures, and what is read of the counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from services.command.domain.failures import analysed

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from services.command.domain.failures import (
        CountKey,
        FailureAnalysis,
        FailureQuery,
        FleetCounts,
    )

ROUNDS_AT_MOST = 20
"""So many rounds of counting follow each other, then others have their turn."""


class FailureCounts(Protocol):
    """The counts. Every method is one transaction, and raises StorageUnavailableError."""

    async def count_more(self, now: datetime, model_of: Callable[[str], str]) -> bool:
        """Count some of what ended and is not counted yet; return whether there may be more."""

    async def of_vehicle(self, query: FailureQuery) -> tuple[list[tuple[CountKey, int]], datetime]:
        """Return a vehicle's counts in the query's time, and until when what ended is counted."""

    async def of_model(
        self, model: str, since: datetime, vehicles: int, *, without: str
    ) -> FleetCounts | None:
        """Return the counts of a model since the begin of a day; None where fewer than so many vehicles beside the one
        `without` were commanded.
        """


@dataclass(frozen=True, slots=True)
class FailureDependencies:
    """What these use cases work with. `minimum_vehicles`: no figure of the fleet is of fewer vehicles."""

    counts: FailureCounts
    model_of: Callable[[str], str]
    minimum_vehicles: int
    now: Callable[[], datetime]


async def count_failures(deps: FailureDependencies) -> None:
    """Count what ended since the last time."""
    for _ in range(ROUNDS_AT_MOST):
        if not await deps.counts.count_more(deps.now(), deps.model_of):
            return


async def analyse(deps: FailureDependencies, query: FailureQuery) -> FailureAnalysis:
    """Return why this vehicle's commands failed."""
    counts, counted_until = await deps.counts.of_vehicle(query)
    model = deps.model_of(query.vin)
    fleet = await deps.counts.of_model(model, query.fleet_since, deps.minimum_vehicles, without=query.vin)
    return analysed(query, model, counts, fleet, counted_until)

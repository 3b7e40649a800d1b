"""The settings that the use cases keep to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Rules:
    """Settings of this service."""

    ttl: timedelta
    estimated_seconds: int
    retention: timedelta
    asleep_seconds: int = 20
    """How long a command to a vehicle that sleeps, or was never heard of, takes, as a guess: it is woken, connects, and
    acts.
    """
    checks_kept: timedelta = timedelta(days=30)
    """How long status reads are in the history; zero keeps none."""
    checks_listed: bool = True
    """Whether a list for which no action is named or left out has them."""

    def estimate(self, *, lost: bool, wakes_first: bool) -> int:
        """Return how many seconds a command takes, as a guess; of a vehicle that is out of reach nobody can tell, so at
        most its whole life.
        """
        if lost:
            return round(self.ttl.total_seconds())
        return self.asleep_seconds if wakes_first else self.estimated_seconds

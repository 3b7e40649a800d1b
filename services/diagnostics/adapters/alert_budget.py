"""How many alerts of one vehicle are told in a while, so that a vehicle that changes its mind floods nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.diagnostics.domain.diagnosis import MOST_TOLD, coalesced
from services.platform.budget import TokenBucket

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from services.diagnostics.domain.diagnosis import AlertChange

BURST = 32
SECONDS_EACH = 60.0
"""A vehicle whose alerts come and go is reported BURST times at once, and then once a minute."""


class AlertBudget:
    """Each vehicle's share. `monotonic` counts seconds."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._budget = TokenBucket(BURST, SECONDS_EACH, monotonic)

    def left(self, vin: str) -> int:
        """Return how much is left of the vehicle's share."""
        return self._budget.left(vin)

    def told(self, changes: Sequence[AlertChange]) -> list[AlertChange]:
        """Return what of the changes of one self-check is told: each, a summary, or nothing when that was told
        just now.
        """
        if not changes:
            return []
        vin = changes[0].check.vin
        left = self._budget.left(vin)
        if left <= 0:
            return []
        told = coalesced(changes, min(MOST_TOLD, left))
        self._budget.spend(vin, len(told))
        return told

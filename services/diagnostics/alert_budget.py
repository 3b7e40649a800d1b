"""How many alerts of one vehicle are told in a while, so that a vehicle that changes its mind floods nobody."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from services.diagnostics.domain import MOST_TOLD, coalesced

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from services.diagnostics.domain import AlertChange

BURST = 32
SECONDS_EACH = 60.0
"""A vehicle whose alerts come and go is told of BURST times at once, and then once a minute."""
_MOST_KEPT = 100_000


class AlertBudget:
    """A leaky bucket for each vehicle. `monotonic` counts seconds."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._empty_at: OrderedDict[str, float] = OrderedDict()

    def told(self, changes: Sequence[AlertChange]) -> list[AlertChange]:
        """What of the changes of one self-check is told: each, a summary, or nothing when that was told just now."""
        if not changes:
            return []
        vin, now = changes[0].check.vin, self._monotonic()
        empty_at = max(self._empty_at.get(vin, 0.0), now)
        left = int(BURST - (empty_at - now) / SECONDS_EACH)
        if left <= 0:
            return []
        told = coalesced(changes, min(MOST_TOLD, left))
        self._empty_at[vin] = empty_at + len(told) * SECONDS_EACH
        self._empty_at.move_to_end(vin)
        if len(self._empty_at) > _MOST_KEPT:
            self._empty_at.popitem(last=False)
        return told

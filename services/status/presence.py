"""Whose connection broke, as the broker says: in memory only, and worth nothing against a report that came later."""

from __future__ import annotations

from collections import OrderedDict


class LostVehicles:
    """Remembers the last loss of at most `limit` vehicles. Times are microseconds since 1970.

    Nobody signs a loss, so it may only make a vehicle look out of reach, and only until it speaks again.
    """

    def __init__(self, limit: int = 100_000) -> None:
        self._limit = limit
        self._lost: OrderedDict[str, int] = OrderedDict()

    def note(self, vin: str, at_us: int) -> None:
        """The vehicle's connection broke."""
        self._lost[vin] = at_us
        self._lost.move_to_end(vin)
        if len(self._lost) > self._limit:
            self._lost.popitem(last=False)

    def is_lost(self, vin: str, received_at_us: int) -> bool:
        """Whether the connection broke after the last report came."""
        return self._lost.get(vin, -1) >= received_at_us

"""Whose connection broke, as the broker says: in memory only, and worth nothing against a report that came later."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


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


class Reachability:
    """Whether vehicles can be reached (usecases.Losses): none can while the broker is away, whatever each said last."""

    def __init__(self, lost: LostVehicles, broker_connected: Callable[[], bool]) -> None:
        self._lost = lost
        self._broker_connected = broker_connected

    def is_lost(self, vin: str, received_at_us: int) -> bool:
        """Return whether the vehicle's connection broke after its last report came, or all of them did."""
        return not self._broker_connected() or self._lost.is_lost(vin, received_at_us)

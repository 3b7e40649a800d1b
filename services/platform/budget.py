"""How much of what one sender causes is told to others in a while: a leaky bucket for each."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_MOST_KEPT = 100_000


class TokenBucket:
    """`burst` at once, and one more every `seconds_each`. `monotonic` counts seconds."""

    def __init__(self, burst: int, seconds_each: float, monotonic: Callable[[], float]) -> None:
        self._burst = burst
        self._seconds_each = seconds_each
        self._monotonic = monotonic
        self._empty_at: OrderedDict[str, float] = OrderedDict()

    def left(self, sender: str) -> int:
        """Return how many it has left now."""
        now = self._monotonic()
        return int(self._burst - max(0.0, self._empty_at.get(sender, now) - now) / self._seconds_each)

    def spend(self, sender: str, count: int) -> bool:
        """Return whether it had so many left; then they are spent."""
        if self.left(sender) < count:
            return False
        now = self._monotonic()
        self._empty_at[sender] = max(self._empty_at.get(sender, now), now) + count * self._seconds_each
        self._empty_at.move_to_end(sender)
        if len(self._empty_at) > _MOST_KEPT:
            self._empty_at.popitem(last=False)
        return True

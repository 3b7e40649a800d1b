"""How many calls may be with one host at a time, so that those that hang keep nobody from the others."""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_REMEMBERED = 1_000
"""So many hosts are remembered to have hung; of more, those that did last."""


class HostPlaces:
    """The places of calls: `most` in all, `per_host` with one host. A host that let a call wait until its time was over
    has one until it answers again, and all such hosts together have no more than half of the places.
    """

    def __init__(self, most: int, per_host: int) -> None:
        self._most = most
        self._per_host = per_host
        self._most_slow = max(1, most // 2)
        self._under_way: Counter[str] = Counter()
        self._slow: OrderedDict[str, None] = OrderedDict()

    @property
    def left(self) -> int:
        """How many calls more there is room for, with whichever host."""
        return self._most - self._under_way.total()

    def left_with(self, host: str) -> int:
        """Return how many calls more may be with this host."""
        if host not in self._slow:
            return max(0, min(self.left, self._per_host - self._under_way[host]))
        slow = sum(number for name, number in self._under_way.items() if name in self._slow)
        return max(0, min(self.left, 1 - self._under_way[host], self._most_slow - slow))

    @property
    def full(self) -> list[str]:
        """The hosts with which no call more may be."""
        return [name for name in {*self._under_way, *self._slow} if self.left_with(name) == 0]

    def planner(self) -> Callable[[str], bool]:
        """Return what says of one call more after the other, by its host, whether there is room for it."""
        planned = HostPlaces(self._most, self._per_host)
        planned._under_way, planned._slow = self._under_way.copy(), self._slow

        def take(host: str) -> bool:
            if planned.left_with(host) <= 0:
                return False
            planned.begin(host)
            return True

        return take

    def begin(self, host: str) -> None:
        """Take a place with this host."""
        self._under_way[host] += 1

    def end(self, host: str) -> bool:
        """Give it back; return whether there was no room before for another call, with it or with any."""
        was_full = self.left_with(host) == 0
        self._under_way[host] -= 1
        if not self._under_way[host]:
            del self._under_way[host]
        return was_full

    def note(self, host: str, *, hung: bool) -> None:
        """Remember whether a call of this host came to an end in its time."""
        if not hung:
            self._slow.pop(host, None)
            return
        self._slow[host] = None
        self._slow.move_to_end(host)
        if len(self._slow) > MOST_REMEMBERED:
            self._slow.popitem(last=False)

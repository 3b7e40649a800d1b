"""Which streams there are, and who gives way when there are too many. Rules and memory; nothing waits here."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from services.status.domain.updates import TooManyStreamsError

if TYPE_CHECKING:
    from services.status.usecases.hub import Watcher


class Streams:
    """The streams of this process: at most `most`, `per_user` of one user and `per_vehicle` of one vehicle.

    A user is who authenticated: an agent's streams are the agent's, so that they push out none of the person's.
    """

    def __init__(self, most: int, per_user: int, per_vehicle: int) -> None:
        self._most = most
        self._per_user = per_user
        self._per_vehicle = per_vehicle
        self._all: dict[Watcher, None] = {}
        self._by_user: dict[str, dict[Watcher, None]] = {}
        self._by_vehicle: dict[str, dict[Watcher, None]] = {}

    def __len__(self) -> int:
        return len(self._all)

    def __contains__(self, watcher: Watcher) -> bool:
        return watcher in self._all

    def all(self) -> tuple[Watcher, ...]:
        """Return all, the oldest first."""
        return tuple(self._all)

    def of_vehicle(self, vin: str) -> tuple[Watcher, ...]:
        """Return the vehicle's, the oldest first."""
        return tuple(self._by_vehicle.get(vin, ()))

    def giving_way_to(self, watcher: Watcher) -> Watcher | None:
        """Return which stream must go so that this one can come; None when there is service. Raises
        TooManyStreamsError.

        The oldest of the same user, when that one has too many. Where a vehicle or the process is full, the oldest of
        whoever has the most there: one user cannot keep others out, and nobody loses the only stream they have.
        """
        own = self._by_user.get(watcher.right.actor, {})
        if len(own) >= self._per_user:
            return next(iter(own))
        of_vehicle = self._by_vehicle.get(watcher.vin, {})
        if len(of_vehicle) >= self._per_vehicle:
            counts = Counter(each.right.actor for each in of_vehicle)
            user = _who_gives_way(counts, watcher.right.actor)
            return next(each for each in of_vehicle if each.right.actor == user)
        if len(self._all) >= self._most:
            counts = Counter({user: len(streams) for user, streams in self._by_user.items()})
            return next(iter(self._by_user[_who_gives_way(counts, watcher.right.actor)]))
        return None

    def add(self, watcher: Watcher) -> None:
        """There is one more."""
        self._all[watcher] = None
        self._by_user.setdefault(watcher.right.actor, {})[watcher] = None
        self._by_vehicle.setdefault(watcher.vin, {})[watcher] = None

    def remove(self, watcher: Watcher) -> None:
        """There is one less, unless it had gone before."""
        if watcher not in self._all:
            return
        del self._all[watcher]
        for groups, name in ((self._by_user, watcher.right.actor), (self._by_vehicle, watcher.vin)):
            group = groups[name]
            del group[watcher]
            if not group:
                del groups[name]


def _who_gives_way(counts: Counter[str], newcomer: str) -> str:
    user, most = counts.most_common(1)[0]
    mine = counts[newcomer]
    if most >= mine + 2:  # even after it they have as many as the newcomer
        return user
    if mine:
        return newcomer
    raise TooManyStreamsError

"""Whose connection broke, as the broker says, and who answers nothing: in memory only, and worth nothing against a
report that came later.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from services.status.domain.doors import Report


class LostVehicles:
    """Remembers the last loss of at most `limit` vehicles. Times are microseconds since 1970. `publish` hears of each
    vehicle that may not be reached any more, and since when.

    Nobody signs a loss, so it may only make a vehicle look out of reach, and only until it speaks again.
    """

    def __init__(
        self, limit: int = 100_000, publish: Callable[[str, int], None] = lambda _vin, _at_us: None
    ) -> None:
        self._limit = limit
        self._publish = publish
        self._lost: OrderedDict[str, int] = OrderedDict()
        self._unanswering: OrderedDict[str, int] = OrderedDict()

    def note(self, vin: str, at_us: int) -> None:
        """Note that the vehicle's connection broke."""
        self._keep(self._lost, vin, at_us)

    def note_unanswered(self, vin: str, at_us: int) -> None:
        """Note that the vehicle has not answered a command whose time was over then."""
        self._keep(self._unanswering, vin, at_us)

    def is_lost(self, vin: str, received_at_us: int) -> bool:
        """Return whether the connection broke, or a command was not answered, after the last report came."""
        return self._lost.get(vin, -1) >= received_at_us or self.is_unanswering(vin, received_at_us)

    def lost_at_us(self, vin: str, received_at_us: int) -> int | None:
        """Return when the connection broke, or a command was not answered, after the last report came; the earlier of
        both, and None where neither did.
        """
        since = [
            at for among in (self._lost, self._unanswering) if (at := among.get(vin, -1)) >= received_at_us
        ]
        return min(since, default=None)

    def is_unanswering(self, vin: str, received_at_us: int) -> bool:
        """Return whether a command was not answered after the last report came: it may have moved doors since."""
        return self._unanswering.get(vin, -1) >= received_at_us

    def _keep(self, among: OrderedDict[str, int], vin: str, at_us: int) -> None:
        among[vin] = at_us
        among.move_to_end(vin)
        if len(among) > self._limit:
            among.popitem(last=False)
        self._publish(vin, at_us)


class SilentVehicles:
    """Finds the vehicles that report no more and did not say that they sleep. At most `limit` are looked after, and
    only what has reported since this process began. Times are microseconds since 1970.
    """

    def __init__(self, publish: Callable[[str, int], None], limit: int = 100_000) -> None:
        self._publish = publish
        self._limit = limit
        self._stale_at: OrderedDict[str, int] = OrderedDict()

    def received(self, reports: Iterable[Report]) -> None:
        """Note that these reported."""
        stale_at = self._stale_at
        for report in reports:
            if report.asleep:
                stale_at.pop(report.vin, None)
            else:
                stale_at[report.vin] = report.stale_at_us
        while len(stale_at) > self._limit:
            stale_at.popitem(last=False)

    def look(self, now_us: int) -> None:
        """Tell of each that has fallen silent, once."""
        silent = [vin for vin, stale_at_us in self._stale_at.items() if stale_at_us < now_us]
        for vin in silent:
            self._publish(vin, self._stale_at.pop(vin))


class Reachability:
    """Whether vehicles can be reached (usecases.Losses): none can while the broker is away, whatever each said last."""

    def __init__(self, lost: LostVehicles, broker_connected: Callable[[], bool]) -> None:
        self._lost = lost
        self._broker_connected = broker_connected

    def is_lost(self, vin: str, received_at_us: int) -> bool:
        """Return whether the vehicle's connection broke after its last report came, or all of them did."""
        return not self._broker_connected() or self._lost.is_lost(vin, received_at_us)

    def lost_at_us(self, vin: str, received_at_us: int) -> int | None:
        """Return when its own connection broke, or a command was not answered, after that; None where neither did."""
        return self._lost.lost_at_us(vin, received_at_us)

    def is_unanswering(self, vin: str, received_at_us: int) -> bool:
        """Return whether a command was not answered after the last report came."""
        return self._lost.is_unanswering(vin, received_at_us)

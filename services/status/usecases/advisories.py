"""Advisory states of what stands in a command's way: told on change and again while it lasts, never stored.

That a vehicle goes to sleep or is lost, and that it is there again, is published once: whoever commands it
learns that it takes longer.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.status.domain.doors import any_open, open_doors
from services.status.usecases.presence import SilentVehicles

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Container, Sequence

    from services.status.domain.doors import Report

IGNITION_ON = 3
"""As the vehicle contract numbers it."""

_Condition = tuple[tuple[str, ...], bool, bool, bool]


@dataclass(frozen=True, slots=True)
class StatusAdvisory:
    """What to tell of a vehicle; `ended` says that nothing stands in a command's way (any more)."""

    report: Report
    ended: bool


class AdvisoryFilter:
    """Remembers what was reported of each vehicle, and tells what is new or old enough to be told again.

    `publish` publishes, and so does `tell_lost`: a VIN, and since when it is lost, microseconds since 1970. At most
    `limit` vehicles are remembered; one that is forgotten is reported again at its next report.
    """

    def __init__(
        self,
        publish: Callable[[Sequence[StatusAdvisory]], None],
        monotonic: Callable[[], float],
        again_seconds: float = 5.0,
        limit: int = 100_000,
        tell_lost: Callable[[str, int], None] = lambda _vin, _at_us: None,
    ) -> None:
        self._publish = publish
        self._monotonic = monotonic
        self._again_seconds = again_seconds
        self._limit = limit
        self._told: OrderedDict[str, tuple[_Condition, float]] = OrderedDict()
        self._tell_lost = tell_lost
        self._lost: OrderedDict[str, int] = OrderedDict()
        self.silent = SilentVehicles(self.lost, limit)

    def lost(self, vin: str, at_us: int) -> None:
        """Note that the vehicle may not be reached any more, since then: told once, until it reports again."""
        if vin not in self._lost:
            self._tell_lost(vin, at_us)
        self._lost[vin] = at_us
        self._lost.move_to_end(vin)
        if len(self._lost) > self._limit:
            self._lost.popitem(last=False)

    def consider(self, reports: Collection[Report], woken: Container[str]) -> None:
        """Tell of what these vehicles' states forbid, and who is awake again. Never fails: it is an advisory state."""
        now = self._monotonic()
        self.silent.received(reports)
        advisories = [
            advisory for report in reports if (advisory := self._advisory(report, now, woken)) is not None
        ]
        if advisories:
            self._publish(advisories)

    def _advisory(self, report: Report, now: float, woken: Container[str]) -> StatusAdvisory | None:
        vin = report.vin
        told = self._told.get(vin)
        running, moving = report.ignition == IGNITION_ON, report.speed_kmh > 0
        disabled = report.remote_access_disabled
        standing = running or moving or disabled or any_open(report.doors)
        back = vin in woken or (vin in self._lost and self._is_back(report))
        if report.asleep or not standing:
            if not report.asleep and told is None and not back:
                return None
            self._told.pop(vin, None)  # what sleeps says nothing more that could be told again
            return StatusAdvisory(report, ended=not standing)
        condition = (open_doors(report.doors), running, moving, disabled)
        known = told is not None and told[0] == condition and now - told[1] < self._again_seconds
        if known and not back:
            return None
        self._told[vin] = (condition, now)
        self._told.move_to_end(vin)
        if len(self._told) > self._limit:
            self._told.popitem(last=False)
        return StatusAdvisory(report, ended=False)

    def _is_back(self, report: Report) -> bool:
        """Return whether it reported after it was lost; then it is not any more."""
        if report.received_at_us <= self._lost[report.vin]:
            return False
        del self._lost[report.vin]
        return True

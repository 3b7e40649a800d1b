"""Why commands failed in the whole fleet, without telling of anybody. Standard library only.

A figure is shown where enough vehicles are behind it; what fewer had is counted together with the rest.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from services.command.domain.failures import DAY, begin_of, most_frequent, of_components, share

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from services.command.domain.commands import FailureReason
    from services.command.domain.failures import FailureComponent

Key = TypeVar("Key")
OTHER = "other"
"""The models with too few vehicles, together."""
_LONG = timedelta(days=60)
_WEEK = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class FleetCell:
    """What is counted together: requests to a model's vehicles with the same end. Without `door` these are requests,
    with one what vehicles said of it; without `reason` they did not fail.
    """

    model: str
    reason: FailureReason | None = None
    door: str = ""


@dataclass(frozen=True, slots=True)
class FleetQuery:
    """Failures of which time, in whole days, and of which model; None: of all."""

    now: datetime
    period: timedelta
    model: str | None = None

    @property
    def since(self) -> datetime:
        """Return the begin of the first day."""
        return begin_of(self.now, DAY) + DAY - self.period

    @property
    def before(self) -> datetime:
        """Return the begin of the period before."""
        return self.since - self.period

    @property
    def parts(self) -> list[tuple[datetime, datetime]]:
        """Return begin and end of each part that the period is shown in: days, of a long one weeks."""
        span = _WEEK if self.period > _LONG else DAY
        end, parts = begin_of(self.now, DAY) + DAY, []
        start = self.since
        while start < end:
            parts.append((start, min(start + span, end)))
            start += span
        return parts


@dataclass(frozen=True, slots=True)
class FleetSpan:
    """The counts of a time: requests, and of each cell the vehicles behind it, of which no more are known than what is
    enough to be shown. `vehicles` may know of other cells, too.
    """

    requests: Mapping[FleetCell, int]
    vehicles: Mapping[FleetCell, frozenset[str]]

    @property
    def total(self) -> int:
        """Return the requests of all cells."""
        return sum(self.requests.values())

    def only(self, matching: Callable[[FleetCell], bool]) -> FleetSpan:
        """Return the cells that match."""
        return FleetSpan(
            {cell: count for cell, count in self.requests.items() if matching(cell)}, self.vehicles
        )

    def by(self, key: Callable[[FleetCell], Key]) -> dict[Key, FleetSpan]:
        """Return the cells of each key."""
        found: dict[Key, dict[FleetCell, int]] = {}
        for cell, count in self.requests.items():
            found.setdefault(key(cell), {})[cell] = count
        return {each: FleetSpan(requests, self.vehicles) for each, requests in found.items()}

    def vehicles_behind(self, most: int) -> frozenset[str]:
        """Return vehicles behind the cells, together; once there are `most`, no more are looked for."""
        found: frozenset[str] = frozenset()
        for cell in self.requests:
            found |= self.vehicles.get(cell, frozenset())
            if len(found) >= most:
                break
        return found

    def is_of(self, minimum: int) -> bool:
        """Return whether so many vehicles are behind the cells, together."""
        return len(self.vehicles_behind(minimum)) >= minimum


@dataclass(frozen=True, slots=True)
class FleetPart:
    """A part of the period."""

    start: datetime
    end: datetime
    commands: int
    failures: int


@dataclass(frozen=True, slots=True)
class FleetSample:
    """What is counted of a query's time and of the one before. `parts` are those in which enough vehicles were
    commanded.
    """

    now: FleetSpan
    before: FleetSpan
    parts: tuple[FleetPart, ...]
    counted_until: datetime


@dataclass(frozen=True, slots=True)
class FleetRate:
    """Requests, and those of them that failed. `before`: the share that failed in the period before; None where too few
    vehicles are behind it.
    """

    commands: int
    failures: int
    before: float | None = None

    @property
    def rate(self) -> float:
        """Return the share that failed."""
        return share(self.failures, self.commands)


@dataclass(frozen=True, slots=True)
class FleetCause:
    """A reason, and how many requests failed for it: of those asked about now and `before`, and in the whole `fleet`,
    as shares of the commands.
    """

    reason: FailureReason
    failures: int
    before: float | None
    fleet: float | None


@dataclass(frozen=True, slots=True)
class FleetGroup:
    """Failures of a door or a model, with the reasons of enough vehicles. A door's have no `commands`."""

    name: str
    failures: int
    reasons: tuple[tuple[FailureReason, int], ...]
    commands: int = 0

    @property
    def rate(self) -> float:
        """Return the share that failed."""
        return share(self.failures, self.commands)


@dataclass(frozen=True, slots=True)
class FleetOverview:
    """What is told of the fleet. Without `totals` nothing is: too few vehicles were commanded. `rows` are the cells
    that enough vehicles are behind, of the models that are shown.
    """

    query: FleetQuery
    minimum_vehicles: int
    counted_until: datetime
    totals: FleetRate | None = None
    causes: tuple[FleetCause, ...] = ()
    other_failures: int = 0
    doors: tuple[FleetGroup, ...] = ()
    components: tuple[tuple[FailureComponent, int], ...] = ()
    parts: tuple[FleetPart, ...] = ()
    models: tuple[FleetGroup, ...] = ()
    rows: tuple[tuple[FleetCell, int], ...] = ()


def fleet_overview(query: FleetQuery, sample: FleetSample, minimum: int) -> FleetOverview:
    """Return what may be told of the counts: nothing that fewer than `minimum` vehicles are behind.

    Each count is looked at a few times, however many models there are: commands wait while this is reckoned.
    """
    models = sample.now.by(lambda cell: cell.model)
    shown = _models_shown({name: own.only(_is_command) for name, own in models.items()}, minimum)
    now, before = sample.now, sample.before.only(_is_command)
    if query.model is not None:
        now, before = now.only(_is_of(query.model)), before.only(_is_of(query.model))
    commands = now.only(_is_command)
    if (query.model is not None and query.model not in shown) or not commands.is_of(minimum):
        return FleetOverview(query, minimum, sample.counted_until)
    fleet = FleetSpan({}, {}) if query.model is None else sample.now.only(_is_command)
    failures = commands.only(_failed).total
    causes = _causes(commands, before, fleet, minimum)
    rows = [
        (cell, count)
        for cell, count in now.requests.items()
        if cell.model in shown and len(now.vehicles.get(cell, ())) >= minimum
    ]
    return FleetOverview(
        query,
        minimum,
        sample.counted_until,
        FleetRate(commands.total, failures, _failure_rate(before) if before.is_of(minimum) else None),
        causes,
        failures - sum(each.failures for each in causes),
        _doors(now, minimum),
        tuple(of_components((each.reason, each.failures) for each in causes)),
        sample.parts,
        _models(commands, minimum, shown) if query.model is None else (),
        tuple(sorted(rows, key=lambda row: (row[0].model, row[0].reason or "", row[0].door))),
    )


def _is_command(cell: FleetCell) -> bool:
    return not cell.door


def _failed(cell: FleetCell) -> bool:
    return cell.reason is not None


def _is_of(model: str) -> Callable[[FleetCell], bool]:
    return lambda cell: cell.model == model


def _models_shown(models: Mapping[str, FleetSpan], minimum: int) -> frozenset[str]:
    """Return the models that are told of by name, of the commands of each. What is left is of enough vehicles, too, or
    of none: else it could be reckoned by taking the others from the whole.
    """
    enough = [name for name, commands in models.items() if commands.is_of(minimum)]
    shown = sorted(enough, key=lambda name: (-models[name].total, name))
    left = models.keys() - set(shown)
    behind = frozenset[str]().union(*(models[name].vehicles_behind(minimum) for name in left))
    while left and shown and len(behind) < minimum:
        behind |= models[shown.pop()].vehicles_behind(minimum)
    return frozenset(shown)


def _failure_rate(commands: FleetSpan) -> float:
    return share(commands.only(_failed).total, commands.total)


def _causes(commands: FleetSpan, before: FleetSpan, fleet: FleetSpan, minimum: int) -> tuple[FleetCause, ...]:
    """Return the reasons that enough vehicles had, compared with those in the `fleet`."""
    earlier = {
        reason: share(failed.total, before.total)
        for reason, failed in _by_reason(before)
        if failed.is_of(minimum)
    }
    everywhere = {reason: share(failed.total, fleet.total) for reason, failed in _by_reason(fleet)}
    causes = [
        FleetCause(reason, failed.total, earlier.get(reason), everywhere.get(reason))
        for reason, failed in _by_reason(commands)
        if failed.is_of(minimum)
    ]
    return tuple(sorted(causes, key=lambda each: (-each.failures, each.reason.value)))


def _by_reason(span: FleetSpan) -> list[tuple[FailureReason, FleetSpan]]:
    """Return what failed for each reason, in the order of the reasons."""
    found = [(reason, failed) for reason, failed in span.by(_reason_of).items() if reason is not None]
    return sorted(found, key=lambda each: each[0])


def _reason_of(cell: FleetCell) -> FailureReason | None:
    return cell.reason


def _doors(span: FleetSpan, minimum: int) -> tuple[FleetGroup, ...]:
    doors = span.only(lambda cell: not _is_command(cell)).by(lambda cell: cell.door)
    groups = [_group(own, minimum, name) for name, own in doors.items() if own.is_of(minimum)]
    return tuple(sorted(groups, key=lambda each: (-each.failures, each.name)))


def _models(commands: FleetSpan, minimum: int, shown: frozenset[str]) -> tuple[FleetGroup, ...]:
    models = commands.by(lambda cell: cell.model if cell.model in shown else OTHER)
    groups = [
        _group(own, minimum, name) for name, own in models.items() if name in shown or own.is_of(minimum)
    ]
    return tuple(sorted(groups, key=lambda each: (-each.commands, each.name)))


def _group(span: FleetSpan, minimum: int, name: str) -> FleetGroup:
    reasons = _by_reason(span)
    counts = Counter({reason: failed.total for reason, failed in reasons if failed.is_of(minimum)})
    failures = sum(failed.total for _, failed in reasons)
    return FleetGroup(name, failures, tuple(most_frequent(counts)), span.total)

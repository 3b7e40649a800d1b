"""Why commands failed in the whole fleet, without telling of anybody. Standard library only.

A figure is shown where enough vehicles are behind it; what fewer had is counted together with the rest.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from services.command.domain.failures import DAY, begin_of, most_frequent, of_components, share

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    from services.command.domain.commands import FailureReason
    from services.command.domain.failures import FailureComponent

    Matching = Callable[["FleetCell"], bool]

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
    enough to be shown.
    """

    requests: Mapping[FleetCell, int]
    vehicles: Mapping[FleetCell, frozenset[str]]

    def requested(self, matching: Callable[[FleetCell], bool]) -> int:
        """Return the requests of all cells that match."""
        return sum(count for cell, count in self.requests.items() if matching(cell))

    def is_of(self, minimum: int, matching: Callable[[FleetCell], bool]) -> bool:
        """Return whether so many vehicles are behind all cells that match, together."""
        found: set[str] = set()
        for cell in self.requests:
            if matching(cell):
                found |= self.vehicles.get(cell, frozenset())
                if len(found) >= minimum:
                    return True
        return False


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
    """Return what may be told of the counts: nothing that fewer than `minimum` vehicles are behind."""
    span = sample.now
    shown = _models_shown(span, minimum)
    asked = _anything if query.model is None else _of_model(query.model)
    hidden = query.model is not None and query.model not in shown
    if hidden or not span.is_of(minimum, _both(asked, _is_command)):
        return FleetOverview(query, minimum, sample.counted_until)
    totals = _totals(sample, minimum, asked)
    causes = _causes(sample, minimum, asked, compare=query.model is not None)
    rows = [
        (cell, count)
        for cell, count in span.requests.items()
        if asked(cell) and cell.model in shown and len(span.vehicles.get(cell, ())) >= minimum
    ]
    return FleetOverview(
        query,
        minimum,
        sample.counted_until,
        totals,
        causes,
        totals.failures - sum(each.failures for each in causes),
        _doors(span, minimum, asked),
        tuple(of_components((each.reason, each.failures) for each in causes)),
        sample.parts,
        _models(span, minimum, shown) if query.model is None else (),
        tuple(sorted(rows, key=lambda row: (row[0].model, row[0].reason or "", row[0].door))),
    )


def _anything(_: FleetCell) -> bool:
    return True


def _is_command(cell: FleetCell) -> bool:
    return not cell.door


def _failed(cell: FleetCell) -> bool:
    return cell.reason is not None


def _of_model(name: str) -> Matching:
    return lambda cell: cell.model == name


def _of_reason(reason: FailureReason) -> Matching:
    return lambda cell: cell.reason is reason


def _of_door(name: str) -> Matching:
    return lambda cell: cell.door == name


def _both(one: Matching, other: Matching) -> Matching:
    return lambda cell: one(cell) and other(cell)


def _models_shown(span: FleetSpan, minimum: int) -> frozenset[str]:
    """Return the models that are told of by name. What is left is of enough vehicles, too, or of none: else it could be
    reckoned by taking the others from the whole.
    """
    names = {cell.model for cell in span.requests}
    commands = {name: span.requested(_both(_of_model(name), _is_command)) for name in names}
    enough = [name for name in names if span.is_of(minimum, _both(_of_model(name), _is_command))]
    shown = sorted(enough, key=lambda name: (-commands[name], name))
    left = names - set(shown)
    while left and shown and not span.is_of(minimum, _both(lambda cell: cell.model in left, _is_command)):
        left.add(shown.pop())
    return frozenset(shown)


def _totals(sample: FleetSample, minimum: int, asked: Matching) -> FleetRate:
    commands = _both(asked, _is_command)
    failures = _both(commands, _failed)
    before = None
    if sample.before.is_of(minimum, commands):
        before = share(sample.before.requested(failures), sample.before.requested(commands))
    return FleetRate(sample.now.requested(commands), sample.now.requested(failures), before)


def _causes(sample: FleetSample, minimum: int, asked: Matching, *, compare: bool) -> tuple[FleetCause, ...]:
    now, before = sample.now, sample.before
    commands = _both(asked, _is_command)
    found = []
    for reason in _reasons(now.requests):
        of_all = _both(_is_command, _of_reason(reason))
        own = _both(asked, of_all)
        if not now.is_of(minimum, own):
            continue
        fleet = share(now.requested(of_all), now.requested(_is_command)) if compare else None
        earlier = None
        if before.is_of(minimum, own):
            earlier = share(before.requested(own), before.requested(commands))
        found.append(FleetCause(reason, now.requested(own), earlier, fleet))
    return tuple(sorted(found, key=lambda each: (-each.failures, each.reason.value)))


def _reasons(cells: Iterable[FleetCell]) -> list[FailureReason]:
    return sorted({cell.reason for cell in cells if cell.reason is not None})


def _doors(span: FleetSpan, minimum: int, asked: Matching) -> tuple[FleetGroup, ...]:
    names = {cell.door for cell in span.requests if cell.door and asked(cell)}
    doors = {name: _both(asked, _of_door(name)) for name in names}
    groups = [_group(span, minimum, name, own) for name, own in doors.items() if span.is_of(minimum, own)]
    return tuple(sorted(groups, key=lambda each: (-each.failures, each.name)))


def _models(span: FleetSpan, minimum: int, shown: frozenset[str]) -> tuple[FleetGroup, ...]:
    groups = [_group(span, minimum, name, _both(_of_model(name), _is_command)) for name in shown]
    other = _both(lambda cell: cell.model not in shown, _is_command)
    if span.is_of(minimum, other):
        groups.append(_group(span, minimum, OTHER, other))
    return tuple(sorted(groups, key=lambda each: (-each.commands, each.name)))


def _group(span: FleetSpan, minimum: int, name: str, matching: Matching) -> FleetGroup:
    counts: Counter[FailureReason] = Counter()
    for reason in _reasons(cell for cell in span.requests if matching(cell)):
        own = _both(matching, _of_reason(reason))
        if span.is_of(minimum, own):
            counts[reason] = span.requested(own)
    failures = span.requested(_both(matching, _failed))
    return FleetGroup(name, failures, tuple(most_frequent(counts)), span.requested(matching))

"""Why commands failed: what is counted, and what follows from the counts. Standard library only."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar

from services.command.domain.commands import CommandAction, FailureReason, Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from services.command.domain.commands import DoorResult

T = TypeVar("T")

UNKNOWN_MODEL = "unknown"
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
_LIKELY_SHARE = 0.5
_LIKELY_FAILURES = 3
"""Fewer failures than these make nothing likely."""
_COUNTED = (CommandAction.UNLOCK, CommandAction.LOCK)


class FailureComponent(StrEnum):
    """What a failure lies in."""

    DOOR = "DOOR"
    DOOR_ACTUATOR = "DOOR_ACTUATOR"
    BATTERY = "BATTERY"
    VEHICLE_LINK = "VEHICLE_LINK"
    CONTROL_UNIT = "CONTROL_UNIT"
    DRIVING_STATE = "DRIVING_STATE"
    REQUEST = "REQUEST"
    ACCESS = "ACCESS"
    MODEL = "MODEL"


COMPONENT_OF = {
    FailureReason.VEHICLE_MOVING: FailureComponent.DRIVING_STATE,
    FailureReason.DOOR_OPEN: FailureComponent.DOOR,
    FailureReason.ENGINE_ON: FailureComponent.DRIVING_STATE,
    FailureReason.ACTUATOR_FAULT: FailureComponent.DOOR_ACTUATOR,
    FailureReason.LOW_BATTERY: FailureComponent.BATTERY,
    FailureReason.PARTIAL_SUCCESS: FailureComponent.DOOR_ACTUATOR,
    FailureReason.TTL_EXPIRED: FailureComponent.VEHICLE_LINK,
    FailureReason.TOO_LATE: FailureComponent.REQUEST,
    FailureReason.GRANT_REVOKED: FailureComponent.ACCESS,
    FailureReason.INTERRUPTED: FailureComponent.CONTROL_UNIT,
    FailureReason.NOT_SUPPORTED: FailureComponent.MODEL,
    FailureReason.CANCELLED: FailureComponent.REQUEST,
    FailureReason.SUPERSEDED: FailureComponent.REQUEST,
    FailureReason.NOT_PROVEN: FailureComponent.ACCESS,
    FailureReason.REMOTE_ACCESS_DISABLED: FailureComponent.ACCESS,
    FailureReason.COMMAND_IN_PROGRESS: FailureComponent.REQUEST,
}


@dataclass(frozen=True, slots=True)
class EndedRequest:
    """A request of the history, as far as it is counted."""

    vin: str
    subject: str
    action: CommandAction
    status: Status
    requested_at: datetime
    reason: FailureReason | None
    door_results: tuple[DoorResult, ...] = ()


@dataclass(frozen=True, slots=True)
class CountKey:
    """What is counted together: requests of an hour with the same end. Without `door` these are requests, with one
    what the vehicle said of that door; without `reason` they did not fail.
    """

    hour: datetime
    action: CommandAction
    reason: FailureReason | None = None
    door: str = ""


def counted_as(request: EndedRequest) -> list[CountKey]:
    """Return what a request counts for, once each; nothing where it is no lock or unlock that has ended."""
    if request.action not in _COUNTED or not request.status.final:
        return []
    hour = begin_of(request.requested_at, HOUR)
    if request.status not in {Status.FAILED, Status.TIMEOUT}:
        return [CountKey(hour, request.action)]
    fallback = FailureReason.TTL_EXPIRED if request.status is Status.TIMEOUT else FailureReason.INTERRUPTED
    reason = request.reason or fallback
    doors = {each.door_id: each.failure_reason or reason for each in request.door_results if not each.success}
    return [
        CountKey(hour, request.action, reason),
        *(CountKey(hour, request.action, of_door, door) for door, of_door in doors.items()),
    ]


def begin_of(at: datetime, span: timedelta) -> datetime:
    """Return when the hour, or day (UTC), of a moment began."""
    at = at.astimezone(UTC)
    hour = at.replace(minute=0, second=0, microsecond=0)
    return hour if span == HOUR else hour.replace(hour=0)


@dataclass(frozen=True, slots=True)
class FailureQuery:
    """Whose failures of which time: of `of_subject` alone where that is given, and none from before `not_before`."""

    vin: str
    now: datetime
    period: timedelta
    not_before: datetime
    of_subject: str | None = None

    @property
    def span(self) -> timedelta:
        """Return how long the parts are that the period is shown in."""
        return HOUR if self.period <= DAY else DAY

    @property
    def since(self) -> datetime:
        """Return the begin of the first part of the period."""
        return begin_of(self.now, self.span) + self.span - self.period

    @property
    def fleet_since(self) -> datetime:
        """Return the begin of the first day that the period has a part of: the fleet's counts are of days."""
        return begin_of(self.since, DAY)

    @property
    def counted_since(self) -> datetime:
        """Return the first hour that lies in the period and wholly after the reader's right began."""
        right = begin_of(self.not_before, HOUR)
        return max(self.since, right if right == self.not_before else right + HOUR)

    @property
    def begins_within_hour(self) -> bool:
        """Return whether the reader's right began in the middle of an hour of the period: of that hour they see what
        was asked for since.
        """
        return self.since <= self.not_before < self.counted_since


@dataclass(frozen=True, slots=True)
class FleetCounts:
    """Requests of all vehicles of a model, by reason. Those that too few others had are left out of `failures`, not
    of `total_failures`.
    """

    commands: int
    total_failures: int
    failures: Mapping[FailureReason, int]
    minimum_vehicles: int

    def share(self, reason: FailureReason) -> float | None:
        """Return the share of a reason in all failures; None where too few had it."""
        return share(self.failures[reason], self.total_failures) if reason in self.failures else None


@dataclass(frozen=True, slots=True)
class Cause:
    """A reason, how many requests failed for it, at which doors, and in which hour it was counted last."""

    reason: FailureReason
    failures: int
    doors: tuple[tuple[str, int], ...]
    last_seen: datetime


@dataclass(frozen=True, slots=True)
class Bucket:
    """A part of the period."""

    start: datetime
    end: datetime
    commands: int = 0
    reasons: tuple[tuple[FailureReason, int], ...] = ()

    @property
    def failures(self) -> int:
        """Return how many failed in it."""
        return sum(count for _, count in self.reasons)


@dataclass(frozen=True, slots=True)
class DoorFailureTotals:
    """How often a door did not do what was asked, and why."""

    door: str
    reasons: tuple[tuple[FailureReason, int], ...]

    @property
    def failures(self) -> int:
        """Return how often."""
        return sum(count for _, count in self.reasons)


@dataclass(frozen=True, slots=True)
class LikelyFailure:
    """What is behind most failures. `above_fleet`: more often than with the model's vehicles; None where too few
    others had it.
    """

    reason: FailureReason
    door: str | None
    is_likely: bool
    above_fleet: bool | None


@dataclass(frozen=True, slots=True)
class FailureAnalysis:
    """What follows from a vehicle's counts. All lists begin with what is most frequent; `buckets` with the oldest."""

    query: FailureQuery
    model: str
    counted_until: datetime
    commands: int
    causes: tuple[Cause, ...]
    buckets: tuple[Bucket, ...]
    doors: tuple[DoorFailureTotals, ...]
    fleet: FleetCounts | None
    likely: LikelyFailure | None
    rows: tuple[tuple[CountKey, int], ...] = field(default=(), repr=False)
    """The counts themselves, in order."""

    @property
    def failures(self) -> int:
        """Return how many requests failed."""
        return sum(each.failures for each in self.causes)

    def components(self) -> list[tuple[FailureComponent, int]]:
        """Return how many failures lie in what, most frequent first."""
        return of_components((each.reason, each.failures) for each in self.causes)


def of_components(failures: Iterable[tuple[FailureReason, int]]) -> list[tuple[FailureComponent, int]]:
    """Return how many of these failures lie in what, most frequent first."""
    counts: Counter[FailureComponent] = Counter()
    for reason, count in failures:
        counts[COMPONENT_OF[reason]] += count
    return most_frequent(counts)


def share(part: float, whole: float) -> float:
    """Return a part of a whole, 0-1 in four digits; 0 of nothing."""
    return round(part / whole, 4) if whole else 0.0


def analysed(
    query: FailureQuery,
    model: str,
    counts: Sequence[tuple[CountKey, int]],
    fleet: FleetCounts | None,
    counted_until: datetime,
) -> FailureAnalysis:
    """Return what follows from a vehicle's counts in the query's time."""
    commands = sum(count for key, count in counts if not key.door)
    causes = _causes(counts)
    doors = _doors(counts)
    return FailureAnalysis(
        query,
        model,
        counted_until,
        commands,
        causes,
        tuple(_buckets(query, counts)),
        doors,
        fleet,
        _likely(causes, doors, commands, fleet),
        tuple(sorted(counts, key=lambda each: _order(each[0]))),
    )


def _order(key: CountKey) -> tuple[datetime, str, str, str]:
    return key.hour, key.action.value, key.reason or "", key.door


def _causes(counts: Sequence[tuple[CountKey, int]]) -> tuple[Cause, ...]:
    requests: Counter[FailureReason] = Counter()
    doors: dict[FailureReason, Counter[str]] = {}
    last: dict[FailureReason, datetime] = {}
    for key, count in counts:
        if key.reason is None:
            continue
        if key.door:
            doors.setdefault(key.reason, Counter())[key.door] += count
            continue
        requests[key.reason] += count
        last[key.reason] = max(key.hour, last.get(key.reason, key.hour))
    return tuple(
        Cause(reason, count, tuple(most_frequent(doors.get(reason, Counter()))), last[reason])
        for reason, count in most_frequent(requests)
    )


def _doors(counts: Sequence[tuple[CountKey, int]]) -> tuple[DoorFailureTotals, ...]:
    found: dict[str, Counter[FailureReason]] = {}
    for key, count in counts:
        if key.door and key.reason is not None:
            found.setdefault(key.door, Counter())[key.reason] += count
    totals = (DoorFailureTotals(door, tuple(most_frequent(reasons))) for door, reasons in found.items())
    return tuple(sorted(totals, key=lambda each: (-each.failures, each.door)))


def _buckets(query: FailureQuery, counts: Sequence[tuple[CountKey, int]]) -> Iterator[Bucket]:
    commands: Counter[datetime] = Counter()
    reasons: dict[datetime, Counter[FailureReason]] = {}
    for key, count in counts:
        if key.door:
            continue
        start = begin_of(key.hour, query.span)
        commands[start] += count
        if key.reason is not None:
            reasons.setdefault(start, Counter())[key.reason] += count
    start = query.since
    while start <= query.now:
        end = start + query.span
        yield Bucket(start, end, commands[start], tuple(most_frequent(reasons.get(start, Counter()))))
        start = end


def _likely(
    causes: Sequence[Cause], doors: Sequence[DoorFailureTotals], commands: int, fleet: FleetCounts | None
) -> LikelyFailure | None:
    if not causes:
        return None
    first = causes[0]
    failures = sum(each.failures for each in causes)
    above = None
    if fleet is not None and first.reason in fleet.failures:
        above = first.failures / commands > fleet.failures[first.reason] / fleet.commands
    is_likely = failures >= _LIKELY_FAILURES and first.failures / failures >= _LIKELY_SHARE
    reason, door = first.reason, first.doors[0][0] if first.doors else None
    if reason is FailureReason.PARTIAL_SUCCESS and doors:  # the doors say what it was
        door, (reason, _) = doors[0].door, doors[0].reasons[0]
    return LikelyFailure(reason, door, is_likely, above)


def most_frequent(counts: Counter[T]) -> list[tuple[T, int]]:
    """Return the counts, most frequent first, and in the order of their names where they are equal."""
    return sorted(counts.items(), key=lambda each: (-each[1], str(each[0])))


@dataclass(frozen=True, slots=True)
class ModelFailures:
    """How the vehicles of a model fared, by what enough of them had."""

    model: str
    counts: FleetCounts
    doors: Mapping[tuple[FailureReason, str], int]

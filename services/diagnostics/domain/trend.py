"""How the health of a component goes over time: which points are kept, and when it falls. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from services.diagnostics.domain.diagnosis import ComponentHealth, ComponentStatus, SelfCheck

MOST_POINTS = 500
"""So many points are kept of a component; of more, the older half is put together by twos."""
MOST_SHOWN = 2_000
"""So many points are shown of all components of a vehicle together."""
WINDOW = timedelta(days=30)
"""What is older says nothing about whether health falls now."""
_SETTLED = timedelta(hours=1)
_LEAST_POINTS = 3
_LEAST_SPAN = timedelta(days=7)
FALL_PER_WINDOW = 10.0
"""Health that loses so much in a month, all in all, falls."""
STEP = 15.0
"""Health that is so far below what it was usual falls."""
_CALM = 0.5
"""Of either: what it has to come below until health that fell falls no more. So one that hovers is told once."""


@dataclass(frozen=True, slots=True)
class HealthPoint:
    """A component's health in an hour or longer, as it was at the end, `at`; `lowest` of that time. None where the
    vehicle tells none.
    """

    at: datetime
    health: int | None
    lowest: int | None
    status: ComponentStatus


@dataclass(frozen=True, slots=True)
class ComponentTrend:
    """A component's points, oldest first."""

    component_id: str
    name: str
    points: tuple[HealthPoint, ...]
    is_falling: bool = False

    @property
    def change(self) -> int | None:
        """Return what became of its health from the first to the last point; None where there are not two."""
        known = [each.health for each in self.points if each.health is not None]
        return known[-1] - known[0] if len(known) > 1 else None

    @property
    def change_per_window(self) -> float | None:
        """Return what it would lose or gain in a month; None where they are too few or too close."""
        return slope(self.points, timedelta(days=1))


def components_due(previous: SelfCheck | None, check: SelfCheck) -> list[ComponentHealth]:
    """Return the components of which a self-check makes a point: those that changed, and all in another hour. So one
    that reports the same over and over costs nothing.
    """
    if previous is None or _hour(previous.observed_at) != _hour(check.observed_at):
        return list(check.components)
    known = {each.component_id: (each.health, each.status) for each in previous.components}
    return [each for each in check.components if known.get(each.component_id) != (each.health, each.status)]


def extended(
    points: Sequence[HealthPoint], component: ComponentHealth, at: datetime, keep: timedelta
) -> tuple[HealthPoint, ...]:
    """Return the points after one more: one of the same hour takes the place of the last. Never back in time."""
    health = component.health
    last = points[-1] if points else None
    if last is not None and at < last.at:
        at = last.at
    new = HealthPoint(at, health, health, component.status)
    kept = [each for each in points if each.at > at - keep]
    if kept and last is not None and _hour(last.at) == _hour(at):
        kept[-1] = replace(new, lowest=_lower(last.lowest, health))
    else:
        kept.append(new)
    if len(kept) <= MOST_POINTS:
        return tuple(kept)
    half = len(kept) // 2
    return (*_by_twos(kept[:half]), *kept[half:])


def _by_twos(points: Sequence[HealthPoint]) -> Iterator[HealthPoint]:
    for place in range(0, len(points), 2):
        yield _merged(points[place : place + 2])


def _merged(points: Sequence[HealthPoint]) -> HealthPoint:
    lowest: int | None = None
    for each in points:
        lowest = _lower(lowest, each.lowest)
    return replace(points[-1], lowest=lowest)


def _lower(one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return one if other is None else other
    return min(one, other)


def _hour(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def falls(points: Sequence[HealthPoint], *, fell: bool) -> bool:
    """Return whether health falls: month by month, or at once. `fell`: it did before, and has to be calm to be over."""
    if not points or points[-1].health is None:
        return fell
    now = points[-1]
    recent = [each for each in points if each.health is not None and each.at > now.at - WINDOW]
    times = _CALM if fell else 1.0
    before = [float(each.health or 0) for each in recent if each.at <= now.at - _SETTLED]
    if len(before) >= _LEAST_POINTS and median(before) - float(now.health or 0) >= STEP * times:
        return True
    loss = slope(recent, _LEAST_SPAN)
    return loss is not None and -loss >= FALL_PER_WINDOW * times


def slope(points: Sequence[HealthPoint], least_span: timedelta) -> float | None:
    """Return what health gains in a month by the straight line nearest to the points; None where they are too few or
    too close.
    """
    known = [(each.at.timestamp(), float(each.health)) for each in points if each.health is not None]
    if len(known) < _LEAST_POINTS or known[-1][0] - known[0][0] < least_span.total_seconds():
        return None
    middle = sum(at for at, _ in known) / len(known)
    level = sum(health for _, health in known) / len(known)
    spread = sum((at - middle) ** 2 for at, _ in known)
    return sum((at - middle) * (health - level) for at, health in known) / spread * WINDOW.total_seconds()


def shown(points: Sequence[HealthPoint], since: datetime, most: int) -> tuple[HealthPoint, ...]:
    """Return the points since then, at most so many: those that are close together are one, with the lowest of them."""
    wanted = [each for each in points if each.at >= since]
    if len(wanted) <= most:
        return tuple(wanted)
    first, last = wanted[0].at, wanted[-1].at
    parts: dict[int, list[HealthPoint]] = {}
    for each in wanted:
        place = int((each.at - first) / (last - first) * most) if last > first else 0
        parts.setdefault(min(place, most - 1), []).append(each)
    return tuple(map(_merged, parts.values()))

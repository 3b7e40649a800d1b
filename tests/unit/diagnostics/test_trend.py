"""How health goes: which points are kept, and when it falls."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.diagnostics.domain.diagnosis import (
    HEALTH_FALLING,
    ComponentHealth,
    ComponentStatus,
    SelfCheck,
    diagnose,
)
from services.diagnostics.domain.trend import (
    MOST_POINTS,
    ComponentTrend,
    HealthPoint,
    components_due,
    extended,
    falls,
    shown,
)

T0 = datetime(2026, 1, 12, 14, 0, tzinfo=UTC)
ACTIVE = ComponentStatus.ACTIVE
KEEP = timedelta(days=400)
PART = ComponentHealth("a_01", "Actuator", ACTIVE, 98, None, ())


def points(*healths: int | None, hours: float = 24) -> tuple[HealthPoint, ...]:
    return tuple(
        HealthPoint(T0 + timedelta(hours=hours * place), health, health, ACTIVE)
        for place, health in enumerate(healths)
    )


def check(*components: ComponentHealth, minutes: int = 0) -> SelfCheck:
    return SelfCheck("KMHSH81C7LU123456", T0 + timedelta(minutes=minutes), "boot", 1, components)


def test_a_point_is_made_of_what_changed_and_of_everything_in_another_hour() -> None:
    worn = replace(PART, health=90)
    other = replace(PART, component_id="b_01")
    assert components_due(None, check(PART)) == [PART]
    assert components_due(check(PART, other), check(PART, other, minutes=59)) == []
    assert components_due(check(PART, other), check(worn, other, minutes=59)) == [worn]
    assert components_due(check(PART, other), check(PART, other, minutes=60)) == [PART, other]


def test_points_of_one_hour_are_one_with_the_lowest_of_them() -> None:
    kept: tuple[HealthPoint, ...] = ()
    for minutes, health in ((0, 98), (10, 60), (50, 97), (70, 96)):
        kept = extended(kept, replace(PART, health=health), T0 + timedelta(minutes=minutes), KEEP)
    assert [(each.health, each.lowest) for each in kept] == [(97, 60), (96, 96)]


def test_points_never_go_back_in_time_nor_past_their_days_nor_their_number() -> None:
    kept = extended(points(98), PART, T0 - timedelta(days=3), KEEP)
    assert [each.at for each in kept] == [T0]
    late = extended(points(98, 97), PART, T0 + timedelta(days=400, hours=12), KEEP)
    assert [each.health for each in late] == [97, 98]
    assert [each.health for each in extended(points(98, 97), PART, T0 + timedelta(days=500), KEEP)] == [98]
    many: tuple[HealthPoint, ...] = ()
    for hour in range(2 * MOST_POINTS):
        health = 5 if hour == 10 else 98
        many = extended(many, replace(PART, health=health), T0 + timedelta(hours=hour), KEEP)
        assert len(many) <= MOST_POINTS
    assert min(each.lowest or 0 for each in many) == 5
    assert many[-1].at == T0 + timedelta(hours=2 * MOST_POINTS - 1)
    assert [each.at for each in many] == sorted(each.at for each in many)


@pytest.mark.parametrize(
    ("healths", "hours", "falling"),
    [
        ((), 24, False),
        ((98,), 24, False),
        ((98, 98, 98, 98, 98, 98, 98, 98), 24, False),
        ((98, 97, 98, 97, 98, 97, 98, 97, 98), 24, False),  # noise
        ((98, 97, 96, 95, 94, 93, 92, 91, 90), 24, True),  # one a day
        ((98, 97, 96, 95, 94, 93, 92, 91, 90), 1, False),  # of one day nothing follows
        ((98, 98, 98, 80), 2, True),  # at once
        ((98, 80), 24, False),  # one point is no usual health
        ((70, 75, 80, 85, 90, 95, 98, 98, 98), 24, False),  # repaired
        ((98, None, 98, None, 98, None), 24, False),
    ],
)
def test_health_that_is_lost_in_a_month_or_at_once_falls(
    healths: tuple[int | None, ...], hours: float, *, falling: bool
) -> None:
    assert falls(points(*healths, hours=hours), fell=False) is falling


def test_what_fell_falls_until_it_is_calm() -> None:
    hovering = points(98, 98, 98, 98, 86)
    assert not falls(hovering, fell=False)
    assert falls(hovering, fell=True)
    assert not falls(points(98, 98, 98, 98, 96), fell=True)
    old = replace(points(98)[0], at=T0 - timedelta(days=40))
    assert not falls((old, *points(80, 80, 80, 80)), fell=True)
    assert falls((*points(98, 98), replace(points(0)[0], at=T0 + timedelta(days=3), health=None)), fell=True)


def test_no_more_is_shown_than_asked_and_the_lowest_is_not_lost() -> None:
    many = points(*(98 if place != 33 else 7 for place in range(100)))
    few = shown(many, T0, 10)
    assert len(few) == 10
    assert min(each.lowest or 0 for each in few) == 7
    assert few[-1].at == many[-1].at
    assert len(shown(many, T0 + timedelta(days=95), 10)) == 5
    assert shown(many, T0 + timedelta(days=200), 10) == ()


def test_the_change_and_its_rate_are_of_what_is_shown() -> None:
    trend = ComponentTrend("a_01", "Actuator", points(98, 96, 94))
    assert (trend.change, round(trend.change_per_window or 0)) == (-4, -60)
    assert ComponentTrend("a_01", "Actuator", points(98, 96, hours=1)).change_per_window is None
    assert ComponentTrend("a_01", "Actuator", points(98, None)).change is None


def test_a_fault_explains_why_health_fell_and_what_was_told_stays() -> None:
    broken = replace(PART, health=0, status=ComponentStatus.ERROR, error_codes=("B1A01",))
    falling = frozenset({"a_01"})
    codes = [alert.code for alert in diagnose(check(broken), (), falling).alerts]
    assert codes == ["B1A01"]
    before = diagnose(check(PART), (), falling)
    assert [alert.code for alert in before.alerts] == [HEALTH_FALLING]
    after = diagnose(check(broken), before.alerts, falling)
    assert [alert.code for alert in after.alerts] == ["B1A01", HEALTH_FALLING]

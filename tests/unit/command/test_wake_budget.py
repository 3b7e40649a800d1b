"""How often a vehicle is woken, and for whom."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from services.command.domain.wake_budget import WakeUp, may_wake, next_wake_up

NOW = datetime(2026, 1, 12, 14, 30, tzinfo=UTC)


def woken(subject: str | None, *minutes_ago: float, by_owner: bool = False) -> list[WakeUp]:
    return [WakeUp(NOW - timedelta(minutes=m), subject, by_owner) for m in minutes_ago]


def may(subject: str, earlier: list[WakeUp], *, by_owner: bool = False) -> bool:
    return may_wake(earlier, WakeUp(NOW, subject, by_owner))


def test_twice_within_a_quarter_of_a_minute_nobody_is_woken() -> None:
    assert not may("owner", woken("guest", 0.2), by_owner=True)
    assert may("owner", woken("guest", 0.3), by_owner=True)


def test_the_vehicles_budget_holds_for_its_owner() -> None:
    twelve = woken("owner", *range(1, 13), by_owner=True)
    assert may("owner", twelve[1:], by_owner=True)
    assert not may("owner", twelve, by_owner=True)
    day = woken("owner", *(61 + n for n in range(48)), by_owner=True)
    assert not may("owner", day, by_owner=True)
    assert may("owner", day[1:], by_owner=True)


def test_a_guest_has_a_share_of_it_and_no_more() -> None:
    four = woken("guest", 1, 2, 3, 4)
    assert may("guest", four[1:])
    assert not may("guest", four)
    assert may("other", four)
    assert may("owner", four, by_owner=True)
    assert not may("guest", woken("guest", *(61 + n for n in range(12))))


def test_all_guests_together_leave_the_owner_half() -> None:
    six = [one for n in range(6) for one in woken(f"guest-{n}", n + 1)]
    assert not may("guest-7", six)
    assert may("owner", six, by_owner=True)
    day = [one for n in range(24) for one in woken(f"guest-{n}", 61 + n)]
    assert not may("guest-99", day)
    assert may("owner", day, by_owner=True)


def test_what_the_owner_used_is_not_counted_against_a_guest() -> None:
    assert may("guest", woken("owner", 1, 2, 3, 4, 5, 6, 7, by_owner=True))


def test_the_next_wake_up_is_the_first_that_every_budget_allows() -> None:
    def at(seconds: float, subject: str = "a", *, by_owner: bool = False) -> WakeUp:
        return WakeUp(NOW - timedelta(seconds=seconds), subject, by_owner)

    def wait(earlier: list[WakeUp], subject: str = "a", *, by_owner: bool = False) -> float:
        return (next_wake_up(earlier, subject, by_owner=by_owner, now=NOW) - NOW).total_seconds()

    assert wait([]) == 0
    assert wait([at(20)]) == 0
    assert wait([at(5)]) == 10
    spent = [at(600 + n) for n in range(4)]  # one person's of an hour
    assert wait(spent) == 3_600 - 603
    assert wait(spent, "b") == 0
    assert wait(spent, by_owner=True) == 0
    whole = [at(600 + n, by_owner=True) for n in range(12)]  # the vehicle's of an hour
    assert wait(whole, by_owner=True) == 3_600 - 611

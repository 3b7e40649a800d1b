"""Hours in which a right holds: across midnight, across changes of the clock, within each other."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from services.access.domain.schedule import Schedule, UnknownTimeZoneError, Weekday, WeeklyWindow

EVERY_DAY = frozenset(Weekday)


def hours(opens: str, closes: str, *days: Weekday, zone: str = "Europe/Berlin") -> Schedule:
    def minutes(text: str) -> int:
        return int(text[:2]) * 60 + int(text[3:])

    return Schedule(zone, (WeeklyWindow(frozenset(days) or EVERY_DAY, minutes(opens), minutes(closes)),))


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def open_minutes(schedule: Schedule, begin: datetime, length: timedelta) -> int:
    minutes = int(length.total_seconds() // 60)
    return sum(schedule.opening(begin + timedelta(minutes=n)).is_open for n in range(minutes))


@pytest.mark.parametrize(
    ("moment", "is_open"),
    [
        ("2026-01-13T08:59:59+01:00", False),
        ("2026-01-13T09:00:00+01:00", True),
        ("2026-01-13T11:59:59+01:00", True),
        ("2026-01-13T12:00:00+01:00", False),
        ("2026-01-14T10:00:00+01:00", False),  # a Wednesday
        ("2026-07-14T10:00:00+02:00", True),  # the clock's hours, not the sun's
        ("2026-07-14T09:00:00+01:00", True),
        ("2026-07-14T08:00:00+00:00", True),
        ("2026-07-14T10:30:00+00:00", False),
    ],
)
def test_a_window_holds_on_its_own_clock(moment: str, is_open: bool) -> None:  # a table's value
    assert hours("09:00", "12:00", Weekday.TUESDAY).opening(at(moment)).is_open is is_open


def test_a_window_goes_on_past_midnight() -> None:
    friday = hours("22:00", "06:00", Weekday.FRIDAY)
    assert not friday.opening(at("2026-01-16T21:59:59+01:00")).is_open
    opening = friday.opening(at("2026-01-17T05:59:59+01:00"))  # it is Saturday by now
    assert (opening.is_open, opening.until) == (True, at("2026-01-17T06:00:00+01:00"))
    assert opening.since == at("2026-01-16T22:00:00+01:00")
    closed = friday.opening(at("2026-01-17T23:00:00+01:00"))
    assert (closed.is_open, closed.until) == (False, at("2026-01-23T22:00:00+01:00"))


def test_a_night_in_which_the_clock_is_put_back_is_longer() -> None:
    night = hours("22:00", "06:00")
    assert open_minutes(night, at("2026-10-24T20:00:00+00:00"), timedelta(hours=12)) == 9 * 60
    within = hours("02:15", "02:45")  # the clock reads it twice
    opening = within.opening(at("2026-10-25T02:20:00+02:00"))
    assert (opening.since, opening.until) == (
        at("2026-10-25T02:15:00+02:00"),
        at("2026-10-25T02:45:00+01:00"),
    )


def test_a_night_in_which_the_clock_is_put_forward_is_shorter() -> None:
    night = hours("22:00", "06:00")
    assert open_minutes(night, at("2026-03-28T20:00:00+00:00"), timedelta(hours=12)) == 7 * 60
    leapt = at("2026-03-29T03:00:00+02:00")
    assert hours("01:00", "02:30").opening(at("2026-03-29T01:30:00+01:00")).until == leapt
    assert hours("02:30", "04:00").opening(at("2026-03-29T03:10:00+02:00")).since == leapt
    never = hours("02:15", "02:45")  # the clock never reads it
    assert open_minutes(never, at("2026-03-28T22:00:00+00:00"), timedelta(hours=12)) == 0


@pytest.mark.parametrize(
    "zone", ["America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC", "Asia/Seoul"]
)
def test_a_whole_day_has_no_gap(zone: str) -> None:
    always = hours("00:00", "00:00", zone=zone)
    for month in range(1, 13):
        noon = datetime(2026, month, 7, 12, tzinfo=ZoneInfo(zone))
        for minutes in (*range(0, 30 * 60, 30), *range(12 * 60 - 5, 12 * 60 + 6)):  # and each about midnight
            moment = noon.astimezone(UTC) + timedelta(minutes=minutes)
            opened = always.opening(moment)
            assert opened.is_open
            assert opened.since <= moment < opened.until


def test_what_touches_is_one_opening() -> None:
    both = Schedule(
        "Europe/Berlin", (WeeklyWindow(EVERY_DAY, 8 * 60, 12 * 60), WeeklyWindow(EVERY_DAY, 12 * 60, 18 * 60))
    )
    assert both.opening(at("2026-01-13T11:00:00+01:00")).until == at("2026-01-13T18:00:00+01:00")


def test_hours_are_within_others() -> None:
    week = hours("09:00", "17:00")
    assert week.covers(hours("10:00", "12:00", Weekday.MONDAY))
    assert week.covers(week)
    assert not week.covers(hours("08:59", "12:00", Weekday.MONDAY))
    assert not week.covers(hours("16:00", "01:00", Weekday.MONDAY))
    assert not week.covers(
        hours("10:00", "12:00", zone="Europe/Paris")
    )  # another clock may change on other days
    assert hours("20:00", "08:00", Weekday.SUNDAY).covers(hours("01:00", "02:00", Weekday.MONDAY))


@pytest.mark.parametrize(
    "zone", ["", "Mars/Olympus", "../../etc/passwd", "/etc/localtime", "Europe/Berlin\n"]
)
def test_other_zones_are_refused_and_never_open(zone: str) -> None:
    kept = hours("00:00", "00:00", zone=zone)  # as a row says that was written when there was such a zone
    with pytest.raises(UnknownTimeZoneError):
        kept.check()
    now = at("2026-01-12T10:00+00:00")
    opening = kept.opening(now)
    assert (opening.is_open, opening.until > now) == (False, True)

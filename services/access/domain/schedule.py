"""Hours in which a right holds: weekdays and times on the clock of one time zone. Standard library only.

A window opens when the clock there first reads `opens` on one of its weekdays, and closes when the clock last reads
`closes` after that, on the next day where `closes` is not later than `opens`. So a night in which the clock is put
back has the longer window. Times that a clock which is put forward leaps over are the moment of the leap.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, available_timezones

if TYPE_CHECKING:
    from collections.abc import Iterable

MINUTES_OF_DAY = 24 * 60
MOST_WINDOWS = 14
_LOOK_BACK_DAYS = 8
_LOOK_AHEAD_DAYS = 8


class UnknownTimeZoneError(ValueError):
    """There is no such time zone in the IANA database."""


class Weekday(Enum):
    """A day, numbered as `datetime.date.weekday` does."""

    MONDAY = 0
    TUESDAY = 1
    WEDNESDAY = 2
    THURSDAY = 3
    FRIDAY = 4
    SATURDAY = 5
    SUNDAY = 6


@dataclass(frozen=True, slots=True)
class WeeklyWindow:
    """Times are minutes since midnight, 0 to 1439; equal ones make 24 hours."""

    weekdays: frozenset[Weekday]
    opens: int
    closes: int

    @property
    def minutes(self) -> int:
        """How long it is on the clock."""
        return (self.closes - self.opens) % MINUTES_OF_DAY or MINUTES_OF_DAY


@dataclass(frozen=True, slots=True)
class OpenHours:
    """What a schedule says of a moment: open or not, since when and until when, as far as a week can tell."""

    is_open: bool
    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Schedule:
    """Windows on the clock of a time zone. In a zone that there is not, or is no longer, it is never open."""

    time_zone: str
    windows: tuple[WeeklyWindow, ...]

    def check(self) -> None:
        """Raise UnknownTimeZoneError for a zone that there is not."""
        if self.time_zone not in _zones():
            raise UnknownTimeZoneError(self.time_zone)

    def opening(self, at: datetime) -> OpenHours:
        """Return what holds at this moment, and until when."""
        since = at - timedelta(days=_LOOK_BACK_DAYS)
        if self.time_zone not in _zones():  # kept when there still was one
            return OpenHours(is_open=False, since=since, until=at + timedelta(days=_LOOK_AHEAD_DAYS))
        zone = ZoneInfo(self.time_zone)
        today = at.astimezone(zone).date()
        for opens, closes in _joined(self._spans(zone, today)):
            if at < opens:
                return OpenHours(is_open=False, since=since, until=opens)
            if at < closes:
                return OpenHours(is_open=True, since=opens, until=closes)
            since = closes
        return OpenHours(is_open=False, since=since, until=at + timedelta(days=_LOOK_AHEAD_DAYS))

    def covers(self, other: Schedule) -> bool:
        """Return whether the other is open only when this one is, on the same clock."""
        return self.time_zone == other.time_zone and other.minutes_of_week() <= self.minutes_of_week()

    def minutes_of_week(self) -> frozenset[int]:
        """Return the minutes of a week in which it is open, from Monday's midnight on."""
        week = 7 * MINUTES_OF_DAY
        return frozenset(
            (day.value * MINUTES_OF_DAY + window.opens + minute) % week
            for window in self.windows
            for day in window.weekdays
            for minute in range(window.minutes)
        )

    def _spans(self, zone: ZoneInfo, today: date) -> Iterable[tuple[datetime, datetime]]:
        days = [today + timedelta(days=n) for n in range(-_LOOK_BACK_DAYS, _LOOK_AHEAD_DAYS + 1)]
        for window in self.windows:
            for day in days:
                if Weekday(day.weekday()) in window.weekdays:
                    ends_on = day if window.opens < window.closes else day + timedelta(days=1)
                    opens = _moment(zone, day, window.opens, last=False)
                    closes = _moment(zone, ends_on, window.closes, last=True)
                    if opens < closes:
                        yield opens, closes


def _moment(zone: ZoneInfo, day: date, minutes: int, *, last: bool) -> datetime:
    """Return when the clock reads this; where it does so twice, the first or the last time."""
    local = datetime.combine(day, time(minutes // 60, minutes % 60), zone)
    early, late = (local.replace(fold=fold).astimezone(UTC) for fold in (0, 1))
    if early <= late:
        return late if last else early
    return _leap(zone, late, early)


def _leap(zone: ZoneInfo, before: datetime, after: datetime) -> datetime:
    """Return the second between these two in which the clock is put forward."""
    low, high = int(before.timestamp()), int(after.timestamp())
    offset = before.astimezone(zone).utcoffset()
    while high - low > 1:
        middle = (low + high) // 2
        if datetime.fromtimestamp(middle, UTC).astimezone(zone).utcoffset() == offset:
            low = middle
        else:
            high = middle
    return datetime.fromtimestamp(high, UTC)


def _joined(spans: Iterable[tuple[datetime, datetime]]) -> list[tuple[datetime, datetime]]:
    """Return them in order, those that touch as one."""
    joined: list[tuple[datetime, datetime]] = []
    for opens, closes in sorted(spans):
        if joined and opens <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], closes))
        else:
            joined.append((opens, closes))
    return joined


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())

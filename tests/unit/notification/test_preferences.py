"""Quiet hours on people's own clocks, over midnight and when clocks are put forward and back."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from services.notification.domain.notices import CAN_WAIT, NoticeKind
from services.notification.domain.preferences import Preferences, PreferencesRefusedError, QuietHours

NIGHT = QuietHours(22 * 60, 7 * 60)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "quiet", "now", "ends"),
    [
        ("UTC", NIGHT, "2027-01-15 21:59:59", None),
        ("UTC", NIGHT, "2027-01-15 22:00:00", "2027-01-16 07:00"),
        ("UTC", NIGHT, "2027-01-16 06:59:59", "2027-01-16 07:00"),
        ("UTC", NIGHT, "2027-01-16 07:00:00", None),
        ("Asia/Seoul", NIGHT, "2027-01-15 13:00", "2027-01-15 22:00"),
        ("UTC", QuietHours(13 * 60, 14 * 60), "2027-01-15 13:30", "2027-01-15 14:00"),
        # The night in which the clock is put forward is an hour shorter, the other an hour longer.
        ("Europe/Berlin", NIGHT, "2027-03-27 22:00", "2027-03-28 05:00"),
        ("Europe/Berlin", NIGHT, "2027-10-30 21:00", "2027-10-31 06:00"),
        # They end at a time that the clock leaps over.
        ("Europe/Berlin", QuietHours(0, 150), "2027-03-28 00:30", "2027-03-28 01:30"),
    ],
)
def test_they_end_when_the_persons_clock_says_so(
    zone: str, quiet: QuietHours, now: str, ends: str | None
) -> None:
    wanted = Preferences(time_zone=zone, quiet=quiet)
    until = wanted.quiet_until(NoticeKind.DIAGNOSTICS, at(now))
    assert until == (at(ends) if ends else None)


@pytest.mark.parametrize("kind", NoticeKind)
def test_results_and_security_heed_no_quiet_hours(kind: NoticeKind) -> None:
    wanted = Preferences(quiet=NIGHT)
    held = wanted.quiet_until(kind, at("2027-01-15 23:00")) is not None
    assert held == (kind in CAN_WAIT) == (kind not in {NoticeKind.DOOR_RESULT, NoticeKind.SECURITY})


@pytest.mark.parametrize(
    "wanted", [Preferences(time_zone="Moon/Base"), Preferences(quiet=QuietHours(60, 60))]
)
def test_what_cannot_be_is_refused(wanted: Preferences) -> None:
    with pytest.raises(PreferencesRefusedError):
        wanted.check()

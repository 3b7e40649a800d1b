"""An alert that comes and goes reaches people once in the damping time, and none that stands is lost."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from services.diagnostics.domain.damping import ToldAlert, changed, due
from services.diagnostics.domain.diagnosis import Alert, AlertChange, SelfCheck, Severity

T0 = datetime(2026, 1, 12, 14, 30, tzinfo=UTC)
DAMPING = timedelta(minutes=10)
CHECK = SelfCheck("KMHSH81C7LU123456", T0, "boot", 1, ())
ALERT = Alert("driver_actuator_01", "B1A01", Severity.CRITICAL, "It does not answer.", T0)


@dataclass
class Watched:
    """An alert of one vehicle, and what those who watch were told of it: (minute, cleared, flips)."""

    known: ToldAlert | None = None
    told: list[tuple[float, bool, int]] = field(default_factory=list)
    may_tell: bool = True

    def flip(self, minute: float, *, cleared: bool) -> None:
        now = T0 + timedelta(minutes=minute)
        change = AlertChange(CHECK, ALERT, cleared=cleared)
        self.known, told = changed(self.known, change, now, DAMPING, may_tell=self.may_tell)
        self._note(minute, told)

    def look(self, minute: float) -> None:
        if self.known is not None:
            now = T0 + timedelta(minutes=minute)
            self.known, told = due(self.known, CHECK, now, DAMPING, may_tell=self.may_tell)
            self._note(minute, told)

    def _note(self, minute: float, told: AlertChange | None) -> None:
        if told is not None:
            self.told.append((minute, told.cleared, told.flips))


def test_one_that_comes_and_goes_once_is_told_at_once_both_times() -> None:
    alert = Watched()
    alert.flip(0, cleared=False)
    alert.flip(3, cleared=True)
    for minute in range(4, 30):
        alert.look(minute)
    assert alert.told == [(0, False, 0), (3, True, 0)]
    assert alert.known is None  # and nothing is kept of it


def test_one_that_flaps_is_told_once_in_the_damping_time_with_how_often() -> None:
    alert = Watched()
    for minute in range(35):
        alert.flip(minute, cleared=bool(minute % 2))
        alert.look(minute + 0.5)
    # It came, went, and came back: from then on once in ten minutes, as standing.
    assert alert.told == [
        (0, False, 0),
        (1, True, 0),
        (2, False, 2),
        (12.5, False, 10),
        (22.5, False, 10),
        (32.5, False, 10),
    ]


def test_one_that_is_calm_again_is_told_to_be_gone_and_forgotten() -> None:
    alert = Watched()
    for minute in range(6):
        alert.flip(minute, cleared=bool(minute % 2))
    for minute in range(6, 40):
        alert.look(minute)
    assert alert.told[-2:] == [(12, False, 3), (22, True, 0)]
    assert alert.known is None


def test_one_that_is_calm_and_stands_is_told_no_more() -> None:
    alert = Watched()
    for minute in range(5):
        alert.flip(minute, cleared=bool(minute % 2))
    for minute in range(5, 40):
        alert.look(minute)
    assert alert.told[-1] == (12, False, 2)
    assert alert.known is None
    alert.flip(41, cleared=True)
    assert alert.told[-1] == (41, True, 0)


def test_what_the_share_has_no_room_for_is_told_when_it_has() -> None:
    alert = Watched(may_tell=False)
    alert.flip(0, cleared=False)
    alert.look(1)
    assert alert.told == []
    alert.may_tell = True
    alert.look(2)
    assert alert.told == [(2, False, 0)]


def test_whatever_happens_nobody_is_left_believing_that_a_standing_alert_is_gone() -> None:
    dice = random.Random(20260112)  # noqa: S311  # no secret
    for _ in range(300):
        alert, standing, accepted = Watched(), False, False
        minute = 0.0
        for _ in range(60):
            minute += dice.choice((0.1, 1, 4, 11))
            if dice.random() < 0.6:
                standing = not standing
                alert.flip(minute, cleared=not standing)
            alert.look(minute)
            accepted = not alert.told[-1][1] if alert.told else False
            assert accepted or not standing
        for later in range(1, 40):
            alert.look(minute + later)
        accepted = not alert.told[-1][1] if alert.told else False
        assert (accepted, alert.known) == (standing, None)

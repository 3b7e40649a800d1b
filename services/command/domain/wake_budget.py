"""How often a vehicle is woken: for all, for all who are not its owner, and for each of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

WAKE_AFTER = timedelta(seconds=2)
"""A vehicle that has not confirmed a command for this long is woken, whatever was known of it."""
_WAKES = ((timedelta(seconds=15), 1), (timedelta(hours=1), 12), (timedelta(days=1), 48))
"""At most so many wake-ups of one vehicle within so long: each costs its battery."""
_WAKES_OF_OTHERS = ((timedelta(hours=1), 6), (timedelta(days=1), 24))
"""Of these at most so many for all who are not its owner: the rest is kept for the owner."""
_WAKES_OF_ONE = ((timedelta(hours=1), 4), (timedelta(days=1), 12))
"""And for each of them."""
WAKES_REMEMBERED = timedelta(days=1)
CHECKS = ""
"""For whom a vehicle is woken that is to check itself: nobody's name."""


@dataclass(frozen=True, slots=True)
class WakeUp:
    """One wake-up of a vehicle, for somebody's command. Of one without a subject nobody knows whose it was."""

    at: datetime
    subject: str | None
    by_owner: bool


def may_wake(earlier: Sequence[WakeUp], wanted: WakeUp) -> bool:
    """Return whether the vehicle's budget, and its person's, allow one more wake-up after these."""
    if not _within(_WAKES, earlier, wanted.at):
        return False
    if wanted.by_owner:
        return True
    others = [one for one in earlier if not one.by_owner]
    own = [one for one in others if one.subject == wanted.subject]
    return _within(_WAKES_OF_OTHERS, others, wanted.at) and _within(_WAKES_OF_ONE, own, wanted.at)


def next_wake_up(earlier: Sequence[WakeUp], subject: str, *, by_owner: bool, now: datetime) -> datetime:
    """Return when the budgets allow the next wake-up for this person's command, `now` at the earliest."""
    spans = {span for span, _ in (*_WAKES, *_WAKES_OF_OTHERS, *_WAKES_OF_ONE)}
    freed = sorted({one.at + span for one in earlier for span in spans if one.at + span > now})
    return next(at for at in (now, *freed) if may_wake(earlier, WakeUp(at, subject, by_owner)))


def _within(budget: Sequence[tuple[timedelta, int]], earlier: Sequence[WakeUp], now: datetime) -> bool:
    return all(sum(one.at > now - span for one in earlier) < most for span, most in budget)

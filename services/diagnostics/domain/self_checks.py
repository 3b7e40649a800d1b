"""When vehicles are asked to check themselves. Standard library only."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

PATIENCE = timedelta(seconds=120)
"""A vehicle that has not checked itself so long after it was asked has missed it."""
AGAIN = timedelta(seconds=60)
"""Who asks again sooner is shown the request of before."""
NOT_SENT_AGAIN = timedelta(minutes=10)
_FIRST_RETRY = timedelta(hours=6)
_MOST_DOUBLINGS = 8


class CheckState(StrEnum):
    """What became of asking a vehicle."""

    NONE = "NONE"
    REQUESTED = "REQUESTED"
    ANSWERED = "ANSWERED"
    MISSED = "MISSED"


@dataclass(frozen=True, slots=True)
class RequestedCheck:
    """A vehicle's checks that were asked for: the last one, and when the schedule asks next; `missed` since the last
    that was answered.
    """

    vin: str
    state: CheckState = CheckState.NONE
    requested_at: datetime | None = None
    answered_at: datetime | None = None
    due_at: datetime | None = None
    missed: int = 0

    def asked(self, now: datetime, interval: timedelta | None) -> RequestedCheck:
        """Return it after the vehicle was asked; the schedule, if there is one, asks again an interval later."""
        due_at = now + interval if interval is not None else None
        return replace(self, state=CheckState.REQUESTED, requested_at=now, due_at=due_at)

    def was_asked_just_now(self, now: datetime) -> bool:
        """Return whether it was asked so short a time ago that it is not asked again."""
        return self.requested_at is not None and now - self.requested_at < AGAIN

    def not_sent(self, now: datetime, interval: timedelta | None) -> RequestedCheck:
        """Return it where the request did not leave: the schedule tries again before long."""
        state = CheckState.ANSWERED if self.answered_at is not None else CheckState.NONE
        due_at = now + NOT_SENT_AGAIN if interval is not None else None
        return replace(self, state=state, requested_at=None, due_at=due_at)

    def overdue(self, now: datetime, interval: timedelta | None) -> RequestedCheck:
        """Return it where nothing came. The schedule tries again, after twice as long each time."""
        due_at = None
        if interval is not None:
            due_at = now + min(interval, _FIRST_RETRY * 2 ** min(self.missed, _MOST_DOUBLINGS))
        return replace(self, state=CheckState.MISSED, missed=self.missed + 1, due_at=due_at)


def first_due(vin: str, now: datetime, interval: timedelta) -> datetime:
    """Return when a vehicle is asked first: each at a time of its own within the interval, so that a fleet that comes
    into being at once is not asked at once.
    """
    place = int.from_bytes(hashlib.sha256(vin.encode()).digest()[:4], "big") / 2**32
    return now + interval * place

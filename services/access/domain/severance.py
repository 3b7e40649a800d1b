"""Severing a person's access to a vehicle: its legal clock, and how it is taken back. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

BUSINESS_DAYS = 2
"""So many business days the law leaves until it must be done (California's SB 1394 among others); it takes seconds."""
MOST_IN_A_DAY = 3
"""So often one person may ask for it in a day."""
_SATURDAY = 5


class SeveranceUnknownError(Exception):
    """There is no severance with this id that the caller may see."""


class TooManySeverancesError(Exception):
    """This person has asked for as many as one may in a day."""


@dataclass(frozen=True, slots=True)
class NewSeverance:
    """A severance as asked for, by a principal or by an operator for somebody else."""

    severance_id: str
    vin: str
    person: str
    evidence: str
    requested_by: str
    on_behalf_of: str = ""


@dataclass(frozen=True, slots=True)
class AccessSeverance:
    """A severance as it is kept."""

    asked: NewSeverance
    requested_at: datetime
    completed_at: datetime | None = None
    reversal_requested_by: str = ""
    reversal_reason: str = ""
    reversed_by: str = ""
    reversed_at: datetime | None = None

    @property
    def due_at(self) -> datetime:
        """By when the law wants it done."""
        return business_days_after(self.requested_at, BUSINESS_DAYS)

    def reversal(self, by: str, reason: str, at: datetime) -> AccessSeverance:
        """Return it as it is once this operator has asked to take it back: it takes two, and the second does it."""
        if self.reversed_at is not None or by == self.reversal_requested_by:
            return self
        if not self.reversal_requested_by:
            return replace(self, reversal_requested_by=by, reversal_reason=reason)
        return replace(self, reversed_by=by, reversed_at=at)


def business_days_after(begin: datetime, days: int) -> datetime:
    """Return the same time of day so many business days later: Monday to Friday, in the time's own zone."""
    moment = begin
    while days:
        moment += timedelta(days=1)
        days -= moment.weekday() < _SATURDAY
    return moment

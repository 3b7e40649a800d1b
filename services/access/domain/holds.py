"""Legal holds as operators decide them. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from services.access.domain.approvals import is_in_time, is_same_operator

if TYPE_CHECKING:
    from datetime import datetime


class HoldUnknownError(Exception):
    """There is no hold of this id in force."""


class HoldConflictError(Exception):
    """A hold of this id is on something else, or is over."""


class TooManyHoldsError(Exception):
    """As many holds are in force as the services are told of."""


class HeldNothingError(Exception):
    """A hold is on a vehicle or on a person: on one of the two."""


@dataclass(frozen=True, slots=True)
class NewHold:
    """A hold as asked for: `vin` or `person` is empty."""

    hold_id: str
    vin: str
    person: str
    reason: str

    def check(self) -> None:
        """Raise HeldNothingError unless it is on one thing."""
        if bool(self.vin) == bool(self.person):
            raise HeldNothingError


@dataclass(frozen=True, slots=True)
class HoldDecision:
    """A hold, and who decided what about it."""

    asked: NewHold
    requested_by: str
    requested_at: datetime
    approved_by: str = ""
    set_at: datetime | None = None
    lift_requested_by: str = ""
    lift_requested_at: datetime | None = None
    lifted_by: str = ""
    lifted_at: datetime | None = None

    @property
    def is_in_force(self) -> bool:
        """Whether it keeps anything."""
        return self.set_at is not None and self.lifted_at is None

    def asked_again(self, new: NewHold, by: str, at: datetime, *, alone: bool) -> HoldDecision:
        """Return it after somebody asked for it: set, if they are another one, or one is enough (`alone`). Raises
        HoldConflictError.
        """
        if (new.vin, new.person) != (self.asked.vin, self.asked.person) or self.lifted_at is not None:
            raise HoldConflictError
        if self.set_at is not None or (is_same_operator(by, self.requested_by) and not alone):
            return self
        return replace(self, approved_by=by, set_at=at)

    def asked_to_lift(self, by: str, at: datetime, *, alone: bool) -> HoldDecision:
        """Return it after somebody asked to lift it: lifted, if another one had asked before and that has not lapsed
        (APPROVAL_TIME), or one is enough. Raises HoldUnknownError where it never was in force.
        """
        if self.set_at is None:
            raise HoldUnknownError
        if self.lifted_at is not None:
            return self
        asked = self.lift_requested_by if is_in_time(self.lift_requested_at, at) else ""
        asking = self if asked else replace(self, lift_requested_by=by, lift_requested_at=at)
        if alone or (asked and not is_same_operator(by, asked)):
            return replace(asking, lifted_by=by, lifted_at=at)
        return asking

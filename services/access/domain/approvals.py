"""What one operator asks for and another must approve."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from datetime import datetime

Asked = TypeVar("Asked")
APPROVAL_TIME = timedelta(hours=24)
"""After this long a pending grant or API key that nobody has approved is not one any more."""


class SameOperatorError(Exception):
    """Who asked for a grant cannot approve it."""


def is_same_operator(one: str, other: str) -> bool:
    """Return whether these may be one person: a name is one person's, by certificate and by token alike."""
    return one.rpartition("/")[2] == other.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class PendingRequest(Generic[Asked]):
    """`asked` is what it will be, once another operator than the one who asked has approved it."""

    asked: Asked
    requested_by: str
    requested_at: datetime
    approved_by: str | None = None
    ended_at: datetime | None = None

    @abstractmethod
    def not_pending(self) -> Exception:
        """Return what is raised when it does not wait."""

    def is_waiting(self, now: datetime) -> bool:
        """Return whether it is neither approved, nor revoked, nor lapsed."""
        decided = self.approved_by is not None or self.ended_at is not None
        return not decided and now < self.requested_at + APPROVAL_TIME

    def check_approval(self, by: str, now: datetime) -> None:
        """Raise unless this operator may approve it now: SameOperatorError, or what `not_pending` returns."""
        if not self.is_waiting(now):
            raise self.not_pending()
        if by == self.requested_by:
            raise SameOperatorError

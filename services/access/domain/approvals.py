"""What one operator asks for and another must approve."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Generic, TypeVar

from services.access.domain.watching import employee_name

if TYPE_CHECKING:
    from datetime import datetime

Asked = TypeVar("Asked")
APPROVAL_TIME = timedelta(hours=24)
"""After this long a pending grant or API key that nobody has approved is not one any more, and a request to give an
account back lapses.
"""


class SameOperatorError(Exception):
    """Who asked for a grant cannot approve it."""


def is_same_operator(one: str, other: str) -> bool:
    """Return whether these may be one person. By certificate or by token alike a name is one person's, whatever its
    case; of one who came with the one and one who came with the other nobody can tell: what a certificate calls
    somebody says nothing of their `sub`.
    """
    (kind, name), (other_kind, other_name) = _kind_and_name(one), _kind_and_name(other)
    return kind != other_kind or name.casefold() == other_name.casefold()


def _kind_and_name(operator: str) -> tuple[str, str]:
    if operator.startswith(employee_name("")):
        return employee_name(""), operator.removeprefix(employee_name(""))
    kind, _, name = operator.rpartition("/")
    return kind, name


def is_in_time(requested_at: datetime | None, now: datetime) -> bool:
    """Return whether what was asked for then still waits for a second operator; without a time it does not."""
    return requested_at is not None and now < requested_at + APPROVAL_TIME


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
        return not decided and is_in_time(self.requested_at, now)

    def check_approval(self, by: str, now: datetime) -> None:
        """Raise unless this operator may approve it now: SameOperatorError, or what `not_pending` returns."""
        if not self.is_waiting(now):
            raise self.not_pending()
        if is_same_operator(by, self.requested_by):
            raise SameOperatorError

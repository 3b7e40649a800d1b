"""Which requests a list of the history holds, in which order, and where its pages begin."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from services.command.domain.commands import CommandAction, FailureReason, HistoryEntry, Requester, Status

SETTLED = timedelta(seconds=30)
"""An entry that is not in the record so long after it was dated for it is not written any more: longer than a commit
takes, and than the clocks of two replicas are apart.
"""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class HistoryPosition:
    """An entry's place in the order of the list."""

    requested_at: datetime
    entry_id: str


@dataclass(frozen=True, slots=True)
class HistoryQuery:
    """Which finished requests to list: those of the `period` before the moment that the list is of."""

    now: datetime
    period: timedelta
    limit: int
    offset: int = 0
    as_of: datetime | None = None
    """The moment that an earlier page was of."""
    after: HistoryPosition | None = None
    """Only what comes after it in the list."""
    not_before: datetime | None = None
    """When the reader's right began."""
    action: CommandAction | None = None
    excluded_action: CommandAction | None = None
    status: Status | None = None
    source: str | None = None
    of_subject: str | None = None
    """Of this customer alone."""

    def moment(self, newest: datetime | None) -> datetime:
        """Return the moment that the list is of: what had been recorded by then never changes any more.

        `newest` is when the vehicle's newest entry was recorded, as far as the record shows. Recorded times of a
        vehicle rise from commit to commit, so nothing is ever added before it. Without a new one it is a while ago,
        because an entry that is being committed may be dated now already.
        """
        latest = self.now - SETTLED
        if newest is not None and newest > latest:
            latest = newest
        if self.as_of is not None and self.as_of < latest:
            latest = self.as_of
        return latest - (latest - _EPOCH) % _MILLISECOND  # as it is told

    def since(self, moment: datetime) -> datetime:
        """Return how far back the list of this moment goes."""
        far_end = moment - self.period
        return far_end if self.not_before is None else max(far_end, self.not_before)


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """A part of the list, and how many entries the list has in all."""

    entries: tuple[HistoryEntry, ...]
    total: int
    has_more: bool
    as_of: datetime
    last: HistoryPosition | None
    """Of the last entry on it."""


@dataclass(frozen=True, slots=True)
class RefusedRequest:
    """A request that was refused at once. `command_id` is the command's that it was about, where there is one."""

    entry_id: str
    vin: str
    requester: Requester
    action: CommandAction
    target_doors: tuple[str, ...]
    correlation_id: str
    at: datetime
    reason: FailureReason
    command_id: str | None = None

"""The rights that streams run on, and how they end. Standard library only. Times are in seconds since 1970."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import Enum

from services.status.domain.updates import StreamEndedError

UPDATES_READ = "door.updates.read"
LONGEST_CAPABILITY_SECONDS = 60.0
"""A capability older than this is not accepted anywhere, so an end need not be remembered longer."""
_LONGEST_COMMIT_SECONDS = 10.0
"""A right that ended at a moment was committed as ended no later than this after it."""
_CLOCKS_APART_SECONDS = 0.1
"""How far the clock here may be behind that of the access service."""


class EndingCause(Enum):
    """What ended a right."""

    GRANT = "GRANT"
    """The grant ended, by itself or because it was revoked."""
    ACCOUNT = "ACCOUNT"
    """An account was locked: the subject's or the actor's."""
    CREDENTIAL = "CREDENTIAL"
    """The key that was used, or that the token was signed with, is not accepted any more."""
    CASE = "CASE"
    """The case was closed because of which an agent watched."""
    TOKEN = "TOKEN"  # noqa: S105  # what ended, and no secret
    """The token expired."""


class WatchRightEndedError(StreamEndedError):
    """The right to watch this vehicle has ended."""

    def __init__(self, cause: EndingCause = EndingCause.GRANT) -> None:
        super().__init__(cause.value)
        self.cause = cause


@dataclass(frozen=True, slots=True)
class WatchRight:
    """What a stream runs on: what the access service said of it, as it was at `read_at`, signed with `signed_by`.

    It ends by itself at `until`, because of `ends_with`.
    """

    subject: str
    actor: str
    read_at: float = 0.0
    until: float = math.inf
    ends_with: EndingCause = EndingCause.GRANT
    credential: str = ""
    signed_by: str = ""
    since: float = 0.0
    """When the first of the grants behind it was made: what happened before is not shown to it."""
    is_owner: bool = False
    case: str = ""
    """Of an agent: the number of the case because of which it watches."""


@dataclass(frozen=True, slots=True)
class RightEnding:
    """A right that ended before its time. No `vin` means every vehicle.

    With `remaining_until`, the principal may watch that vehicle all the same, through another grant, until then.
    """

    cause: EndingCause
    at: float
    principal: str = ""
    vin: str = ""
    credential: str = ""
    remaining_until: float | None = None
    remains_owner: bool = False
    """Whether the principal still owns the vehicle."""
    ended_at: float = math.inf
    """When the record says that it ended; `at` is when that was surely known to whoever read the record."""
    case: str = ""
    """Of a case: its number."""

    def concerns(self, right: WatchRight, vin: str) -> bool:
        """Return whether a stream of this vehicle on this right runs on what has ended."""
        if self.cause is EndingCause.GRANT:
            return self.principal == right.subject and self.vin in {"", vin}
        if self.cause is EndingCause.ACCOUNT:
            return self.principal in {right.subject, right.actor}
        if self.cause is EndingCause.CASE:
            return bool(self.case) and self.case == right.case
        return bool(self.credential) and self.credential == right.credential

    def left_of(self, right: WatchRight) -> WatchRight:
        """Return what is left of a right that this concerns. Raises WatchRightEndedError when it is nothing."""
        if right.read_at > self.at:  # it was given since
            return right
        if (
            self.cause is EndingCause.GRANT and right.since > self.ended_at
        ):  # by grants that were all made since
            return right
        if self.remaining_until is None:
            raise WatchRightEndedError(self.cause)
        if right.is_owner and not self.remains_owner:
            right = replace(right, is_owner=False)
        if self.remaining_until >= right.until:
            return right
        return replace(right, until=self.remaining_until, ends_with=EndingCause.GRANT)


class EndedRightCache:
    """Remembers endings for as long as somebody may come with a capability from before."""

    def __init__(self) -> None:
        self._endings: dict[tuple[EndingCause, str, str], tuple[RightEnding, float]] = {}

    def __len__(self) -> int:
        return len(self._endings)

    def add(self, told: RightEnding, now: float, monotonic: float) -> RightEnding:
        """Remember it; the same, with the time at which it was surely the truth for whoever read the record.

        It ended at the latest when we hear of it, and at the earliest at its own time: what was read in between may
        be from before its commit.
        """
        surely = max(told.at, min(now, told.at + _LONGEST_COMMIT_SECONDS)) + _CLOCKS_APART_SECONDS
        ending = replace(told, at=surely, ended_at=told.at)
        named = {EndingCause.CREDENTIAL: told.credential, EndingCause.CASE: told.case}
        key = (told.cause, named.get(told.cause, told.principal), told.vin)
        self._endings.pop(key, None)  # so that the first is always the oldest
        self._endings[key] = (ending, monotonic)
        horizon = monotonic - LONGEST_CAPABILITY_SECONDS - _LONGEST_COMMIT_SECONDS
        while self._endings:
            oldest = next(iter(self._endings))
            if self._endings[oldest][1] > horizon:
                break
            del self._endings[oldest]
        return ending

    def left_of(self, right: WatchRight, vin: str) -> WatchRight:
        """Return what is left of this right after all that has ended. Raises WatchRightEndedError."""
        for key in (
            (EndingCause.GRANT, right.subject, vin),
            (EndingCause.ACCOUNT, right.subject, ""),
            (EndingCause.ACCOUNT, right.actor, ""),
            (EndingCause.CREDENTIAL, right.credential, ""),
            (EndingCause.CASE, right.case, ""),
        ):
            known = self._endings.get(key)
            if known is not None:
                right = known[0].left_of(right)
        return right

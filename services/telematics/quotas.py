"""How much a vehicle may say: a size, a rate and a count for each kind of message, before anything is spent on it.

Rates are measured on the times at which the broker stored the messages, so that a backlog costs a vehicle nothing.
A vehicle that says more is muted for a while, of that kind only: what it says meanwhile is counted and dropped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from protocol.subjects import EventKind
from services.platform.senders import Excess

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST_KEPT = 200_000
"""So many senders are remembered by a consumer, about 200 bytes each; those that said nothing lately are forgotten."""
_SECOND_NS = 1_000_000_000
_MINUTE_NS = 60 * _SECOND_NS


@dataclass(frozen=True, slots=True)
class Quota:
    """`burst` messages at once, `per_minute` for ever, each of at most `max_bytes`."""

    burst: int
    per_minute: int
    max_bytes: int


DEFAULT_QUOTAS = {
    EventKind.HELLO: Quota(60, 30, 16_384),
    EventKind.RECEIVED: Quota(600, 300, 16_384),
    EventKind.RESULT: Quota(600, 300, 16_384),
    EventKind.CANCEL: Quota(600, 300, 16_384),
    EventKind.CONFIG: Quota(300, 120, 16_384),
    EventKind.STATUS: Quota(1_200, 600, 16_384),
    EventKind.DIAGNOSTICS: Quota(30, 12, 65_536),
}
NOT_UNDERSTOOD = Quota(60, 30, 0)
"""How many messages of a kind may be such that they become dead letters."""
_KIND_AT = len("vehicle.") + 17 + len(".evt.")


@dataclass(frozen=True, slots=True)
class _Limit:
    """A quota as it is counted."""

    cost_ns: int
    slack_ns: int
    max_bytes: int
    words: str

    @classmethod
    def of(cls, quota: Quota) -> _Limit:
        cost_ns = _MINUTE_NS // quota.per_minute
        words = f"more than {quota.burst} messages at once and {quota.per_minute} a minute"
        return cls(cost_ns, (quota.burst - 1) * cost_ns, quota.max_bytes, words)


_NOT_UNDERSTOOD = _Limit.of(NOT_UNDERSTOOD)


class VehicleQuotas:
    """The quotas of one consumer. A sender is a subject: one vehicle and one kind of message.

    For each sender a leaky bucket is kept as the one number that says when it will have run empty.
    """

    def __init__(
        self,
        quotas: Mapping[EventKind, Quota] = DEFAULT_QUOTAS,
        mute_seconds: float = 60.0,
        most_kept: int = MOST_KEPT,
    ) -> None:
        self._limits = {kind.value: _Limit.of(quota) for kind, quota in quotas.items()}
        self._status = self._limits[EventKind.STATUS.value]
        self._mute_ns = round(mute_seconds * _SECOND_NS)
        self._for = f"muted for {mute_seconds:g} s"
        self._most_kept = most_kept
        self._said: dict[str, int] = {}
        self._dead_lettered: dict[str, int] = {}
        self._muted: dict[str, tuple[int, str]] = {}

    @property
    def mutes(self) -> bool:
        """Whether anybody may be muted."""
        return bool(self._muted)

    def excess(self, subject: str, size: int, at_ns: int, *, first: bool = True) -> Excess | None:
        """Return why this message, stored at `at_ns` since 1970, is beyond the sender's quota; None when it is not.

        It counts when it is delivered for the `first` time.
        """
        # The kind, in vehicle.<VIN>.evt.<kind>; a status report's subject has four letters of its VIN there.
        limit = self._limits.get(subject[_KIND_AT:], self._status)
        if self._muted:
            muted = self._muted.get(subject)
            if muted is not None:
                if at_ns < muted[0]:
                    return Excess(muted[1], muted=True)
                del self._muted[subject]
        if size > limit.max_bytes:
            mute = self.dead_lettered(subject, at_ns) if first else None
            return mute or Excess(f"TOO_LARGE: {size} bytes; at most {limit.max_bytes}", muted=False)
        if first:
            empty_at = self._said.get(subject, 0)
            if empty_at <= at_ns:
                self._said[subject] = at_ns + limit.cost_ns
                if len(self._said) > self._most_kept:
                    self._said = self._tidied(self._said, at_ns)
            elif empty_at - at_ns <= limit.slack_ns:
                self._said[subject] = empty_at + limit.cost_ns
            else:
                return self._mute(subject, at_ns, limit.words)
        return None

    def dead_lettered(self, subject: str, at_ns: int) -> Excess | None:
        """Count a message of this sender that became a dead letter; return why it is muted, if it is from now on."""
        empty_at = max(self._dead_lettered.get(subject, 0), at_ns)
        if empty_at - at_ns > _NOT_UNDERSTOOD.slack_ns:
            return self._mute(subject, at_ns, f"{_NOT_UNDERSTOOD.words} that were not understood")
        self._dead_lettered[subject] = empty_at + _NOT_UNDERSTOOD.cost_ns
        if len(self._dead_lettered) > self._most_kept:
            self._dead_lettered = self._tidied(self._dead_lettered, at_ns)
        return None

    def _mute(self, subject: str, at_ns: int, words: str) -> Excess:
        reason = f"OVER_QUOTA: {words}; {self._for}"
        if len(self._muted) >= self._most_kept:
            self._muted = {sender: mute for sender, mute in self._muted.items() if mute[0] > at_ns}
        self._muted[subject] = (at_ns + self._mute_ns, reason)
        self._said.pop(subject, None)
        self._dead_lettered.pop(subject, None)
        return Excess(reason, muted=False)

    def _tidied(self, buckets: dict[str, int], at_ns: int) -> dict[str, int]:
        """Without those that have run empty; without any, if that are too few."""
        left = {sender: empty_at for sender, empty_at in buckets.items() if empty_at > at_ns}
        return left if len(left) <= self._most_kept // 2 else {}

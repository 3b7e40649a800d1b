"""Abnormal access: rules as data over what is seen of requests, and what they find. Standard library only.

Nothing here decides about a request. Only what somebody did signed in as themselves may restrict their account: failed
sign-ins count by network and are told to operators alone, and what is done with an API key counts apart and is told,
so that nobody's failures shut anybody else out.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING

from services.access.domain.grants import ACTIONS, LOCK, RESTORE, UNLOCK

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Mapping

RESTRICTED_ACTIONS = frozenset({LOCK, RESTORE, *(action for action in ACTIONS if action.endswith(".read"))})
"""What a restricted account may still do: read, lock, and prove that it is its owner's."""
MOST_KEYS = 10_000
"""So many people, agents and networks each rule remembers; whom it has not seen for longest makes room."""
_SANDBOX_MOST = 5_000
"""What a rule remembers of one key is in memory: wide, and no wider than needed."""
_MOST, _LONGEST_SECONDS = 1_000_000, 86_400


class Outcome(Enum):
    """What became of a request."""

    ALLOWED = "ALLOWED"
    UNKNOWN_VEHICLE = "UNKNOWN_VEHICLE"
    FAILED_SIGN_IN = "FAILED_SIGN_IN"


class Consequence(Enum):
    """What a finding does by itself."""

    ALERT = "ALERT"
    RESTRICT = "RESTRICT"


class AbnormalKind(Enum):
    """What was found."""

    VIN_ENUMERATION = "VIN_ENUMERATION"
    """One account asked for many vehicles that are not among its own."""
    FAILED_SIGN_INS = "FAILED_SIGN_INS"
    """One network sent many bad bearers. No account is concerned."""
    AGENT_VEHICLES = "AGENT_VEHICLES"
    """One agent acted on many vehicles."""
    MANY_NETWORKS = "MANY_NETWORKS"
    """One account was used from many networks at once."""
    UNLOCK_BURST = "UNLOCK_BURST"
    UNUSUAL_HOUR = "UNUSUAL_HOUR"
    """An account unlocked at an hour of the day (UTC) that it never did, after so many that it did."""
    IMPOSSIBLE_TRAVEL = "IMPOSSIBLE_TRAVEL"
    """An account was used from one country and soon after from another."""


@dataclass(frozen=True, slots=True)
class AccessSignal:
    """What is seen of one request. `at` is in seconds since 1970; `country` is empty where it is not known."""

    at: float
    outcome: Outcome
    network: str
    actor: str = ""
    subject: str = ""
    vin: str = ""
    action: str = ""
    country: str = ""
    by_key: bool = False
    """Whether it was asked with an API key, which others may have found: it restricts nobody's account."""


@dataclass(frozen=True, slots=True)
class AbnormalRule:
    """More than `most` within `seconds`, and what follows. What is counted stands with the kind."""

    most: int
    seconds: int
    consequence: Consequence = Consequence.ALERT


STRICT: Mapping[AbnormalKind, AbnormalRule] = {
    AbnormalKind.VIN_ENUMERATION: AbnormalRule(10, 600, Consequence.RESTRICT),
    AbnormalKind.FAILED_SIGN_INS: AbnormalRule(30, 600),
    AbnormalKind.AGENT_VEHICLES: AbnormalRule(30, 3_600, Consequence.RESTRICT),
    AbnormalKind.MANY_NETWORKS: AbnormalRule(8, 600),
    AbnormalKind.UNLOCK_BURST: AbnormalRule(20, 600),
    AbnormalKind.UNUSUAL_HOUR: AbnormalRule(50, 3_600),
    AbnormalKind.IMPOSSIBLE_TRAVEL: AbnormalRule(0, 3_600),
}
SANDBOX: Mapping[AbnormalKind, AbnormalRule] = {
    kind: AbnormalRule(_SANDBOX_MOST, rule.seconds) for kind, rule in STRICT.items()
}
"""So wide that a person and a test suite do not meet it by accident."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something abnormal. `principal` is empty where no account is concerned."""

    kind: AbnormalKind
    principal: str
    evidence: str
    consequence: Consequence

    @property
    def restricts(self) -> bool:
        """Whether somebody's account is restricted because of it."""
        return bool(self.principal) and self.consequence is Consequence.RESTRICT


@dataclass(slots=True)
class _Seen:
    """What one rule knows of one key: values with their times, and when it last found something.

    `counts` says how often each value is among them, so that no request costs more because of those before it.
    """

    values: deque[tuple[float, Hashable]] = field(default_factory=deque)
    counts: dict[Hashable, int] = field(default_factory=dict)
    found_at: float = float("-inf")

    def add(self, at: float, value: Hashable, most: int) -> None:
        """Take it in; of more than `most` the oldest makes room."""
        self.values.append((at, value))
        self.counts[value] = self.counts.get(value, 0) + 1
        if len(self.values) > most:
            self._drop_oldest()

    def drop_before(self, at: float) -> None:
        """Know only what was at that time or later."""
        while self.values and self.values[0][0] < at:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        _, value = self.values.popleft()
        self.counts[value] -= 1
        if not self.counts[value]:
            del self.counts[value]


class AbnormalWatch:
    """Looks at requests, some time after they were answered. It remembers in this process, and only so much."""

    def __init__(self, rules: Mapping[AbnormalKind, AbnormalRule], most_keys: int = MOST_KEYS) -> None:
        self._rules = rules
        self._most_keys = most_keys
        self._seen: dict[AbnormalKind, dict[tuple[str, bool], _Seen]] = {kind: {} for kind in rules}

    def observe(self, signal: AccessSignal) -> list[Finding]:
        """Return what this request makes abnormal; each kind once in its time for one key."""
        found = []
        for kind, name, value in _counted(signal):
            rule = self._rules.get(kind)
            if rule is None:
                continue
            seen = self._remembered(kind, (name, signal.by_key))
            evidence = self._abnormality(kind, rule, seen, signal.at, value)
            if evidence and signal.at - seen.found_at >= rule.seconds:
                seen.found_at = signal.at
                principal = "" if kind is AbnormalKind.FAILED_SIGN_INS else name
                whose = f"{name}, with an API key" if signal.by_key else name
                consequence = Consequence.ALERT if signal.by_key else rule.consequence
                found.append(Finding(kind, principal, f"{evidence} ({whose})", consequence))
        return found

    def _remembered(self, kind: AbnormalKind, key: tuple[str, bool]) -> _Seen:
        keys = self._seen[kind]
        seen = keys.pop(key, None) or _Seen()
        if len(keys) >= self._most_keys:
            del keys[next(iter(keys))]
        keys[key] = seen
        return seen

    @staticmethod
    def _abnormality(kind: AbnormalKind, rule: AbnormalRule, seen: _Seen, at: float, value: Hashable) -> str:
        """Return what is abnormal about it, in words; nothing when it is not."""
        if kind is AbnormalKind.UNUSUAL_HOUR:
            is_new = len(seen.values) >= rule.most and value not in seen.counts
            seen.add(at, value, rule.most + 1)
            return f"unlocked at {value} h UTC, as never among the last {rule.most}" if is_new else ""
        seen.drop_before(at - rule.seconds)
        if kind is AbnormalKind.IMPOSSIBLE_TRAVEL:
            others = sorted({str(country) for country in seen.counts} - {str(value)})
            seen.add(at, value, max(rule.most, 1) + 1)
            return f"from {', '.join(others)} and {value} within {rule.seconds} s" if others else ""
        if kind is not AbnormalKind.UNLOCK_BURST and value in seen.counts:
            return ""
        seen.add(at, value, rule.most + 1)
        if len(seen.values) <= rule.most:
            return ""
        return f"more than {rule.most} within {rule.seconds} s"


def _counted(signal: AccessSignal) -> Iterator[tuple[AbnormalKind, str, Hashable]]:
    """Yield which rules look at it, by whom they count, and what."""
    if signal.outcome is Outcome.FAILED_SIGN_IN:
        if signal.network:
            yield AbnormalKind.FAILED_SIGN_INS, signal.network, signal.at
        return
    if signal.outcome is Outcome.UNKNOWN_VEHICLE:
        yield AbnormalKind.VIN_ENUMERATION, signal.actor, signal.vin
        return
    if signal.actor != signal.subject:
        yield AbnormalKind.AGENT_VEHICLES, signal.actor, signal.vin
        return
    if signal.network:
        yield AbnormalKind.MANY_NETWORKS, signal.subject, signal.network
    if signal.country:
        yield AbnormalKind.IMPOSSIBLE_TRAVEL, signal.subject, signal.country
    if signal.action == UNLOCK:
        yield AbnormalKind.UNLOCK_BURST, signal.subject, signal.at
        yield AbnormalKind.UNUSUAL_HOUR, signal.subject, datetime.fromtimestamp(signal.at, UTC).hour


class CaseUnknownError(Exception):
    """There is no case with this id that the caller may see."""


@dataclass(frozen=True, slots=True)
class AbnormalCase:
    """A finding as it is kept, until somebody has looked at it."""

    case_id: str
    finding: Finding
    raised_at: datetime
    acknowledged_by: str = ""
    acknowledged_at: datetime | None = None
    times: int = 1
    """How often it was found until then, the last time at `raised_at`."""


def rules_in(text: str, defaults: Mapping[AbnormalKind, AbnormalRule]) -> dict[AbnormalKind, AbnormalRule]:
    """Return `defaults` with those that `text` names changed: `KIND=most/seconds:CONSEQUENCE`, with commas between.

    Raises ValueError, saying what is wrong.
    """
    return {**defaults, **dict(_entries(text))}


def _entries(text: str) -> Iterable[tuple[AbnormalKind, AbnormalRule]]:
    named: set[str] = set()
    for entry in text.split(","):
        name, _, rest = entry.strip().partition("=")
        numbers, _, consequence = rest.partition(":")
        most, _, seconds = numbers.partition("/")
        digits = most.isascii() and most.isdigit() and seconds.isascii() and seconds.isdigit()
        if name not in AbnormalKind.__members__ or name in named or not digits:
            raise ValueError(
                f"KIND=most/seconds:ALERT|RESTRICT,..., each kind once, of {', '.join(AbnormalKind.__members__)}"
            )
        if consequence not in Consequence.__members__ or (
            name == AbnormalKind.FAILED_SIGN_INS.value and consequence != Consequence.ALERT.value
        ):
            raise ValueError(f"{name}: ALERT or RESTRICT; failed sign-ins restrict nobody's account")
        if int(most) > _MOST or not 1 <= int(seconds) <= _LONGEST_SECONDS:
            raise ValueError(f"{name}: at most 1,000,000 within 1 to 86,400 seconds")
        named.add(name)
        yield AbnormalKind[name], AbnormalRule(int(most), int(seconds), Consequence[consequence])

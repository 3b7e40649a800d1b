"""How doors stand and what changed: rules only.

A report's doors are kept as six flag bytes, one per door in the order of DOOR_NAMES, zero where the
vehicle has no such door: most reports change nothing, and two equal byte strings say so at once. What the vehicle
cannot tell has a flag of its own, so that flags from before there was one say that all is known; LOCKED and OPEN are
never set beside it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

DOOR_NAMES = ("driver", "passenger", "rearLeft", "rearRight", "trunk", "hood")

PRESENT, LOCKED, OPEN, HAS_WINDOW, WINDOW_OPEN, LOCK_UNKNOWN, OPEN_UNKNOWN = 1, 2, 4, 8, 16, 32, 64

FUTURE_TOLERANCE_MICROSECONDS = 5 * 60 * 1_000_000
"""How far a vehicle's clock may run ahead of ours before its report is not believed."""

LONGEST_WAIT_MICROSECONDS = 10 * 60 * 1_000_000
"""What a vehicle reports later than this after a command says nothing about the command any more."""

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def is_locked(flags: int) -> bool | None:
    """Return whether this door is locked; None where the vehicle cannot tell."""
    return None if flags & LOCK_UNKNOWN else bool(flags & LOCKED)


def is_open(flags: int) -> bool | None:
    """Return whether this door is open; None where the vehicle cannot tell."""
    return None if flags & OPEN_UNKNOWN else bool(flags & OPEN)


class ImpossibleReport(ValueError):
    """A report that no vehicle in its right mind sends; the text says why."""


class NotYetReported(Exception):
    """The vehicle has never reported, so there is nothing to show."""


class StreamEnded(Exception):
    """A stream of updates ends before its reader wanted it to."""


class ReaderTooSlow(StreamEnded):
    """This reader is too far behind its updates, in time or in bytes."""


class GaveWay(StreamEnded):
    """There were too many streams, and this one was the oldest of whoever had the most."""


class ShuttingDown(StreamEnded):
    """This process goes away; another one takes over."""


class TooManyStreams(Exception):
    """This process serves as many streams as it can."""


class LogUnavailable(Exception):
    """What was missed can not be looked up now."""


class Dated(Protocol):
    """When a vehicle observed something, in its own order."""

    @property
    def observed_at_us(self) -> int:
        """By the vehicle's clock, microseconds since 1970."""

    @property
    def boot_id(self) -> str:
        """Which boot of the vehicle's agent observed it."""

    @property
    def sequence(self) -> int:
        """Counts up within a boot."""


class Seen(Dated, Protocol):
    """What is known of a state of a vehicle."""

    @property
    def doors(self) -> bytes:
        """Flag bytes; see the module."""


@dataclass(slots=True)
class Report:
    """One believable report of a vehicle. `payload` is the serialized report as it came; `asleep` says that it
    was the last word before the vehicle went to sleep.
    """

    vin: str
    observed_at_us: int
    boot_id: str
    sequence: int
    doors: bytes
    ignition: int
    speed_kmh: float
    payload: bytes
    asleep: bool = False


@dataclass(frozen=True, slots=True)
class DoorChange:
    """One thing that changed on one door. `kind` is a changeType of the specification.

    `window_was_open` is set when the window is what changed.
    """

    door: str
    kind: str
    flags: int
    previous_flags: int

    @property
    def window_open(self) -> bool | None:
        """None where the door has no window."""
        return bool(self.flags & WINDOW_OPEN) if self.flags & HAS_WINDOW else None

    @property
    def window_was_open(self) -> bool | None:
        """None unless the window is what changed."""
        return bool(self.previous_flags & WINDOW_OPEN) if self.kind.startswith("WINDOW") else None


@dataclass(frozen=True, slots=True)
class Step:
    """A report that changed doors, and how."""

    report: Report
    changes: list[DoorChange]


def is_newer(report: Seen, known: Dated) -> bool:
    """True when `report` was observed later; the sequence decides within one moment of one boot."""
    if report.observed_at_us != known.observed_at_us:
        return report.observed_at_us > known.observed_at_us
    return report.boot_id == known.boot_id and report.sequence > known.sequence


def fold(known: Mapping[str, Seen], reports: Iterable[Report]) -> tuple[dict[str, Report], list[Step]]:
    """Apply `reports` in the order they came on what was known of their vehicles.

    Returns the newest report of each vehicle that has a newer one, and every step that changed doors.
    A vehicle's first report changes nothing: there is nothing to compare it with.
    """
    latest: dict[str, Report] = {}
    steps: list[Step] = []
    for report in reports:
        vin = report.vin
        before: Seen | None = latest.get(vin) or known.get(vin)
        if before is not None:
            if not is_newer(report, before):
                continue
            if report.doors != before.doors:
                changes = changes_between(before.doors, report.doors)
                if changes:
                    steps.append(Step(report, changes))
        latest[vin] = report
    return latest, steps


def changes_between(previous: bytes, current: bytes) -> list[DoorChange]:
    """What changed, door by door; a door that only one of them has did not change, nor what one of them cannot tell.

    On one door the order is that of the physical act: unlock before open, close before lock.
    """
    found: list[DoorChange] = []
    for name, before, now in zip(DOOR_NAMES, previous, current, strict=True):
        if before == now or not before & now & PRESENT:
            continue
        kinds: list[str] = []
        changed = before ^ now
        if (before | now) & LOCK_UNKNOWN:
            changed &= ~LOCKED
        if (before | now) & OPEN_UNKNOWN:
            changed &= ~OPEN
        if changed & LOCKED and not now & LOCKED:
            kinds.append("UNLOCKED")
        if changed & OPEN:
            kinds.append("OPENED" if now & OPEN else "CLOSED")
        if changed & WINDOW_OPEN and before & now & HAS_WINDOW:
            kinds.append("WINDOW_OPENED" if now & WINDOW_OPEN else "WINDOW_CLOSED")
        if changed & LOCKED and now & LOCKED:
            kinds.append("LOCKED")
        found += [DoorChange(name, kind, now, before) for kind in kinds]
    return found


_ALL_OPEN = int.from_bytes(bytes([OPEN] * len(DOOR_NAMES)))


def any_open(doors: bytes) -> bool:
    """True when a door stands open."""
    return int.from_bytes(doors) & _ALL_OPEN != 0


def open_doors(doors: bytes) -> tuple[str, ...]:
    """The names of the doors that stand open."""
    return tuple(name for name, flags in zip(DOOR_NAMES, doors, strict=True) if flags & OPEN)


def is_stale(now_us: int, observed_at_us: int, reporting_interval_seconds: int) -> bool:
    """True when two reports in a row are overdue, with five seconds for their way."""
    return now_us - observed_at_us > (2 * reporting_interval_seconds + 5) * 1_000_000


class Connectivity(StrEnum):
    """Whether a vehicle can be reached, as far as is known."""

    ONLINE = "ONLINE"
    ASLEEP = "ASLEEP"
    LOST = "LOST"


def connectivity_of(*, asleep: bool, stale: bool, lost: bool) -> Connectivity:
    """From its last report. `lost`: the broker has said since that the connection broke."""
    if asleep:
        return Connectivity.ASLEEP
    return Connectivity.LOST if stale or lost else Connectivity.ONLINE


@dataclass(frozen=True, slots=True)
class Moved:
    """A vehicle's signed word that it moved doors for a command, or tried to, and how it stands afterwards.

    `promised` has the flag PRESENT for each door of a command that succeeded, with LOCKED where it says so; None
    where there is nothing to hold the vehicle to.
    """

    command_id: str
    started_at_us: int
    status: Report
    promised: bytes | None


@dataclass(frozen=True, slots=True)
class Expectation:
    """How the next report of a vehicle must show the doors of a command that succeeded.

    It must come after the state (`observed_at_us`, `boot_id`, `sequence`) that the result told of, and count
    from before `until_us`: what was observed later may have another cause.
    """

    vin: str
    command_id: str
    observed_at_us: int
    boot_id: str
    sequence: int
    promised: bytes
    until_us: int


class Finding(StrEnum):
    """What a report says of an expectation."""

    KEPT = "KEPT"
    BROKEN = "BROKEN"
    TOO_LATE = "TOO_LATE"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is told of a command that had succeeded: `doors` are the flags as observed."""

    vin: str
    command_id: str
    confirmed: bool
    observed_at_us: int
    doors: bytes
    promised: bytes


def finding_of(expectation: Expectation, seen: Iterable[Seen]) -> tuple[Finding, Seen] | None:
    """What the first of `seen` that came after the result says, and which that is; None when none did.

    A report that leaves out a door of the command, or cannot tell its lock, says nothing about it.
    """
    later = [
        each for each in seen if is_newer(each, expectation) and _has_all(each.doors, expectation.promised)
    ]
    if not later:
        return None
    first = min(later, key=lambda each: (each.observed_at_us, each.sequence))
    if first.observed_at_us >= expectation.until_us:
        return Finding.TOO_LATE, first
    kept = all(
        now & LOCKED == promised & LOCKED
        for now, promised in zip(first.doors, expectation.promised, strict=True)
        if promised
    )
    return (Finding.KEPT if kept else Finding.BROKEN), first


def _has_all(doors: bytes, promised: bytes) -> bool:
    return all(
        now & PRESENT and not now & LOCK_UNKNOWN for now, door in zip(doors, promised, strict=True) if door
    )


def broken_doors(verdict: Verdict) -> list[tuple[str, bool]]:
    """The doors that stand otherwise than was promised, and whether they are locked."""
    return [
        (name, bool(now & LOCKED))
        for name, now, promised in zip(DOOR_NAMES, verdict.doors, verdict.promised, strict=True)
        if promised and (now ^ promised) & LOCKED
    ]


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the log of updates: `epoch` names the log, `sequence` counts within it."""

    epoch: str
    sequence: int

    def __str__(self) -> str:
        return f"{self.epoch}-{self.sequence}"


UNKNOWN_PLACE = Position("", 0)
"""No place in any log."""


def base36(number: int) -> str:
    """`number`, not negative, in digits and small letters."""
    digits = ""
    while True:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
        if number == 0:
            return digits


@dataclass(slots=True)
class Update:
    """One update on its way to readers. `rendered` is made by the first who sends it, for all."""

    position: Position
    payload: bytes
    rendered: object = None
    published_at: float = math.inf
    """By the broker's clock, seconds since 1970; known of what is read from the log."""


@dataclass(frozen=True, slots=True)
class Reset:
    """From here on; what came before is not known any more."""

    position: Position


class Heartbeat:
    """Nothing happened; the stream lives."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the log of updates still keeps."""

    epoch: str
    first_sequence: int
    last_sequence: int


@dataclass(frozen=True, slots=True)
class Check:
    """A look at a vehicle's status. `check_id` is unique: the same look may be told twice."""

    check_id: str
    vin: str
    time_us: int
    user_id: str
    actor_id: str
    source: str
    correlation_id: str
    execution_time_seconds: float

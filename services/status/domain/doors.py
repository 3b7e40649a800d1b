"""How doors stand and what changed: rules only.

A report's doors are kept as six flag bytes, one per door in the order of DOOR_NAMES, zero where the
vehicle has no such door: most reports change nothing, and two equal byte strings say so at once. What the vehicle
cannot tell has a flag of its own, so that flags from before there was one say that all is known; LOCKED and OPEN are
never set beside it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


DOOR_NAMES = ("driver", "passenger", "rearLeft", "rearRight", "trunk", "hood")

PRESENT, LOCKED, OPEN, HAS_WINDOW, WINDOW_OPEN, LOCK_UNKNOWN, OPEN_UNKNOWN = 1, 2, 4, 8, 16, 32, 64

KEPT_AT_MOST_MICROSECONDS = 30 * 24 * 3_600 * 1_000_000
"""So long a door that no report names is shown as it was."""

LONGEST_WAIT_MICROSECONDS = 10 * 60 * 1_000_000
"""What arrives from a vehicle later than this after a result says nothing about its command any more."""

SHOWN_AT_MOST_BEFORE_MICROSECONDS = 24 * 3_600 * 1_000_000
"""A clock that is further behind than this is not set: the time of arrival is shown instead of it."""

NEWEST_ORDER, OLDEST_ORDER = 0, -1
"""The order of an epoch of which it is only known that it is the vehicle's current one, or that it ended."""


def is_locked(flags: int) -> bool | None:
    """Return whether this door is locked; None where the vehicle cannot tell."""
    return None if flags & LOCK_UNKNOWN else bool(flags & LOCKED)


def is_open(flags: int) -> bool | None:
    """Return whether this door is open; None where the vehicle cannot tell."""
    return None if flags & OPEN_UNKNOWN else bool(flags & OPEN)


class StatusNotYetReportedError(Exception):
    """The vehicle has never reported, so there is nothing to show."""


class VehicleOrdered(Protocol):
    """When a vehicle said something, in its own order. No clock has a part in it."""

    @property
    def epoch(self) -> bytes | None:
        """The epoch it was said in; None or empty for what was kept before epochs were."""

    @property
    def epoch_order(self) -> int:
        """Counts up from epoch to epoch of a vehicle; also NEWEST_ORDER, OLDEST_ORDER."""

    @property
    def sequence(self) -> int:
        """Counts up with everything the vehicle reports in an epoch; 0 when it does not say."""

    @property
    def counter(self) -> int:
        """Under which its report was sealed, counts up in an epoch; 0 for what a result says."""


class KnownState(VehicleOrdered, Protocol):
    """What is known of a state of a vehicle."""

    @property
    def doors(self) -> bytes:
        """Flag bytes; see the module."""

    @property
    def received_at_us(self) -> int:
        """When it arrived in the cloud, microseconds since 1970."""

    @property
    def observed_at_us(self) -> int:
        """When it was observed, as it is shown, microseconds since 1970."""

    @property
    def kept(self) -> str:
        """The doors among `doors` that were named earlier; see Report."""


@dataclass(frozen=True, slots=True)
class LockMoved:
    """How a lock came to stand as a report shows it: `cause` is a number of the contract's LockCause, 0 where that is
    not known. `by_command`: by a command, or nobody knows. `after_sequence` is that of the last report made before.
    """

    cause: int
    by_command: bool
    after_sequence: int


@dataclass(slots=True)
class Report:
    """One report of a vehicle. `payload` is the serialized report as it is kept; `asleep` says that it was the last
    word before the vehicle went to sleep. See Ordered and Seen.

    `stale_at_us` is when it is too old, microseconds since 1970, where the vehicle says no more.

    `cut` names what of the report was not understood and left out, or put right; `unsaid` what it therefore does not
    say, and what stays as it was. `ignition` and `speed_kmh` are 0 where it does not say. `kept` is JSON of
    the doors that it does not name, and which `doors` has all the same: by name, when the report arrived that named
    it last, and the serialized observation; empty when there are none.

    `commanded` are the places of the doors that a command moved, or tried to, before this was observed. How the lock
    stands of one that this does not name is not known any more.
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
    epoch: bytes = b""
    epoch_order: int = NEWEST_ORDER
    counter: int = 0
    received_at_us: int = 0
    unsaid: tuple[str, ...] = ()
    cut: tuple[str, ...] = ()
    kept: str = ""
    lock_moves: Callable[[], Mapping[int, LockMoved]] = field(default=dict, compare=False, repr=False)
    """What it says of how its locks came to stand so, by the doors' places. Asked of few reports: it is read then."""
    stale_at_us: int = 0
    commanded: frozenset[int] = frozenset()
    remote_access_disabled: bool = False
    """Whether it refuses commands from afar."""

    @property
    def place(self) -> str:
        """Where it stands among all that the vehicle ever says, for the ids of what tells of it."""
        return f"{self.epoch.hex()[:16]}-{self.sequence}-{self.counter}"


def shown_at_us(observed_at_us: int | None, received_at_us: int) -> int:
    """Return the time that is shown of an observation: the vehicle's, where that can be; else when it arrived."""
    if observed_at_us is None or observed_at_us > received_at_us:
        return received_at_us
    if received_at_us - observed_at_us > SHOWN_AT_MOST_BEFORE_MICROSECONDS:
        return received_at_us
    return observed_at_us


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


def is_newer(report: VehicleOrdered, known: VehicleOrdered) -> bool:
    """Return True when the vehicle said `report` later: in a later epoch, or later in the same one.

    The sequence orders reports and results. Where one of two reports has none, their counters do.
    """
    if report.epoch != known.epoch:
        if not known.epoch or report.epoch_order == OLDEST_ORDER:
            return not known.epoch
        return (
            NEWEST_ORDER in {report.epoch_order, known.epoch_order} or report.epoch_order > known.epoch_order
        )
    if report.counter and known.counter and not (report.sequence and known.sequence):
        return report.counter > known.counter
    return (report.sequence, report.counter) > (known.sequence, known.counter)


def fold(
    known: Mapping[str, KnownState],
    reports: Iterable[Report],
    inherit: Callable[[Report, KnownState], None] = lambda _, __: None,
) -> tuple[dict[str, Report], list[Step]]:
    """Apply `reports` in the order they came on what was known of their vehicles.

    Returns the newest report of each vehicle that has a newer one, and every step that changed doors.
    A vehicle's first report changes nothing: there is nothing to compare it with. What a report does not say stays
    as it was: `inherit` puts that into a report that leaves something out, from what was known before it.
    """
    latest: dict[str, Report] = {}
    steps: list[Step] = []
    for report in reports:
        vin = report.vin
        before: KnownState | None = latest.get(vin) or known.get(vin)
        if before is not None:
            if not is_newer(report, before):
                continue
            if report.doors != before.doors or report.unsaid:
                if report.unsaid or missing_doors(before.doors, report.doors):
                    inherit(report, before)
                changes = changes_between(before.doors, report.doors)
                if changes:
                    steps.append(Step(report, changes))
        latest[vin] = report
    return latest, steps


def changes_between(previous: bytes, current: bytes) -> list[DoorChange]:
    """Return what changed, door by door; a door that only one of them has did not change, nor what one of them
    cannot tell.

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


def missing_doors(known: bytes, reported: bytes) -> list[int]:
    """Return the places of the doors that are known and not reported."""
    return [n for n, (before, now) in enumerate(zip(known, reported, strict=True)) if before and not now]


def named_doors(seen: KnownState) -> bytes:
    """Return the flags of the doors that the report itself names."""
    if not seen.kept:
        return seen.doors
    kept = json.loads(seen.kept)
    return bytes(0 if name in kept else flags for name, flags in zip(DOOR_NAMES, seen.doors, strict=True))


_ALL_OPEN = int.from_bytes(bytes([OPEN] * len(DOOR_NAMES)))


def any_open(doors: bytes) -> bool:
    """Return True when a door stands open."""
    return int.from_bytes(doors) & _ALL_OPEN != 0


def open_doors(doors: bytes) -> tuple[str, ...]:
    """Return the names of the doors that stand open."""
    return tuple(name for name, flags in zip(DOOR_NAMES, doors, strict=True) if flags & OPEN)


def is_stale(now_us: int, received_at_us: int, reporting_interval_seconds: int) -> bool:
    """Return True when two reports in a row are overdue, with five seconds for their way."""
    return now_us > stale_at_us(received_at_us, reporting_interval_seconds)


def stale_at_us(received_at_us: int, reporting_interval_seconds: int) -> int:
    """Return until when a report may count as fresh, microseconds since 1970."""
    return received_at_us + (2 * reporting_interval_seconds + 5) * 1_000_000


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
class StatusRead:
    """A read of a vehicle's status. `check_id` is unique: the same read may be told twice."""

    check_id: str
    vin: str
    time_us: int
    user_id: str
    actor_id: str
    source: str
    correlation_id: str
    execution_time_seconds: float

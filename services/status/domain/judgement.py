"""What vehicles are held to after a command that succeeded, and what their next report says of it: rules only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from services.status.domain.doors import (
    DOOR_NAMES,
    LOCK_UNKNOWN,
    LOCKED,
    LONGEST_WAIT_MICROSECONDS,
    PRESENT,
    is_newer,
    named_doors,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from services.status.domain.doors import KnownState, LockMoved, Report, VehicleOrdered


@dataclass(frozen=True, slots=True)
class ReportedActuation:
    """A vehicle's signed response that it moved doors for a command, or tried to, and how it stands afterwards.

    `expected_locks` has the flag PRESENT for each door of a command that succeeded, with LOCKED where it says so; None
    where there is nothing to hold the vehicle to. `began_after` is the sequence of what the vehicle reported last
    before it began; None when it does not say.
    """

    command_id: str
    began_after: int | None
    status: Report
    expected_locks: bytes | None


@dataclass(frozen=True, slots=True)
class Expectation:
    """How the next report of a vehicle must show the doors of a command that succeeded.

    It must come after the state that the result told of, by `epoch` and `sequence`, and not after the place `until`
    (epoch order, sequence), nor arrive later than LONGEST_WAIT_MICROSECONDS after the result, which arrived at
    `since_us`: what was observed later may have another cause.
    """

    vin: str
    command_id: str
    epoch: bytes
    epoch_order: int
    sequence: int
    expected_locks: bytes
    since_us: int
    until: tuple[int, int] | None = None
    counter: int = 2**63
    """Beyond all: a report of the result's own sequence is not later."""


class ExpectationFinding(StrEnum):
    """What a report says of an expectation. EXPLAINED: the doors stand otherwise, and something else than a command
    moved them after it.
    """

    KEPT = "KEPT"
    BROKEN = "BROKEN"
    TOO_LATE = "TOO_LATE"
    EXPLAINED = "EXPLAINED"


@dataclass(frozen=True, slots=True)
class ActuationOutcome:
    """What is told of a command that had succeeded: `doors` are the flags as observed."""

    vin: str
    command_id: str
    confirmed: bool
    observed_at_us: int
    doors: bytes
    expected_locks: bytes


def finding_of(
    expectation: Expectation, seen: Iterable[KnownState]
) -> tuple[ExpectationFinding, KnownState] | None:
    """Return what the first of `seen` that came after the result says, and which that is; None when none did.

    A report that leaves out a door of the command, or cannot tell its lock, says nothing about it.
    """
    later = [
        each
        for each in seen
        if is_newer(each, expectation) and _has_all(named_doors(each), expectation.expected_locks)
    ]
    if not later:
        return None
    first = min(later, key=lambda each: (each.epoch_order, each.sequence, each.counter))
    beyond = expectation.until is not None and place_of(first) > expectation.until
    if beyond or first.received_at_us - expectation.since_us >= LONGEST_WAIT_MICROSECONDS:
        return ExpectationFinding.TOO_LATE, first
    kept = all(
        now & LOCKED == expected_locks & LOCKED
        for now, expected_locks in zip(first.doors, expectation.expected_locks, strict=True)
        if expected_locks
    )
    if kept:
        return ExpectationFinding.KEPT, first
    # Only the last report is kept. One that overtook the result may not be the next after it, and then what it shows
    # may have come about later.
    overtook = first.received_at_us < expectation.since_us
    is_next = first.epoch == expectation.epoch and first.sequence == expectation.sequence + 1
    return (ExpectationFinding.TOO_LATE if overtook and not is_next else ExpectationFinding.BROKEN), first


def is_explained(expectation: Expectation, seen: KnownState, moved: Mapping[int, LockMoved]) -> bool:
    """Return whether every door that stands otherwise than was promised was moved after the result, by something that
    the vehicle names and that was no command. `moved` has what the report `seen` says of its locks, by place.
    """
    same_boot = seen.epoch == expectation.epoch
    for place, (now, expected_locks) in enumerate(zip(seen.doors, expectation.expected_locks, strict=True)):
        if not expected_locks or not (now ^ expected_locks) & LOCKED:
            continue
        change = moved.get(place)
        if change is None or change.by_command:
            return False
        if same_boot and change.after_sequence < expectation.sequence:
            return False
    return True


def place_of(said: VehicleOrdered) -> tuple[int, int]:
    """Return where this stands among what the vehicle says, as numbers that can be kept."""
    return said.epoch_order, said.sequence


def _has_all(doors: bytes, expected_locks: bytes) -> bool:
    return all(
        now & PRESENT and not now & LOCK_UNKNOWN
        for now, door in zip(doors, expected_locks, strict=True)
        if door
    )


def broken_doors(verdict: ActuationOutcome) -> list[tuple[str, bool]]:
    """Return the doors that stand otherwise than was promised, and whether they are locked."""
    return [
        (name, bool(now & LOCKED))
        for name, now, expected_locks in zip(DOOR_NAMES, verdict.doors, verdict.expected_locks, strict=True)
        if expected_locks and (now ^ expected_locks) & LOCKED
    ]

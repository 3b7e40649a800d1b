"""The rules of the status service."""

from __future__ import annotations

import pytest

from services.status.domain.doors import (
    HAS_WINDOW,
    LOCK_UNKNOWN,
    LOCKED,
    LONGEST_WAIT_MICROSECONDS,
    NEWEST_ORDER,
    OLDEST_ORDER,
    OPEN,
    OPEN_UNKNOWN,
    PRESENT,
    WINDOW_OPEN,
    Report,
    changes_between,
    fold,
    is_newer,
    is_stale,
    open_doors,
    shown_at_us,
)
from services.status.domain.judgement import Expectation, ExpectationFinding, finding_of
from services.status.domain.updates import base36

VIN = "KMHSH81C7LU123456"
SHUT = bytes([PRESENT | LOCKED | HAS_WINDOW] * 4 + [PRESENT | LOCKED] * 2)


def doors(driver: int) -> bytes:
    return bytes([driver]) + SHUT[1:]


def report(
    sequence: int,
    flags: bytes = SHUT,
    vin: str = VIN,
    epoch: tuple[str, int] = ("e", 7),
    counter: int = 1,
    at: int = 0,
) -> Report:
    """`at` is when it arrived; the vehicle's clock always says the same, because it decides nothing."""
    return Report(
        vin,
        5,
        "b",
        sequence,
        flags,
        1,
        0.0,
        b"",
        epoch=epoch[0].encode(),
        epoch_order=epoch[1],
        counter=counter,
        received_at_us=at,
    )


@pytest.mark.parametrize(
    ("before", "after", "kinds"),
    [
        (PRESENT | LOCKED, PRESENT, ["UNLOCKED"]),
        (PRESENT, PRESENT | LOCKED, ["LOCKED"]),
        (PRESENT | LOCKED, PRESENT | OPEN, ["UNLOCKED", "OPENED"]),
        (PRESENT | OPEN, PRESENT | LOCKED, ["CLOSED", "LOCKED"]),
        (PRESENT | HAS_WINDOW, PRESENT | HAS_WINDOW | WINDOW_OPEN, ["WINDOW_OPENED"]),
        (PRESENT | HAS_WINDOW | WINDOW_OPEN, PRESENT | HAS_WINDOW, ["WINDOW_CLOSED"]),
        (PRESENT | HAS_WINDOW | WINDOW_OPEN, PRESENT, []),
        (0, PRESENT | LOCKED, []),
        (PRESENT | LOCKED, 0, []),
        (PRESENT | LOCKED, PRESENT | LOCKED, []),
        (PRESENT | LOCKED, PRESENT | LOCK_UNKNOWN, []),
        (PRESENT | LOCK_UNKNOWN, PRESENT | LOCKED, []),
        (PRESENT | OPEN, PRESENT | OPEN_UNKNOWN, []),
        (PRESENT | OPEN_UNKNOWN, PRESENT | OPEN, []),
        (PRESENT | LOCK_UNKNOWN, PRESENT | LOCK_UNKNOWN | OPEN, ["OPENED"]),
        (PRESENT | LOCKED | OPEN_UNKNOWN, PRESENT | OPEN_UNKNOWN, ["UNLOCKED"]),
        (PRESENT | LOCK_UNKNOWN | HAS_WINDOW, PRESENT | HAS_WINDOW | WINDOW_OPEN, ["WINDOW_OPENED"]),
    ],
)
def test_changes_of_one_door(before: int, after: int, kinds: list[str]) -> None:
    assert [c.kind for c in changes_between(doors(before), doors(after))] == kinds


def test_a_window_change_tells_what_the_window_was() -> None:
    [change] = changes_between(doors(PRESENT | HAS_WINDOW), doors(PRESENT | HAS_WINDOW | WINDOW_OPEN))
    assert (change.door, change.window_open, change.window_was_open) == ("driver", True, False)
    [change] = changes_between(doors(PRESENT), doors(PRESENT | LOCKED))
    assert (change.window_open, change.window_was_open) == (None, None)


@pytest.mark.parametrize(
    ("later", "earlier"),
    [
        (report(6), report(5)),
        (report(5, counter=2), report(5, counter=1)),
        (report(1, epoch=("f", 8)), report(9)),
        (report(1, epoch=("f", NEWEST_ORDER)), report(9)),
        (report(1), report(9, epoch=("f", OLDEST_ORDER))),
        (report(0, counter=9), report(5, counter=8)),
        (report(5, counter=9), report(0, counter=8)),
        (report(6, counter=0), report(5, counter=80)),
    ],
    ids=[
        "sequence",
        "counter where the sequence stands still",
        "epoch",
        "an epoch of unknown order",
        "an epoch that ended",
        "without a sequence",
        "after one without a sequence",
        "a result",
    ],
)
def test_the_order_is_that_of_epoch_and_sequence(later: Report, earlier: Report) -> None:
    assert is_newer(later, earlier)
    assert not is_newer(earlier, later) or later.epoch_order == NEWEST_ORDER
    assert not is_newer(later, later)


def test_every_report_is_newer_than_a_row_from_before_epochs_were_kept() -> None:
    old = report(9)
    old.epoch = b""
    assert is_newer(report(1), old)


def test_a_clock_decides_nothing() -> None:
    ahead, after = report(1), report(2, flags=doors(PRESENT))
    ahead.observed_at_us, after.observed_at_us = 10**18, 1
    latest, steps = fold({VIN: ahead}, [after])
    assert latest == {VIN: after}
    assert [change.kind for step in steps for change in step.changes] == ["UNLOCKED"]


def test_a_batch_is_folded_in_order_and_keeps_every_change() -> None:
    reports = [
        report(1),
        report(2, flags=doors(PRESENT)),
        report(3, flags=doors(PRESENT | OPEN)),
        report(2, flags=SHUT),
        report(4),
        report(1, vin="KMHSH81C7LU654321"),
    ]
    latest, steps = fold({}, reports)
    assert [(s.report.sequence, [c.kind for c in s.changes]) for s in steps] == [
        (2, ["UNLOCKED"]),
        (3, ["OPENED"]),
        (4, ["CLOSED", "LOCKED"]),
    ]
    assert {vin: r.sequence for vin, r in latest.items()} == {VIN: 4, "KMHSH81C7LU654321": 1}


def test_what_is_known_already_changes_nothing() -> None:
    known = {VIN: report(5)}
    assert fold(known, [report(5, flags=doors(PRESENT)), report(4, flags=doors(PRESENT))]) == ({}, [])


def test_a_vehicles_time_is_shown_where_it_can_be_true() -> None:
    day = 24 * 3_600 * 1_000_000
    arrived = 10 * day
    assert shown_at_us(arrived - 5, arrived) == arrived - 5
    assert [shown_at_us(at, arrived) for at in (None, arrived + 1, arrived - day - 1)] == [arrived] * 3


def test_stale_is_two_intervals_and_five_seconds() -> None:
    limit = (2 * 30 + 5) * 1_000_000
    assert not is_stale(limit, 0, 30)
    assert is_stale(limit + 1, 0, 30)


def test_open_doors_are_named() -> None:
    assert open_doors(bytes([PRESENT | OPEN, PRESENT, 0, 0, PRESENT | OPEN, PRESENT])) == ("driver", "trunk")


def test_numbers_in_base_36() -> None:
    assert (base36(0), base36(35), base36(36), base36(1_768_228_200_000_000)) == (
        "0",
        "z",
        "10",
        "hes8tjzb40",
    )


RESULT_AT = 1_000


def expectation(until: tuple[int, int] | None = None) -> Expectation:
    expected_locks = bytes([PRESENT | LOCKED, 0, 0, 0, 0, 0])
    return Expectation(VIN, "c", b"e", 7, 5, expected_locks, RESULT_AT, until)


def after(sequence: int, flags: bytes = SHUT, late: int = 0, **more: object) -> Report:
    """A report that arrives after the result."""
    return report(sequence, flags, at=RESULT_AT + late, **more)  # type: ignore[arg-type]  # the same ones


MOVED = doors(PRESENT)


@pytest.mark.parametrize(
    ("seen", "finding", "sequence"),
    [
        ([], None, 0),
        ([after(4), after(5)], None, 0),
        ([after(6)], ExpectationFinding.KEPT, 6),
        ([after(1, epoch=("other", 8))], ExpectationFinding.KEPT, 1),
        ([after(1, MOVED, epoch=("other", 6))], None, 0),
        ([after(6, MOVED)], ExpectationFinding.BROKEN, 6),
        ([after(6, doors(PRESENT | LOCKED | OPEN))], ExpectationFinding.KEPT, 6),
        ([after(8), after(6, MOVED)], ExpectationFinding.BROKEN, 6),
        ([after(6, doors(0)), after(7)], ExpectationFinding.KEPT, 7),
        ([after(6, doors(PRESENT | LOCK_UNKNOWN))], None, 0),
        ([after(6, doors(PRESENT | LOCK_UNKNOWN)), after(7)], ExpectationFinding.KEPT, 7),
        ([after(6, MOVED, LONGEST_WAIT_MICROSECONDS)], ExpectationFinding.TOO_LATE, 6),
        ([report(6, MOVED)], ExpectationFinding.BROKEN, 6),
        ([report(9, MOVED)], ExpectationFinding.TOO_LATE, 9),
        ([report(9)], ExpectationFinding.KEPT, 9),
    ],
    ids=[
        "nothing",
        "before the result",
        "the next",
        "after a reboot",
        "before a reboot",
        "broken",
        "only locks count",
        "the first decides",
        "a door left out says nothing",
        "a lock that nothing senses says nothing",
        "it waits for one that says",
        "too late",
        "the next one overtook the result",
        "one that overtook it and is not the next",
        "one that overtook it and agrees",
    ],
)
def test_the_next_report_decides(
    seen: list[Report], finding: ExpectationFinding | None, sequence: int
) -> None:
    found = finding_of(expectation(), seen)
    assert (found and (found[0], found[1].sequence)) == (finding and (finding, sequence))


def test_a_door_that_stays_as_it_was_says_nothing_of_a_command() -> None:
    inherited = after(6, MOVED)
    inherited.kept = '{"driver": [1, ""]}'
    assert finding_of(expectation(), [inherited]) is None


def test_what_is_reported_after_another_command_began_says_nothing() -> None:
    assert finding_of(expectation(until=(7, 5)), [after(6, MOVED)]) == (
        ExpectationFinding.TOO_LATE,
        after(6, MOVED),
    )
    assert finding_of(expectation(until=(7, 6)), [after(6, MOVED)]) == (
        ExpectationFinding.BROKEN,
        after(6, MOVED),
    )

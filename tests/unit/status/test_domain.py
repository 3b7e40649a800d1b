"""The rules of the status room."""

from __future__ import annotations

import pytest

from services.status.domain import (
    HAS_WINDOW,
    LOCK_UNKNOWN,
    LOCKED,
    OPEN,
    OPEN_UNKNOWN,
    PRESENT,
    WINDOW_OPEN,
    Expectation,
    Finding,
    Report,
    base36,
    changes_between,
    finding_of,
    fold,
    is_newer,
    is_stale,
    open_doors,
)

VIN = "KMHSH81C7LU123456"
SHUT = bytes([PRESENT | LOCKED | HAS_WINDOW] * 4 + [PRESENT | LOCKED] * 2)


def doors(driver: int) -> bytes:
    return bytes([driver]) + SHUT[1:]


def report(at: int, sequence: int = 1, boot_id: str = "b", flags: bytes = SHUT, vin: str = VIN) -> Report:
    return Report(vin, at, boot_id, sequence, flags, 1, 0.0, b"")


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


def test_newer_is_later_and_the_sequence_decides_within_a_moment_of_a_boot() -> None:
    known = report(10, sequence=5)
    assert is_newer(report(11, sequence=1, boot_id="other"), known)
    assert is_newer(report(10, sequence=6), known)
    assert not is_newer(report(10, sequence=5), known)
    assert not is_newer(report(10, sequence=9, boot_id="other"), known)
    assert not is_newer(report(9, sequence=9), known)


def test_a_batch_is_folded_in_order_and_keeps_every_change() -> None:
    reports = [
        report(1),
        report(2, flags=doors(PRESENT)),
        report(3, flags=doors(PRESENT | OPEN)),
        report(2, sequence=9, flags=SHUT),
        report(4),
        report(1, vin="KMHSH81C7LU654321"),
    ]
    latest, steps = fold({}, reports)
    assert [(s.report.observed_at_us, [c.kind for c in s.changes]) for s in steps] == [
        (2, ["UNLOCKED"]),
        (3, ["OPENED"]),
        (4, ["CLOSED", "LOCKED"]),
    ]
    assert {vin: r.observed_at_us for vin, r in latest.items()} == {VIN: 4, "KMHSH81C7LU654321": 1}


def test_what_is_known_already_changes_nothing() -> None:
    known = {VIN: report(5, sequence=3)}
    assert fold(known, [report(5, sequence=3, flags=doors(PRESENT)), report(4, flags=doors(PRESENT))]) == (
        {},
        [],
    )


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


def expectation(promised: bytes = bytes([PRESENT | LOCKED, 0, 0, 0, 0, 0])) -> Expectation:
    return Expectation(VIN, "c", 10, "b", 5, promised, 100)


@pytest.mark.parametrize(
    ("seen", "finding", "at"),
    [
        ([], None, 0),
        ([report(9, 9), report(10, 5)], None, 0),
        ([report(10, 6)], Finding.KEPT, 10),
        ([report(20, 1, "other")], Finding.KEPT, 20),
        ([report(20, 6, flags=doors(PRESENT))], Finding.BROKEN, 20),
        ([report(20, 6, flags=doors(PRESENT | LOCKED | OPEN))], Finding.KEPT, 20),
        ([report(30, 7), report(20, 6, flags=doors(PRESENT))], Finding.BROKEN, 20),
        ([report(20, 6, flags=doors(0)), report(30, 7)], Finding.KEPT, 30),
        ([report(20, 6, flags=doors(PRESENT | LOCK_UNKNOWN))], None, 0),
        ([report(20, 6, flags=doors(PRESENT | LOCK_UNKNOWN)), report(30, 7)], Finding.KEPT, 30),
        ([report(100, 6, flags=doors(PRESENT))], Finding.TOO_LATE, 100),
    ],
    ids=[
        "nothing",
        "before the result",
        "the next of its moment",
        "after a reboot",
        "broken",
        "only locks count",
        "the first decides",
        "a door left out says nothing",
        "a lock that nothing senses says nothing",
        "it waits for one that says",
        "too late",
    ],
)
def test_the_next_report_decides(seen: list[Report], finding: Finding | None, at: int) -> None:
    found = finding_of(expectation(), seen)
    assert (found and (found[0], found[1].observed_at_us)) == (finding and (finding, at))

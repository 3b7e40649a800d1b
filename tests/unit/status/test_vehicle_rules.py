"""The contract's rules for status reports, and the code that applies them where protovalidate costs too much."""

from __future__ import annotations

from ecarus.remotecontrol.vehicle.v1 import report_pb2

from services.runtime.vehicle_rules import broken_rule
from services.status.domain import LONGEST_WAIT_MICROSECONDS, ImpossibleReport
from services.status.vehicle_translate import moved_of, report_of
from tests.nonsense import source, spoil

VIN = "KMHSH81C7LU123456"
NOW_US = 1_900_000_000_000_000


def good() -> report_pb2.StatusReport:
    report = report_pb2.StatusReport(
        boot_id="boot", sequence=7, speed_kmh=50.5, reporting_interval_seconds=30
    )
    report.observed_at.seconds = 1_899_999_999
    report.doors.add(door=1, locked=True)
    report.doors.add(door=6, open=True)
    return report


def is_taken(report: report_pb2.StatusReport) -> bool:
    try:
        report_of(VIN, report, b"", NOW_US)
    except ImpossibleReport:
        return False
    return True


def test_what_the_code_takes_breaks_no_rule_and_what_breaks_a_rule_is_not_taken() -> None:
    assert is_taken(good())
    rnd = source(3)
    taken = broken = 0
    for _ in range(3_000):
        report = good()
        spoil(report, rnd)
        rule = broken_rule(report)
        if is_taken(report):
            taken += 1
            assert rule is None, report
        elif rule is not None:
            broken += 1
    assert taken > 300
    assert broken > 300


def result(started_at: int | None, finished_at: int = 1_899_999_999) -> report_pb2.CommandResult:
    made = report_pb2.CommandResult(command_id="cmd-1", outcome=report_pb2.COMMAND_OUTCOME_SUCCEEDED)
    made.finished_at.seconds = finished_at
    if started_at is not None:
        made.started_at.seconds = started_at
    made.doors.add(door=1, succeeded=True)
    return made


def test_a_command_began_at_most_a_while_before_it_ended() -> None:
    status = report_of(VIN, good(), b"", NOW_US)
    began = {}
    for started_at in (None, 1_899_999_990, 2**62, -(2**62), 0, 1_899_999_999 + 5):
        moved = moved_of(result(started_at), status, NOW_US)
        assert moved is not None
        began[started_at] = moved.started_at_us // 1_000_000
    assert began.pop(1_899_999_990) == 1_899_999_990
    assert set(began.values()) == {1_899_999_999}
    assert moved_of(result(None, 2**62), status, NOW_US) is None
    assert LONGEST_WAIT_MICROSECONDS < 2**40

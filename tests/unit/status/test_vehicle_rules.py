"""The contract's rules for status reports, and the code that applies them where protovalidate costs too much."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
from ecarus.remotecontrol.vehicle.v1 import report_pb2

from services.status.adapters.vehicle_translate import ReportOrigin, report_of, reported_actuation_of
from services.status.domain.doors import LOCKED, OPEN, PRESENT
from services.telematics.rules import broken_rule
from tests.support.nonsense import source, spoil

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.status.domain.doors import Report

VIN = "KMHSH81C7LU123456"
NOW_US = 1_900_000_000_000_000


def good() -> report_pb2.StatusReport:
    report = report_pb2.StatusReport(
        boot_id="boot", sequence=7, speed_kmh=50.5, reporting_interval_seconds=30
    )
    report.observed_at.seconds = 1_899_999_999
    report.doors.add(door=1, locked=True, open=False)
    report.doors.add(door=6, locked=False, open=True)
    return report


def taken(report: report_pb2.StatusReport) -> Report:
    return report_of(VIN, report, report.SerializeToString(), ReportOrigin(b"e", 1, 1, NOW_US))


def test_what_breaks_a_rule_is_cut_and_nothing_else_is() -> None:
    assert taken(good()).cut == ()
    rnd = source(3)
    whole = cut = 0
    for _ in range(3_000):
        report = good()
        spoil(report, rnd)
        rule = broken_rule(report)
        made = taken(report)
        assert rule is None or made.cut, rule
        # Of a time with impossible nanoseconds the rules of the contract can say nothing.
        assert rule is not None or made.cut in {(), ("observed_at",)}, report
        assert broken_rule(report_pb2.StatusReport.FromString(made.payload)) is None
        assert made.observed_at_us <= made.received_at_us
        whole, cut = whole + (rule is None), cut + (rule is not None)
    assert whole > 300
    assert cut > 300


@pytest.mark.parametrize(
    ("change", "cut"),
    [
        (lambda r: r.ClearField("observed_at"), "observed_at"),
        (lambda r: setattr(r, "boot_id", ""), "boot_id"),
        (lambda r: setattr(r, "boot_id", "x" * 65), "boot_id"),
        (lambda r: setattr(r, "sequence", 2**63), "sequence"),
        (lambda r: setattr(r, "speed_kmh", math.nan), "speed_kmh"),
        (lambda r: setattr(r, "speed_kmh", -0.1), "speed_kmh"),
        (lambda r: setattr(r, "reporting_interval_seconds", -1), "reporting_interval_seconds"),
        (lambda r: setattr(r, "ignition", 4), "ignition"),
        (lambda r: setattr(r, "gear", -1), "gear"),
        (lambda r: r.doors.add(door=7), "doors"),
        (lambda r: r.doors.add(door=0), "doors"),
        (lambda r: r.doors.add(door=6, locked=False, open=True), "doors"),
    ],
)
def test_one_bad_member_costs_itself(change: Callable[[report_pb2.StatusReport], object], cut: str) -> None:
    report = good()
    change(report)
    made = taken(report)
    assert made.cut == (cut,)
    assert (made.doors[0], made.doors[5]) == (PRESENT | LOCKED, PRESENT | OPEN)


def test_a_door_that_is_said_to_be_both_is_not_understood() -> None:
    report = good()
    report.doors.add(door=1, locked=False)
    made = taken(report)
    assert made.cut == ("doors",)
    assert (made.doors[0], made.doors[5]) == (0, PRESENT | OPEN)


def test_a_clock_that_is_ahead_costs_nothing_and_is_not_shown() -> None:
    report = good()
    report.observed_at.seconds += 3_600
    made = taken(report)
    assert (made.cut, made.observed_at_us) == ((), NOW_US)


@pytest.mark.parametrize(("said", "accepted"), [(None, None), (3, 3), (7, None), (2**64 - 1, None)])
def test_a_command_began_before_it_ended(said: int | None, accepted: int | None) -> None:
    result = report_pb2.CommandResult(command_id="cmd-1", outcome=report_pb2.COMMAND_OUTCOME_SUCCEEDED)
    result.doors.add(door=1, succeeded=True)
    if said is not None:
        result.began_after_sequence = said
    moved = reported_actuation_of(result, taken(good()))
    assert moved is not None
    assert moved.began_after == accepted

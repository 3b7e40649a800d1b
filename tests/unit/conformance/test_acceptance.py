"""What the kit's cloud takes of a unit is what the product takes: nothing that the product refuses is certified."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from ecarus.remotecontrol.vehicle.v1 import report_pb2, session_pb2

from conformance.acceptance import unacceptable
from protocol.cloud_side import IssuedOrder, OpenedAnswer
from protocol.domains import Domain
from protocol.reports import OpenedReport
from protocol.subjects import EventKind
from services.command.adapters import vehicle_translate as commands
from services.command.domain.commands import FailureReason
from services.command.domain.reports import ReportedResult
from services.config.adapters import translate as config
from services.diagnostics.adapters import translate as diagnostics
from services.status.adapters import vehicle_translate as status
from tests.support.protocol_harness import VIN

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.conformance.conftest import Kit


def status_report(**members: Any) -> report_pb2.StatusReport:
    report = report_pb2.StatusReport(**{"boot_id": "boot-1", "sequence": 1, **members})
    report.observed_at.GetCurrentTime()
    if "doors" not in members:
        report.doors.add(door=1, locked=True)
    return report


def self_check(**members: Any) -> report_pb2.DiagnosticsReport:
    report = report_pb2.DiagnosticsReport(**{"boot_id": "boot-1", "sequence": 1, **members})
    report.observed_at.GetCurrentTime()
    if "components" not in members:
        report.components.add(**component())
    return report


def component(**members: Any) -> dict[str, Any]:
    return {"component_id": "lock_01", "name": "Lock", "condition": 1, "health": 90, **members}


def result(outcome: int, *doors: tuple[bool, int], fault: int = 0) -> report_pb2.CommandResult:
    made = report_pb2.CommandResult(command_id="cmd-1", outcome=outcome, fault=fault)
    for nth, (succeeded, why) in enumerate(doors, start=1):
        made.doors.add(door=nth, succeeded=succeeded, fault=why)
    return made


GOOD: list[Any] = [
    status_report(),
    status_report(speed_kmh=1_000, ignition=3, gear=4, reporting_interval_seconds=86_400, boot_id="b" * 64),
    self_check(),
    status_report(doors=[]),
    self_check(components=[]),
    self_check(components=[component(health=0, error_codes=["B1A01"] * 8, name="n" * 64)]),
    result(1, (True, 0)),
    result(2, (True, 0), (False, 4)),
    result(3, (False, 4), fault=4),
    result(4, fault=3),
    result(5),
    report_pb2.CancelResult(cancel_id="can-1", command_id="cmd-1", outcome=1),
    report_pb2.ConfigReport(version=1),
    report_pb2.Hello(config_version=1),
    report_pb2.CommandReceived(command_id="cmd-1"),
    session_pb2.OrderRefused(fault=11),
]
BAD_REPORTS: list[Any] = [
    status_report(boot_id=""),
    status_report(boot_id="b" * 65),
    status_report(sequence=2**63),
    status_report(speed_kmh=float("nan")),
    status_report(speed_kmh=-1),
    status_report(speed_kmh=1_001),
    status_report(reporting_interval_seconds=-1),
    status_report(reporting_interval_seconds=86_401),
    status_report(ignition=4),
    status_report(gear=5),
    status_report(doors=[{"door": 7}]),
    status_report(doors=[{"door": 0}]),
    status_report(doors=[{"door": 1}, {"door": 1}]),
    self_check(boot_id=""),
    self_check(sequence=2**63),
    self_check(components=[component(), component()]),
    self_check(components=[component(component_id=str(nth)) for nth in range(33)]),
    *(
        self_check(components=[component(**mutation)])
        for mutation in (
            {"component_id": ""},
            {"component_id": "c" * 65},
            {"name": "n" * 65},
            {"component_id": "line\nbreak"},
            {"condition": 0},
            {"condition": 9},
            {"health": 101},
            {"health": -1},
            {"error_codes": ["B1A01"] * 9},
            {"error_codes": [""]},
            {"last_maintenance": {"nanos": -1}},
        )
    ),
]
BAD_ANSWERS: list[Any] = [
    result(0),
    result(9),
    result(1),
    result(1, (True, 0), (False, 4)),
    result(2, (True, 0)),
    result(2, (False, 4)),
    result(3, (False, 4)),
    result(4),
    result(4, fault=99),
    result(1, *[(True, 0)] * 6),
    result(3, (False, 0), fault=4),
    report_pb2.CancelResult(cancel_id="can-1", command_id="cmd-1"),
    report_pb2.ConfigReport(version=-1),
    report_pb2.ConfigReport(version=1, applied_at={"seconds": 2**40}),
    report_pb2.Hello(config_version=1_000_000_001),
    report_pb2.Hello(said_at={"nanos": -1}),
]


@pytest.mark.parametrize("message", GOOD, ids=lambda message: type(message).__name__)
def test_what_is_right_is_taken(message: Any) -> None:
    assert unacceptable(message) == []


@pytest.mark.parametrize("message", [*BAD_REPORTS, *BAD_ANSWERS], ids=lambda message: type(message).__name__)
def test_what_is_not_is_named(message: Any) -> None:
    assert unacceptable(message)


@pytest.mark.parametrize("seconds", [-1, 2**40])
def test_a_report_of_no_time_is_named(seconds: int) -> None:
    for report in (status_report(), self_check()):
        report.observed_at.seconds = seconds
        assert unacceptable(report)


def test_an_undated_report_is_named() -> None:
    for report in (status_report(), self_check()):
        report.ClearField("observed_at")
        assert unacceptable(report)


def test_a_result_is_no_better_than_its_status() -> None:
    message = result(1, (True, 0))
    message.status.CopyFrom(status_report(boot_id=""))
    assert unacceptable(message) == ["boot_id: does not match regex pattern `^[ -~]{1,64}$`"]


def taken_by_the_product(message: Any) -> bool:
    """Whether the service that reads it takes all of it."""
    readers: dict[type, Callable[[Any], object]] = {
        report_pb2.StatusReport: lambda one: (
            status.report_of(
                VIN, one, one.SerializeToString(), status.ReportOrigin(b"e", 1, 1, time.time_ns() // 1_000)
            ).cut
        ),
        report_pb2.DiagnosticsReport: lambda one: (
            diagnostics.self_check(
                OpenedReport(VIN, Domain.DIAGNOSTICS, b"e", 1, one.SerializeToString()), datetime.now(UTC)
            ).cut
        ),
        report_pb2.Hello: lambda one: config.hello_of(
            session_pb2.SessionInfo(vin=VIN, message_id="msg-1", hello=one), datetime.now(UTC)
        ),
        report_pb2.ConfigReport: lambda one: config.answer_reader(
            session_pb2.SignedAnswer(vin=VIN, message_id="msg-1", config=one), datetime.now(UTC)
        ),
    }
    issued = IssuedOrder(VIN, Domain.COMMAND, "cmd-1", "cmd-1", b"", 0)
    reader = readers.get(
        type(message), lambda one: commands.report(OpenedAnswer("msg-1", issued, one), datetime.now(UTC))
    )
    try:
        taken = reader(type(message).FromString(message.SerializeToString()))
    except ValueError:
        return False
    if isinstance(taken, ReportedResult):
        return taken.ending.failure_reason is not FailureReason.INTERRUPTED and all(
            door.success or door.failure_reason is not None for door in taken.ending.door_results
        )
    return taken in (None, ()) or not isinstance(taken, tuple)


@pytest.mark.parametrize("message", [*GOOD, *BAD_REPORTS, *BAD_ANSWERS], ids=lambda one: type(one).__name__)
def test_nothing_that_the_product_refuses_is_certified(message: Any) -> None:
    assert taken_by_the_product(message) or unacceptable(message)


def test_the_cloud_says_what_is_wrong_and_files_it_all_the_same(kit: Kit) -> None:
    received = kit.cloud.receive(EventKind.STATUS, kit.car.side.seal_report(status_report(boot_id="")).data)
    assert received is not None
    assert kit.cloud.rejected == ["evt.status: boot_id: does not match regex pattern `^[ -~]{1,64}$`"]

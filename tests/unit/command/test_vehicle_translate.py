"""What vehicles say, and what is not believed of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from ecarus.remotecontrol.vehicle.v1 import report_pb2, session_pb2

from protocol.cloud_side import IssuedOrder, OpenedAnswer
from protocol.domains import Domain
from services.command.adapters.vehicle_translate import InconsistentReportError, report
from services.command.domain.commands import CommandAction, DoorAction, Ending, FailureReason, Mode, Status
from services.command.domain.endings import held_against
from services.command.domain.reports import CancellationDecision, CommandReceipt, OrderRefusal, ReportedResult

if TYPE_CHECKING:
    from google.protobuf.message import Message

NOW = datetime(2026, 1, 12, 14, 30, tzinfo=UTC)
OPEN, STUCK = (1, True, False, 0), (5, False, True, report_pb2.FAULT_CODE_ACTUATOR)


def result(outcome: str, *doors: tuple[int, bool, bool, int], fault: str = "") -> report_pb2.CommandResult:
    made = report_pb2.CommandResult(
        command_id="cmd-1", outcome=report_pb2.CommandOutcome.Value(f"COMMAND_OUTCOME_{outcome}")
    )
    if fault:
        made.fault = report_pb2.FaultCode.Value(f"FAULT_CODE_{fault}")
    for door, succeeded, locked, why in doors:
        made.doors.add(door=door, succeeded=succeeded, locked=locked, fault=why)
    made.finished_at.FromDatetime(NOW)
    return made


ISSUED = IssuedOrder("KMHSH81C7LU123456", Domain.COMMAND, "cmd-1", "cmd-1", bytes(32), 0)


def told(message: Any, issued: IssuedOrder = ISSUED) -> Any:
    return report(OpenedAnswer("m-1", issued, message), NOW)


def ending(message: report_pb2.CommandResult) -> Ending:
    said = told(message)
    assert isinstance(said, ReportedResult)
    return said.ending


def test_a_success_names_its_doors() -> None:
    end = ending(result("SUCCEEDED", OPEN))
    assert (end.status, end.failure_reason, [d.door_id for d in end.door_results]) == (
        Status.SUCCESS,
        None,
        ["driver"],
    )


def test_a_door_whose_lock_nothing_senses_is_neither_locked_nor_unlocked() -> None:
    made = result("SUCCEEDED", OPEN)
    made.doors[0].ClearField("locked")
    [door] = ending(made).door_results
    assert (door.success, door.locked) == (True, None)


def test_a_refusal_that_never_began_has_its_reason_and_guidance() -> None:
    end = ending(result("REFUSED", (1, False, True, 3), fault="ENGINE_ON"))
    assert (end.status, end.failure_reason) == (Status.FAILED, FailureReason.ENGINE_ON)
    assert end.guidance


def test_some_moved_and_some_did_not() -> None:
    end = ending(result("PARTIAL", OPEN, STUCK))
    assert (end.status, end.failure_reason) == (Status.FAILED, FailureReason.PARTIAL_SUCCESS)
    assert end.message == "Moved: driver. Did not move: trunk."


def test_what_arrived_too_late_timed_out_and_did_not_act() -> None:
    end = ending(result("REFUSED", fault="EXPIRED"))
    assert (end.status, end.failure_reason, end.may_have_succeeded) == (
        Status.TIMEOUT,
        FailureReason.TTL_EXPIRED,
        False,
    )


def test_a_restart_in_the_middle_of_a_long_outage_is_told() -> None:
    message = result("FAILED", OPEN, (2, False, True, 7), fault="INTERRUPTED")
    message.started_at.FromJsonString("2026-01-01T00:00:00Z")
    assert ending(message).failure_reason is FailureReason.INTERRUPTED


def test_withdrawn_in_time_is_cancelled() -> None:
    assert ending(result("CANCELLED", (1, False, True, 9), fault="CANCELLED")).status is Status.CANCELLED


@pytest.mark.parametrize(
    ("outcome", "too_late", "ends"),
    [("WILL_NOT_ACT", False, True), ("STOPPED", False, False), ("TOO_LATE", True, False)],
)
def test_the_word_on_a_cancellation(outcome: str, too_late: bool, ends: bool) -> None:
    number = report_pb2.CancelOutcome.Value(f"CANCEL_OUTCOME_{outcome}")
    said = told(report_pb2.CancelResult(cancel_id="x", command_id="cmd-1", outcome=number))
    assert isinstance(said, CancellationDecision)
    assert (said.too_late, said.ending is not None) == (too_late, ends)


def test_a_confirmation() -> None:
    assert isinstance(told(report_pb2.CommandReceived(command_id="cmd-1")), CommandReceipt)


@pytest.mark.parametrize(
    ("fault", "again"),
    [("WRONG_EPOCH", True), ("UNKNOWN_KEY", True), ("COUNTER_NOT_NEW", True), ("ROLE_NOT_ALLOWED", False)],
)
def test_a_refused_order_names_what_was_refused(fault: str, again: bool) -> None:
    number = session_pb2.ProtocolFault.Value(f"PROTOCOL_FAULT_{fault}")
    issued = IssuedOrder(ISSUED.vin, Domain.CANCEL, "cancel-1", "cmd-1", bytes(32), 0)
    said = told(session_pb2.OrderRefused(fault=number), issued)
    assert said == OrderRefusal("m-1", ISSUED.vin, "cmd-1", "cancel-1", fault, again, NOW)


@pytest.mark.parametrize(
    "message",
    [
        report_pb2.CancelResult(cancel_id="x", command_id="cmd-1"),
        report_pb2.ConfigReport(),
    ],
    ids=str,
)
def test_what_does_not_fit_together_is_not_understood(message: Message) -> None:
    with pytest.raises(InconsistentReportError):
        told(message)


UNKNOWN_OUTCOME = result("SUCCEEDED", OPEN)
UNKNOWN_OUTCOME.outcome = 99  # type: ignore[assignment]  # of a newer vehicle


@pytest.mark.parametrize(
    ("message", "doors"),
    [
        (result("SUCCEEDED"), []),
        (result("SUCCEEDED", OPEN, STUCK), ["driver", "trunk"]),
        (result("UNSPECIFIED", OPEN), ["driver"]),
        (UNKNOWN_OUTCOME, ["driver"]),
        (result("FAILED", STUCK), ["trunk"]),
        (result("REFUSED"), []),
        (result("PARTIAL", OPEN), ["driver"]),
        (result("PARTIAL", STUCK), ["trunk"]),
        (result("SUCCEEDED", (6, True, True, 0)), []),
        (result("SUCCEEDED", OPEN, (99, True, True, 0)), ["driver"]),
    ],
    ids=str,
)
def test_a_result_that_is_not_clear_ends_the_command_and_claims_nothing(
    message: report_pb2.CommandResult, doors: list[str]
) -> None:
    end = ending(message)
    assert (end.status, end.failure_reason) == (Status.FAILED, FailureReason.INTERRUPTED)
    assert end.may_have_succeeded
    assert [door.door_id for door in end.door_results] == doors


def test_a_door_that_failed_without_a_fault_is_its_actuators() -> None:
    end = ending(result("FAILED", (1, False, True, 0), fault="ACTUATOR"))
    assert end.door_results[0].failure_reason is FailureReason.ACTUATOR_FAULT


@pytest.mark.parametrize(
    ("action", "locked", "expected"),
    [
        (CommandAction.LOCK, [True, True], (Status.SUCCESS, None)),
        (CommandAction.UNLOCK, [False, False], (Status.SUCCESS, None)),
        (CommandAction.LOCK, [True, False], (Status.FAILED, FailureReason.PARTIAL_SUCCESS)),
        (CommandAction.LOCK, [False, False], (Status.FAILED, FailureReason.ACTUATOR_FAULT)),
        (CommandAction.UNLOCK, [True, True], (Status.FAILED, FailureReason.ACTUATOR_FAULT)),
    ],
)
def test_a_success_whose_doors_stand_otherwise_is_none(
    action: CommandAction, locked: list[bool], expected: tuple[Status, FailureReason | None]
) -> None:
    said = ending(result("SUCCEEDED", (1, True, locked[0], 0), (5, True, locked[1], 0)))
    end = held_against(DoorAction(action, ("driver", "trunk"), Mode.NORMAL), said)
    assert (end.status, end.failure_reason) == expected
    wanted = action is CommandAction.LOCK
    assert [door.success for door in end.door_results] == [door is wanted for door in locked]


def test_what_a_vehicle_wrote_is_one_short_line() -> None:
    refused = result("REFUSED", (1, False, True, 3), fault="ENGINE_ON")
    refused.guidance = "Stop\nthe \u202eenigne\u200b. " + "x" * 5_000
    end = ending(refused)
    assert end.guidance is not None
    assert end.guidance.startswith("Stop the enigne . xxx")
    assert len(end.guidance) == 300
    done = result("SUCCEEDED", OPEN)
    done.guidance = "\u200b\n"
    assert ending(done).message == "Done, as the vehicle reports: driver."


@pytest.mark.parametrize("number", [0, 99, -1])
def test_a_fault_whose_number_is_not_known_ends_the_command_all_the_same(number: int) -> None:
    refused = told(session_pb2.OrderRefused(fault=number))  # type: ignore[arg-type]  # any number
    assert isinstance(refused, OrderRefusal)
    assert (refused.fault, refused.again) == ("UNSPECIFIED", False)

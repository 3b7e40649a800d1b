"""Between the vehicle's messages and this service's own words, both ways."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ecarus.remotecontrol.access.v1 import grant_pb2
from ecarus.remotecontrol.access.v1 import order_signing_service_pb2 as signing
from ecarus.remotecontrol.door.v1 import door_command_pb2
from ecarus.remotecontrol.door.v1.door_command_pb2 import CommandSource
from ecarus.remotecontrol.door.v1.door_status_pb2 import IgnitionStatus
from ecarus.remotecontrol.vehicle.v1 import body_pb2, command_pb2, report_pb2, session_pb2

from protocol.faults import SYNCHRONISATION, Fault
from protocol.subjects import is_vin
from services.command.domain.commands import (
    ALL_DOORS,
    LOCKABLE_DOORS,
    AdvisoryState,
    Command,
    CommandAction,
    CommandRightEnded,
    Confirmation,
    DoorResult,
    Ending,
    FailureReason,
    Mode,
    ObservedOutcome,
    Requester,
    Status,
    StatusCheck,
)
from services.command.domain.endings import GUIDANCE, arrived_too_late, partial_success, unclear
from services.command.domain.own_cancellations import superseded_id, taken_back_id
from services.command.domain.reports import (
    CancellationDecision,
    CommandReceipt,
    OrderRefusal,
    Report,
    ReportedResult,
)
from services.platform.free_text import readable

if TYPE_CHECKING:
    from collections.abc import Collection

    from ecarus.remotecontrol.door.v1 import room_event_pb2

    from protocol.cloud_side import OpenedAnswer
    from services.command.domain.commands import Cancellation, RequestedOrder
    from services.telematics.order_mac import OrderMac

_ACTIONS = {
    CommandAction.UNLOCK: command_pb2.DOOR_ACTION_UNLOCK,
    CommandAction.LOCK: command_pb2.DOOR_ACTION_LOCK,
}
_MODES = {
    Mode.NORMAL: command_pb2.DOOR_ACTION_MODE_NORMAL,
    Mode.EMERGENCY: command_pb2.DOOR_ACTION_MODE_EMERGENCY,
    Mode.SECURE: command_pb2.DOOR_ACTION_MODE_SECURE,
}
_DOORS = dict(
    zip(
        LOCKABLE_DOORS,
        (
            body_pb2.DOOR_ID_DRIVER,
            body_pb2.DOOR_ID_PASSENGER,
            body_pb2.DOOR_ID_REAR_LEFT,
            body_pb2.DOOR_ID_REAR_RIGHT,
            body_pb2.DOOR_ID_TRUNK,
        ),
        strict=True,
    )
)
_KNOWN_FAULTS = frozenset(int(fault) for fault in Fault)
_DOOR_NAMES = {number: name for name, number in _DOORS.items()}
_FAULTS = {
    report_pb2.FAULT_CODE_VEHICLE_MOVING: FailureReason.VEHICLE_MOVING,
    report_pb2.FAULT_CODE_DOOR_OPEN: FailureReason.DOOR_OPEN,
    report_pb2.FAULT_CODE_ENGINE_ON: FailureReason.ENGINE_ON,
    report_pb2.FAULT_CODE_ACTUATOR: FailureReason.ACTUATOR_FAULT,
    report_pb2.FAULT_CODE_LOW_BATTERY: FailureReason.LOW_BATTERY,
    report_pb2.FAULT_CODE_EXPIRED: FailureReason.TTL_EXPIRED,
    report_pb2.FAULT_CODE_INTERRUPTED: FailureReason.INTERRUPTED,
    report_pb2.FAULT_CODE_NOT_SUPPORTED: FailureReason.NOT_SUPPORTED,
    report_pb2.FAULT_CODE_CANCELLED: FailureReason.CANCELLED,
    report_pb2.FAULT_CODE_REMOTE_ACCESS_DISABLED: FailureReason.REMOTE_ACCESS_DISABLED,
}


class InconsistentReportError(ValueError):
    """A report whose parts do not fit together; the text says why."""


def door_command(command: Command) -> command_pb2.DoorCommand:
    """Return a command as the vehicle gets it."""
    order = command.door_action
    message = command_pb2.DoorCommand(
        command_id=command.command_id,
        correlation_id=command.correlation_id,
        action=_ACTIONS[order.action],
        doors=[_DOORS[door] for door in order.target_doors if door in _DOORS],
        all_doors="all" in order.target_doors,
        mode=_MODES[order.mode],
        subject=command.requester.subject,
        actor=command.requester.principal,
    )
    message.issued_at.FromDatetime(command.accepted_at)
    message.expires_at.FromDatetime(command.expires_at)
    return message


def cancel_command(cancellation: Cancellation) -> command_pb2.CancelCommand:
    """Return a cancellation as the vehicle gets it."""
    return command_pb2.CancelCommand(
        cancel_id=cancellation.cancel_id,
        command_id=cancellation.command_id,
        reason=cancellation.cancel_request.reason,
        force=cancellation.force,
    )


def requested_command(command: Command, mac: OrderMac) -> signing.RequestedOrder:
    """Return a command as the signer gets it, stamped."""
    requested = signing.RequestedOrder(
        vin=command.vin, capability=command.requester.proof, door=door_command(command)
    )
    requested.asked_at.FromDatetime(command.accepted_at)
    requested.mac = mac.of(requested)
    return requested


def requested_cancellation(cancellation: Cancellation, mac: OrderMac) -> signing.RequestedOrder:
    """Return a cancellation as the signer gets it, stamped."""
    requested = signing.RequestedOrder(
        vin=cancellation.vin,
        capability=cancellation.requester.proof,
        cancel=cancel_command(cancellation),
    )
    requested.asked_at.FromDatetime(cancellation.requested_at)
    requested.mac = mac.of(requested)
    return requested


def requested_taking_back(command: RequestedOrder, at: datetime, mac: OrderMac) -> signing.RequestedOrder:
    """Return the cloud's own cancellation of a command as the signer gets it, stamped. Nobody asks for it: that
    the right to the command has ended, the signer finds out.
    """
    requested = signing.RequestedOrder(
        vin=command.vin,
        withdraws=signing.RequestedOrder.FromString(command.order),
        cancel=command_pb2.CancelCommand(
            cancel_id=taken_back_id(command.command_id), command_id=command.command_id, reason="Right ended"
        ),
    )
    requested.asked_at.FromDatetime(at)
    requested.mac = mac.of(requested)
    return requested


def requested_superseding(unlock: RequestedOrder, lock: Command, mac: OrderMac) -> signing.RequestedOrder:
    """Return the cloud's own cancellation of an unlock as the signer gets it, stamped. The lock that takes its
    place is the proof. `force`: where the vehicle has begun, it stops between doors.
    """
    requested = signing.RequestedOrder(
        vin=unlock.vin,
        withdraws=signing.RequestedOrder.FromString(unlock.order),
        superseded_by=requested_command(lock, mac),
        cancel=command_pb2.CancelCommand(
            cancel_id=superseded_id(unlock.command_id),
            command_id=unlock.command_id,
            reason="Superseded by a lock",
            force=True,
        ),
    )
    requested.asked_at.FromDatetime(lock.accepted_at)
    requested.mac = mac.of(requested)
    return requested


def right_ended(message: grant_pb2.GrantRevoked) -> CommandRightEnded | None:
    """Return which commands the end of a right may concern; None where it concerns none: what agents asked for because
    of a case goes on when that is closed. Raises ValueError for what names nothing that could end.
    """
    if message.kind == grant_pb2.ENDED_RIGHT_CASE:
        return None
    if message.kind == grant_pb2.ENDED_RIGHT_CREDENTIAL:
        return CommandRightEnded(None, None)
    if not message.principal or (message.vin and not is_vin(message.vin)):
        raise ValueError("a right of nobody, or on no vehicle")
    return CommandRightEnded(message.principal, message.vin or None)


def report(opened: OpenedAnswer, now: datetime, fitted: Collection[str] = LOCKABLE_DOORS) -> Report:
    """Return what a vehicle's answer says of a command, of doors but those that are `fitted` nothing. Raises
    InconsistentReportError.
    """
    issued, answer = opened.issued, opened.answer
    match answer:
        case report_pb2.CommandReceived():
            return CommandReceipt(opened.message_id, issued.vin, answer.command_id, now)
        case report_pb2.CommandResult():
            return ReportedResult(
                opened.message_id, issued.vin, answer.command_id, _ending(answer, now, fitted)
            )
        case report_pb2.CancelResult():
            return _cancel_decided(opened, answer, now)
        case session_pb2.OrderRefused():
            # A number that is not known here is a fault all the same, only an unspecified one.
            fault = Fault(answer.fault) if answer.fault in _KNOWN_FAULTS else None
            return OrderRefusal(
                opened.message_id,
                issued.vin,
                issued.command_id,
                issued.order_id,
                fault.name if fault else "UNSPECIFIED",
                again=fault in SYNCHRONISATION,
                at=now,
                signed_at=datetime.fromtimestamp(issued.issued_at_millis / 1_000, UTC),
            )
        case _:
            raise InconsistentReportError("settings do not belong on this subject")


def observed(message: room_event_pb2.CommandVerdicts) -> list[ObservedOutcome]:
    """Return what was observed after commands had succeeded."""
    return [
        ObservedOutcome(
            verdict.vin,
            verdict.command_id,
            Confirmation(
                verdict.confirmation.state == door_command_pb2.Confirmation.CONFIRMED,
                verdict.confirmation.time.ToDatetime(tzinfo=UTC),
                tuple((door.door_id, door.locked) for door in verdict.confirmation.doors),
            ),
        )
        for verdict in message.verdicts
    ]


def _cancel_decided(
    opened: OpenedAnswer, message: report_pb2.CancelResult, now: datetime
) -> CancellationDecision:
    if message.outcome == report_pb2.CANCEL_OUTCOME_UNSPECIFIED:
        raise InconsistentReportError("a cancellation without an outcome")
    will_not_act = message.outcome == report_pb2.CANCEL_OUTCOME_WILL_NOT_ACT
    return CancellationDecision(
        opened.message_id,
        opened.issued.vin,
        message.command_id,
        message.cancel_id,
        now,
        too_late=message.outcome == report_pb2.CANCEL_OUTCOME_TOO_LATE,
        ending=_cancelled(now) if will_not_act else None,
    )


def _cancelled(now: datetime) -> Ending:
    return Ending(
        Status.CANCELLED, now, "Cancelled: the vehicle will not act on it.", may_have_succeeded=False
    )


def _ending(result: report_pb2.CommandResult, now: datetime, fitted: Collection[str]) -> Ending:
    """Return how the command ended, by the vehicle's signed response. The cloud's clock dates it, as it dated the
    beginning.
    """
    told = [each for each in result.doors if _DOOR_NAMES.get(each.door, ALL_DOORS) in {ALL_DOORS, *fitted}]
    doors = tuple(_door_result(outcome) for outcome in told if outcome.door in _DOOR_NAMES)
    fault = _FAULTS.get(result.fault)
    whole = bool(doors) and len(doors) == len(told) and all(door.success for door in doors)
    match result.outcome:
        case report_pb2.COMMAND_OUTCOME_SUCCEEDED if whole:
            # Which doors "all" meant is the vehicle's to say.
            names = ", ".join(door.door_id for door in doors)
            message = readable(result.guidance) or f"Done, as the vehicle reports: {names}."
            return Ending(Status.SUCCESS, now, message, door_results=doors)
        case report_pb2.COMMAND_OUTCOME_CANCELLED:
            return _cancelled(now)
        case report_pb2.COMMAND_OUTCOME_PARTIAL:
            return partial_success(now, doors, readable(result.guidance))
        case report_pb2.COMMAND_OUTCOME_REFUSED if fault is FailureReason.TTL_EXPIRED:
            return arrived_too_late(now)
        case report_pb2.COMMAND_OUTCOME_FAILED | report_pb2.COMMAND_OUTCOME_REFUSED if fault is not None:
            reason, message = fault, "The vehicle did not carry it out."
        case _:
            return unclear(now, doors)
    guidance = readable(result.guidance) or GUIDANCE[reason]
    # What the vehicle signs as refused moved nothing.
    moved_nothing = False if result.outcome == report_pb2.COMMAND_OUTCOME_REFUSED else None
    return Ending(Status.FAILED, now, message, reason, guidance, moved_nothing, door_results=doors)


def _door_result(outcome: report_pb2.DoorOutcome) -> DoorResult:
    fault = _FAULTS.get(outcome.fault, FailureReason.ACTUATOR_FAULT)
    locked = outcome.locked if outcome.HasField("locked") else None
    failed_for = None if outcome.succeeded else fault
    return DoorResult(_DOOR_NAMES[outcome.door], outcome.succeeded, locked, failed_for)


def status_checks(message: room_event_pb2.StatusChecks) -> list[StatusCheck]:
    """Look at the door status."""
    return [
        StatusCheck(
            check_id=check.check_id,
            vin=check.vin,
            at=check.time.ToDatetime(tzinfo=UTC),
            requester=Requester(check.actor_id, check.user_id, CommandSource.Value.Name(check.source)),
            correlation_id=check.correlation_id,
            seconds=check.execution_time,
        )
        for check in message.checks
    ]


def advisory_state(message: room_event_pb2.VehicleCondition) -> AdvisoryState:
    """Return what a vehicle said moments ago that may stand in a command's way."""
    return AdvisoryState(
        observed_at=message.observed_at.ToDatetime(tzinfo=UTC),
        open_doors=frozenset(message.open_doors),
        engine_on=message.ignition_status == IgnitionStatus.ON,
        speed_kmh=message.speed_kmh,
        asleep=message.asleep,
        lost=message.lost,
        remote_access_disabled=message.remote_access_disabled,
    )

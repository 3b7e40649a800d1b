"""The life of a command as rules: pure functions of how it stands, that return how it stands then and what happened."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from services.command.domain.changes import (
    CancellationEnded,
    CancellationState,
    CommandEnded,
    CommandReceived,
    CommandState,
    CommandSuperseded,
    CommandTakenBack,
    Decision,
    InactionProven,
    LateResultKept,
    OutcomeContradicted,
    ReportRejection,
    WakeUpCounted,
    WakeUpNoted,
)
from services.command.domain.commands import CommandAction, FailureReason, LateResult, PersonRole, Status
from services.command.domain.endings import arrived_too_late, held_against, right_ended_on_the_way, superseded
from services.command.domain.own_cancellations import superseded_id, taken_back_id
from services.command.domain.reports import (
    EXPIRED,
    CancellationDecision,
    CommandReceipt,
    OrderRefusal,
    ReportedResult,
)
from services.command.domain.wake_budget import WakeUp, may_wake

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from services.command.domain.commands import Command, Ending, ObservedOutcome
    from services.command.domain.reports import Report

MAY_STILL_SUCCEED = (Status.PENDING, Status.IN_PROGRESS, Status.SUCCESS)
"""An outcome is kept of these: what is observed comes by another way than the result, and may come first."""


def receive(state: CommandState | None, report: Report) -> Decision | ReportRejection:
    """Return what a vehicle's report makes of the command that it names, or why it cannot be true.

    The same report again makes nothing more of it.
    """
    if state is None:
        return ReportRejection("about a command that was never given")
    if state.command.vin != report.vin:
        return ReportRejection("about another vehicle's command")
    match report:
        case CommandReceipt():
            return _received(state, report.at)
        case ReportedResult():
            return _with_result(state, report.ending)
        case CancellationDecision():
            return _with_answer(state, report)
        case OrderRefusal():
            return _never_taken(state, report) if _proves(state.command, report) else Decision(state)


def reads_cancellations(command: Command, report: Report) -> bool:
    """Return whether what `receive` makes of this report depends on the command's cancellations."""
    match report:
        case CommandReceipt():
            return False
        case CancellationDecision():
            return True
        case ReportedResult():
            return not command.status.final
        case OrderRefusal():
            return not command.status.final and _proves(command, report)


def end(
    state: CommandState, ending: Ending, *, unless_taken_over: bool = False, by_vehicle: bool = False
) -> Decision:
    """Return the command with its final status, which it gets once; its open cancellations end with it.

    What the vehicle tells the end of (`by_vehicle`), the vehicle has received. With `unless_taken_over` nothing
    happens to a command that another process may have handed over.
    """
    command = state.command
    if state.final or (unless_taken_over and command.taken_over):
        return Decision(state)
    received_at = command.received_at or (ending.finished_at if by_vehicle else None)
    status, reason = _fate_of_cancellations(ending)
    return Decision(
        CommandState(
            replace(command, status=ending.status, ending=ending, received_at=received_at),
            tuple(replace(each, unanswered=False) for each in state.cancellations),
        ),
        (
            CommandEnded(ending, by_vehicle, unless_taken_over),
            *(
                CancellationEnded(each.cancel_id, each.requested_at, status, ending.finished_at, reason)
                for each in state.cancellations
                if each.unanswered
            ),
        ),
    )


def _fate_of_cancellations(ending: Ending) -> tuple[Status, FailureReason | None]:
    """Return how cancellations of a command end that ended so: what came to nothing was too late."""
    reasons = {ending.failure_reason, *(door.failure_reason for door in ending.door_results)}
    if ending.status is Status.CANCELLED or FailureReason.CANCELLED in reasons:
        return Status.SUCCESS, None
    if ending.failure_reason is FailureReason.GRANT_REVOKED:
        return Status.SUCCESS, None
    if ending.status is Status.TIMEOUT:
        return Status.TIMEOUT, FailureReason.TTL_EXPIRED
    return Status.FAILED, FailureReason.TOO_LATE


def _received(state: CommandState, at: datetime) -> Decision:
    if state.final or state.command.received_at is not None:
        return Decision(state)
    command = replace(state.command, status=Status.IN_PROGRESS, received_at=at)
    return Decision(replace(state, command=command), (CommandReceived(at),))


def _with_result(state: CommandState, told: Ending) -> Decision | ReportRejection:
    contradiction = state.command.door_action.contradicted_by(told)
    if contradiction is not None:
        return ReportRejection(contradiction)
    ending = held_against(state.command.door_action, told)
    if state.final:
        return _late(state, ending)
    return end(state, _explained(state, ending), by_vehicle=True)


def _explained(state: CommandState, ending: Ending) -> Ending:
    """Return the same ending; of a command that the cloud took back, or a lock the place of, with the reason."""
    if ending.status is not Status.CANCELLED:
        return ending
    if state.taken_back:
        return right_ended_on_the_way(ending.finished_at)
    return superseded(ending.finished_at) if state.command.superseded else ending


def _late(state: CommandState, ending: Ending) -> Decision:
    """Only a command that timed out has a late result, and only one."""
    if state.command.status is not Status.TIMEOUT or state.command.late_result is not None:
        return Decision(state)
    proven = Decision(state)
    if ending.may_have_succeeded is False:
        proven = _did_not_act(state, arrived_too_late(ending.finished_at))
    late = LateResult(ending.status, ending.finished_at, ending.failure_reason, ending.door_results)
    command = replace(proven.state.command, late_result=late)
    return Decision(replace(state, command=command), (*proven.changes, LateResultKept(late)))


def _with_answer(state: CommandState, report: CancellationDecision) -> Decision | ReportRejection:
    """Return what the vehicle's signed response to a cancellation makes of the command: "will not act" ends it too,
    before its result is here.
    """
    if state.cancellation(report.cancel_id) is None:
        return ReportRejection("about a cancellation that was never asked for")
    ended = Decision(state)
    if report.ending is not None:
        ended = end(state, _explained(state, report.ending))
    cancellation = ended.state.cancellation(report.cancel_id)
    if cancellation is None or not cancellation.unanswered:
        return ended
    status, reason = (Status.FAILED, FailureReason.TOO_LATE) if report.too_late else (Status.SUCCESS, None)
    answered = CancellationEnded(cancellation.cancel_id, cancellation.requested_at, status, report.at, reason)
    closed = ended.state.with_cancellation(replace(cancellation, unanswered=False))
    return Decision(closed, (*ended.changes, answered))


def _proves(command: Command, report: OrderRefusal) -> bool:
    """Return whether a command that its vehicle refuses as expired was never taken: a known one is answered by its
    result, whatever its time. No copy of it can be taken once its time is up: none was signed to live longer.
    """
    return (
        report.fault == EXPIRED and report.order_id == command.command_id and report.at >= command.expires_at
    )


def _never_taken(state: CommandState, report: OrderRefusal) -> Decision:
    ending = arrived_too_late(report.at)
    return _did_not_act(state, ending) if state.final else end(state, ending)


def _did_not_act(state: CommandState, proven: Ending) -> Decision:
    """Note that a command that had timed out did not act. Its status stays."""
    ending = state.command.ending
    if ending is None or ending.status is not Status.TIMEOUT or ending.may_have_succeeded is not True:
        return Decision(state)
    known = replace(ending, may_have_succeeded=False, guidance=proven.guidance)
    return Decision(
        replace(state, command=replace(state.command, ending=known)),
        (InactionProven(proven.finished_at, proven.guidance),),
    )


def take_back(state: CommandState, at: datetime) -> Decision | None:
    """Return the command with the cloud's own cancellation, once, because the right to it ended on its way; None
    when it has ended. Nobody asked for it, so it is not in the history.
    """
    if state.final:
        return None
    if state.taken_back:
        return Decision(state)
    cancel_id = taken_back_id(state.command.command_id)
    return Decision(
        state.with_cancellation(CancellationState(cancel_id, at)),
        (CommandTakenBack(cancel_id, state.command.status, at),),
    )


def supersede(state: CommandState | None, lock: Command, *, surely_unsent: bool) -> Decision | None:
    """Return the unlock whose place a lock takes: it ends at once where it surely never left, and else is the
    vehicle's to give up. None when it is not in the lock's way any more.
    """
    if state is None or state.final:
        return None
    unlock = state.command
    if unlock.superseded or unlock.vin != lock.vin or unlock.door_action.action is not CommandAction.UNLOCK:
        return None
    at = lock.accepted_at
    if surely_unsent and not unlock.taken_over:
        return end(state, superseded(at), unless_taken_over=True)
    cancel_id = superseded_id(unlock.command_id)
    given_up = replace(state, command=replace(unlock, superseded=True))
    return Decision(
        given_up.with_cancellation(CancellationState(cancel_id, at)),
        (CommandSuperseded(cancel_id, unlock.status, at, lock.command_id),),
    )


def wake_up(state: CommandState, earlier: Sequence[WakeUp], at: datetime) -> Decision | None:
    """Return the command with one more wake-up of its vehicle, after these; None when it has ended or the budgets
    allow none. The first one for a command is noted on it.
    """
    command = state.command
    wanted = WakeUp(at, command.requester.subject, command.requester.role is PersonRole.OWNER)
    if state.final or not may_wake(earlier, wanted):
        return None
    if command.waking_at is not None:
        return Decision(state, (WakeUpCounted(wanted),))
    noted = replace(state, command=replace(command, waking_at=at))
    return Decision(noted, (WakeUpCounted(wanted), WakeUpNoted(at)))


def confirmed(command: Command, outcome: ObservedOutcome, at: datetime) -> Decision:
    """Return a command whose outcome has just been kept: one that contradicts its result is noted."""
    state = CommandState(replace(command, confirmation=outcome.confirmation))
    if outcome.confirmation.confirmed:
        return Decision(state)
    return Decision(state, (OutcomeContradicted(at, outcome.confirmation.doors),))

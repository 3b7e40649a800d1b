"""What this service does when vehicles speak, or keep silent."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from protocol.faults import MessageRefusedError
from services.command.domain import lifecycle, wake_budget
from services.command.domain.changes import CommandState, ReportRejection
from services.command.domain.endings import not_accepted
from services.command.domain.reports import OrderRefusal, ReportedResult
from services.command.domain.wake_budget import CHECKS, WAKE_AFTER, WAKES_REMEMBERED, WakeUp, may_wake
from services.command.usecases.recording import change, commit, finish, locked_state
from services.platform.storage import StorageUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
    from datetime import datetime

    from protocol.cloud_side import CloudStore
    from services.command.domain.commands import ObservedOutcome
    from services.command.domain.reports import Report, SignedEvidence
    from services.command.usecases.ports import CommandDependencies, CommandTransaction, OutboxMessages
    from services.platform.outbox import OutgoingMessage


_WAKE_AT_MOST = 100
DELIVERED_ONCE = timedelta(seconds=5)
"""So long after it was signed a copy was surely delivered to one unit alone: half of what the broker waits for an
acknowledgement.
"""
PASS_ON_AFTER = timedelta(seconds=2)
"""What a vehicle that is there has not confirmed for so long may have been lost on its way. One that is only slow gets
it twice, and acts once.
"""


@dataclass(frozen=True, slots=True, eq=False)
class VerifiedMessage:
    """Something a vehicle signed.

    `admit` takes it into the vehicle's session, in the transaction that ingests the report it returns (None for
    a hello). It raises MessageRefusedError when it does not belong there.
    """

    vin: str
    admit: Callable[[CloudStore], Report | None]
    evidence: SignedEvidence | None = None
    """What it signed, as it came; of a hello nothing is kept."""


@dataclass(frozen=True, slots=True)
class IngestResult:
    """What was accepted; what was not, and why."""

    accepted: Sequence[Report]
    rejected: Mapping[VerifiedMessage, MessageRefusedError | str]


async def vehicle_connected(deps: CommandDependencies, vin: str) -> None:
    """Send again what is alive and unconfirmed: the broker may have lost it.

    Not where two units speak for the vehicle: the other one may have it, and act.
    """
    if deps.epochs.has_two_units(vin):
        return
    deps.dispatch.send_again(await deps.commands.unreceived(vin, deps.now()))


async def ingest_messages(deps: CommandDependencies, arrived: Sequence[VerifiedMessage]) -> IngestResult:
    """Apply what vehicles said."""
    taken = await commit(deps, partial(_ingest, deps.outbox_messages, arrived, deps.now()))
    for report in taken.accepted:
        if isinstance(report, ReportedResult):
            deps.dispatch.untrack(report.command_id)
    refusals = [report for report in taken.accepted if isinstance(report, OrderRefusal)]
    if refusals:
        await _answer_refusals(deps, refusals)
    return taken


def _ingest(
    outbox_messages: OutboxMessages,
    arrived: Sequence[VerifiedMessage],
    at: datetime,
    transaction: CommandTransaction,
) -> tuple[IngestResult, list[OutgoingMessage]]:
    """Take them into their sessions and apply them, each once, in order; and what leaves for it."""
    admitted, rejected = _admit(transaction.sessions, arrived)
    states = _states(transaction, admitted.values())
    accepted: list[Report] = []
    messages: list[OutgoingMessage] = []
    for received, report in admitted.items():
        decision = lifecycle.receive(states.get(report.command_id), report)
        if isinstance(decision, ReportRejection):
            rejected[received] = decision.reason
            continue
        accepted.append(report)
        if transaction.first_time(f"{report.vin}:{report.message_id}", at):
            messages += change(transaction, decision, outbox_messages, received.evidence)
            states[report.command_id] = decision.state
    return IngestResult(accepted, rejected), messages


def _admit(
    sessions: CloudStore, arrived: Sequence[VerifiedMessage]
) -> tuple[dict[VerifiedMessage, Report], dict[VerifiedMessage, MessageRefusedError | str]]:
    """Return what their sessions take, but for hellos; what they do not take, and why."""
    reports: dict[VerifiedMessage, Report | None] = {}
    refused: dict[VerifiedMessage, MessageRefusedError | str] = {}
    # By VIN, so that replicas that lock several vehicles wait for each other and do not deadlock.
    for received in sorted(arrived, key=lambda each: each.vin):
        try:
            reports[received] = received.admit(sessions)
        except MessageRefusedError as refusal:
            refused[received] = refusal
    admitted = {received: report for received in arrived if (report := reports.get(received)) is not None}
    return admitted, refused


def _states(transaction: CommandTransaction, reports: Collection[Report]) -> dict[str, CommandState]:
    """Return how the commands stand that these are about, with their cancellations where those matter."""
    commands = transaction.commands({report.command_id for report in reports}) if reports else {}
    concerned = {
        report.command_id
        for report in reports
        if report.command_id in commands
        and lifecycle.reads_cancellations(commands[report.command_id], report)
    }
    cancellations = transaction.cancellations(concerned) if concerned else {}
    return {
        command_id: CommandState(command, cancellations.get(command_id, ()))
        for command_id, command in commands.items()
    }


async def _answer_refusals(deps: CommandDependencies, refusals: Sequence[OrderRefusal]) -> None:
    """Sign again what was out of step with the vehicle; fail a command that it will never take."""
    now = deps.now()
    for refusal in refusals:
        if not refusal.again and refusal.order_id == refusal.command_id:
            ending = not_accepted(now, refusal.fault)
            await finish(deps, [(refusal.command_id, ending)], unless_taken_over=False)
    for refusal in refusals:
        if refusal.again and not (deps.epochs.has_two_units(refusal.vin) and _may_be_taken(refusal)):
            deps.again.refused(refusal.order_id)
    await sign_again(deps)


def _may_be_taken(refusal: OrderRefusal) -> bool:
    """Return whether another unit may have taken the copy that this one refused: the broker delivers it to a
    second one when the first has not acknowledged it for a while, and no sooner.
    """
    return refusal.signed_at is None or refusal.at - refusal.signed_at >= DELIVERED_ONCE


async def sign_again(deps: CommandDependencies) -> None:
    """Hand over what vehicles refused and may take, if it is signed anew, once its turn has come."""
    due = deps.again.take_due()
    try:
        again = await deps.commands.outgoing(due, deps.now()) if due else ()
    except StorageUnavailableError:
        for order_id in due:
            deps.again.refused(order_id)
        raise
    if again:
        deps.dispatch.send_again(again)


async def wake_the_silent(deps: CommandDependencies, wake: Callable[[str, str], Awaitable[None]]) -> None:
    """Wake vehicles that have not confirmed a command for a while. `wake` takes VIN and command id."""
    now = deps.now()
    at_most = _WAKE_AT_MOST + len(deps.left_asleep)
    silent = dict(await deps.commands.unanswered(now - WAKE_AFTER, now, at_most))
    for command_id in deps.left_asleep.without(silent):
        try:
            await wake(silent[command_id], command_id)
        except StorageUnavailableError:
            raise
        except Exception as error:  # noqa: BLE001  # one that cannot be woken must not let the others sleep
            deps.left_asleep.add(command_id, error)


async def pass_on_to_the_silent(deps: CommandDependencies, pass_on: Callable[[str], Awaitable[None]]) -> None:
    """Bring once more what vehicles have not confirmed for a while. `pass_on` takes the VIN."""
    now = deps.now()
    for vin in await deps.commands.unconfirmed(now - PASS_ON_AFTER, now, _WAKE_AT_MOST):
        await pass_on(vin)


async def count_wake_up(deps: CommandDependencies, command_id: str) -> bool:
    """Count a wake-up against the budgets of vehicle and person and note it on the command; False: none is left."""
    return await commit(deps, partial(_wake, deps.outbox_messages, command_id, deps.now()))


async def next_wake_up(deps: CommandDependencies, vin: str, subject: str, *, by_owner: bool) -> datetime:
    """Return when this vehicle may be sent its next wake-up for this person's command."""
    now = deps.now()
    earlier = await deps.commands.wake_ups(vin, now - WAKES_REMEMBERED)
    return wake_budget.next_wake_up(earlier, subject, by_owner=by_owner, now=now)


async def count_check_wake_up(deps: CommandDependencies, vin: str) -> bool:
    """Count a wake-up for a vehicle's self-check against its budget, as nobody's of whom it knows; False: none is
    left.
    """
    return await commit(deps, partial(_wake_for_check, vin, WakeUp(deps.now(), CHECKS, by_owner=False)))


def _wake_for_check(
    vin: str, wanted: WakeUp, transaction: CommandTransaction
) -> tuple[bool, list[OutgoingMessage]]:
    if not may_wake(transaction.wake_ups(vin, wanted.at - WAKES_REMEMBERED), wanted):
        return False, []
    transaction.add_wake_up(vin, wanted)
    return True, []


def _wake(
    outbox_messages: OutboxMessages, command_id: str, at: datetime, transaction: CommandTransaction
) -> tuple[bool, list[OutgoingMessage]]:
    state = locked_state(transaction, command_id, with_cancellations=False)
    if state is None or state.final:
        return False, []
    earlier = transaction.wake_ups(state.command.vin, at - WAKES_REMEMBERED)
    decision = lifecycle.wake_up(state, earlier, at)
    if decision is None:
        return False, []
    return True, change(transaction, decision, outbox_messages)


async def record_outcomes(deps: CommandDependencies, verdicts: Sequence[ObservedOutcome]) -> None:
    """Keep how doors stood after commands had succeeded, each once; only of the vehicle's own commands."""
    await commit(deps, partial(_keep_outcomes, deps.outbox_messages, verdicts, deps.now()))


def _keep_outcomes(
    outbox_messages: OutboxMessages,
    verdicts: Sequence[ObservedOutcome],
    at: datetime,
    transaction: CommandTransaction,
) -> tuple[None, list[OutgoingMessage]]:
    messages: list[OutgoingMessage] = []
    for outcome in verdicts:
        command = transaction.keep_outcome(outcome)
        if command is not None:
            messages += change(transaction, lifecycle.confirmed(command, outcome, at), outbox_messages)
    return None, messages

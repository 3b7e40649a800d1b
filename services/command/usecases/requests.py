"""What this service does for who asks: one function per intention."""

from __future__ import annotations

import uuid
from functools import partial
from typing import TYPE_CHECKING

from services.command.domain import lifecycle
from services.command.domain.changes import CancellationState
from services.command.domain.commands import (
    IDEMPOTENCY_KEPT,
    Cancellation,
    CancelRequest,
    Command,
    CommandAction,
    DoorAction,
    FailureReason,
    Requester,
    Viewer,
)
from services.command.domain.endings import cancelled_before_dispatch, not_proven, right_ended, timed_out
from services.command.domain.models import check_available
from services.command.domain.refusals import (
    CannotDeliverError,
    CommandAlreadyFinishedError,
    CommandForbiddenError,
    CommandNotFoundError,
    CorrelationIdReusedError,
    DoorNotFittedError,
    FunctionNotAvailableError,
    NotYoursToCancelError,
)
from services.command.usecases.accepting import accept
from services.command.usecases.ports import CommandConflictError
from services.command.usecases.recording import change, commit, finish, locked_state
from services.platform.isolation import by_halves

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from services.command.domain.commands import Ending, Status
    from services.command.usecases.ports import CommandDependencies, CommandTransaction, OutboxMessages
    from services.platform.outbox import OutgoingMessage

SWEEP_AT_MOST = 500


async def request_doors(
    deps: CommandDependencies, requester: Requester, vin: str, door_action: DoorAction, correlation_id: str
) -> Command:
    """Take in a command. The same request again gives the first command as it was first answered.

    Raises CorrelationIdReusedError, CommandInProgressError, Forbidden, CannotDeliverError, DoorNotFittedError,
    FunctionNotAvailableError.
    """
    now = deps.now()
    try:
        check_available(door_action, deps.models.of(vin))
    except (DoorNotFittedError, FunctionNotAvailableError):
        first = await _first_answer(
            deps, requester, vin, door_action.action.value, correlation_id, door_action.fingerprint()
        )
        if first:
            return first
        raise
    if not deps.can_deliver():
        first = await _first_answer(
            deps, requester, vin, door_action.action.value, correlation_id, door_action.fingerprint()
        )
        if first:
            return first
        raise CannotDeliverError
    condition = deps.advisory_states.of(vin)
    reason = condition.forbids(door_action, now) if condition else None
    if condition and reason:
        first = await _first_answer(
            deps, requester, vin, door_action.action.value, correlation_id, door_action.fingerprint()
        )
        if first:
            return first
        doors = tuple(sorted(d for d in condition.open_doors if door_action.concerns(d)))
        raise CommandForbiddenError(reason, doors if reason is FailureReason.DOOR_OPEN else ())
    asleep = condition is not None and condition.asleep
    lost = condition is not None and condition.lost
    never_connected = condition is None and not await deps.known_vehicles.has(vin)
    command = Command(
        command_id=f"cmd-{uuid.uuid4()}",
        vin=vin,
        door_action=door_action,
        requester=requester,
        correlation_id=correlation_id,
        accepted_at=now,
        expires_at=now + deps.rules.ttl,
        estimated_seconds=deps.rules.estimate(lost=lost, wakes_first=asleep or never_connected),
        asleep=asleep,
        lost=lost,
        never_connected=never_connected,
    )
    repeated = partial(
        _first_answer,
        deps,
        requester,
        vin,
        door_action.action.value,
        correlation_id,
        door_action.fingerprint(),
    )
    return await accept(deps, command, repeated)


async def _first_answer(
    deps: CommandDependencies,
    requester: Requester,
    vin: str,
    operation: str,
    correlation_id: str,
    fingerprint: str,
) -> Command | None:
    """Return the command of an earlier request under this key; None when the key is free. Raises
    CorrelationIdReusedError.
    """
    prior = await deps.commands.prior(requester, vin, operation, correlation_id)
    if prior is None:
        return None
    if deps.now() - prior.requested_at > IDEMPOTENCY_KEPT:
        await deps.commands.release_key(prior)
        return None
    # An older version kept the fingerprint of the doors in the order they were written in.
    if fingerprint not in {prior.fingerprint, prior.command.door_action.fingerprint()}:
        raise CorrelationIdReusedError
    return prior.as_answered()


async def cancel(
    deps: CommandDependencies,
    requester: Requester,
    vin: str,
    cancel_request: CancelRequest,
    correlation_id: str,
) -> Command:
    """Cancel a command, or ask the vehicle to. The command as it stands then.

    Raises CommandNotFoundError, NotYoursToCancelError, CommandAlreadyFinishedError, CorrelationIdReusedError.
    """
    fingerprint = cancel_request.fingerprint()
    first = await _first_answer(deps, requester, vin, "CANCEL", correlation_id, fingerprint)
    if first:
        return first
    command = await deps.commands.latest_by_correlation_id(vin, cancel_request.correlation_id)
    if command is None:
        raise CommandNotFoundError
    if not requester.may_cancel(command):
        raise NotYoursToCancelError
    if command.status.final:
        raise CommandAlreadyFinishedError(command.command_id, command.status)
    cancellation = Cancellation(
        cancel_id=f"cancel-{uuid.uuid4()}",
        command_id=command.command_id,
        vin=vin,
        cancel_request=cancel_request,
        requester=requester,
        correlation_id=correlation_id,
        requested_at=deps.now(),
        force=cancel_request.force and command.door_action.action is CommandAction.UNLOCK,
    )
    try:
        if deps.dispatch.hold_back(command.command_id) and await _cancelled_unsent(
            deps, cancellation, command
        ):
            return await find(deps, vin, command.command_id)
        asking = partial(_ask_to_cancel, deps.outbox_messages, cancellation, command.status)
        if await commit(deps, asking):
            return command
    except CommandConflictError:  # the same cancellation came twice at once
        first = await _first_answer(deps, requester, vin, "CANCEL", correlation_id, fingerprint)
        return first or command
    # The same cancellation may have ended it a moment ago, asked for by another agent of the same customer.
    first = await _first_answer(deps, requester, vin, "CANCEL", correlation_id, fingerprint)
    if first:
        return first
    current = await find(deps, vin, command.command_id)
    raise CommandAlreadyFinishedError(current.command_id, current.status)


async def _cancelled_unsent(deps: CommandDependencies, cancellation: Cancellation, command: Command) -> bool:
    """End a command that is held back. Whatever prevents it, the command is not held back any more then.

    Even a write whose outcome is not known may be answered so: what is restored is sent only if it is alive.
    """
    try:
        ending = cancelled_before_dispatch(deps.now())
        return await commit(deps, partial(_cancel_unsent, deps.outbox_messages, cancellation, ending))
    except BaseException:
        deps.dispatch.restore(command.command_id)
        raise


def _cancel_unsent(
    outbox_messages: OutboxMessages,
    cancellation: Cancellation,
    ending: Ending,
    transaction: CommandTransaction,
) -> tuple[bool, list[OutgoingMessage]]:
    """End a command that has not left, and keep its cancellation; nothing when it has ended or was taken over."""
    # First the command, as _ask_to_cancel does: two that cancel at once wait for each other.
    state = locked_state(transaction, cancellation.command_id)
    if state is None or state.final:
        return False, []
    asked = state.with_cancellation(CancellationState(cancellation.cancel_id, cancellation.requested_at))
    decision = lifecycle.end(asked, ending, unless_taken_over=True)
    if not decision.changes:
        return False, []
    transaction.add_cancellation(cancellation, ending.status)
    messages = change(transaction, decision, outbox_messages)
    transaction.withdraw(cancellation.command_id, ending.finished_at)
    return True, messages


def _ask_to_cancel(
    outbox_messages: OutboxMessages,
    cancellation: Cancellation,
    answered: Status,
    transaction: CommandTransaction,
) -> tuple[bool, list[OutgoingMessage]]:
    """Keep a cancellation for the vehicle to decide, and as what the command was told; nothing when it has ended."""
    command = transaction.commands([cancellation.command_id]).get(cancellation.command_id)
    if command is None or command.status.final:
        return False, []
    transaction.add_cancellation(cancellation, answered)
    return True, outbox_messages.cancel(cancellation)


async def find(deps: CommandDependencies, vin: str, command_id: str) -> Command:
    """Return one command with its life so far. Raises CommandNotFoundError."""
    command = await deps.commands.get(vin, command_id)
    if command is None:
        raise CommandNotFoundError
    return command


async def read(deps: CommandDependencies, viewer: Viewer, vin: str, command_id: str) -> Command:
    """Return the same for somebody: nothing from before the right began. Raises CommandNotFoundError."""
    command = await find(deps, vin, command_id)
    if command.accepted_at < viewer.since:
        raise CommandNotFoundError
    return command


async def time_out_overdue(deps: CommandDependencies) -> int:
    """End what has had no result in time. How many were tried. One that cannot be ended is left alone for a while."""
    now = deps.now()
    overdue = dict(await deps.commands.overdue(now, SWEEP_AT_MOST + len(deps.left_open)))
    due = deps.left_open.without(overdue)
    for unsent in (True, False):
        await by_halves(
            [each for each in due if unsent is (not overdue[each] and deps.dispatch.surely_unsent(each))],
            partial(_time_out, deps, now, surely_unsent=unsent),
            deps.left_open.add,
        )
    return len(due)


async def _time_out(
    deps: CommandDependencies, now: datetime, ids: Sequence[str], *, surely_unsent: bool
) -> None:
    ending = timed_out(now, surely_unsent=surely_unsent)
    await finish(deps, [(each, ending) for each in ids], unless_taken_over=surely_unsent)
    for command_id in ids:
        deps.dispatch.untrack(command_id)


async def end_unsigned(deps: CommandDependencies, command_ids: Sequence[str], *, proven: bool) -> None:
    """End commands that were never handed over and are not signed: for lack of a right, or (not `proven`) of proof."""
    ending = right_ended(deps.now()) if proven else not_proven(deps.now())
    await finish(deps, [(each, ending) for each in command_ids], unless_taken_over=True)
    for command_id in command_ids:
        deps.dispatch.untrack(command_id)


async def take_over(deps: CommandDependencies, command_ids: Sequence[str]) -> set[str]:
    """Before sending what another process, or this one earlier, may have sent: which of them are alive."""
    return await deps.commands.take_over(command_ids, deps.now())

"""How a new command becomes part of the record. What is in flight is in its way, but no unlock in that of a lock."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from services.command.domain import lifecycle
from services.command.domain.refusals import CommandInProgressError
from services.command.usecases.ports import CommandConflictError
from services.command.usecases.recording import change, commit, locked_state

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from services.command.domain.commands import Command
    from services.command.usecases.ports import CommandDependencies, CommandTransaction, OutboxMessages
    from services.platform.outbox import OutgoingMessage

_ATTEMPTS = 3


async def accept(
    deps: CommandDependencies, command: Command, repeated: Callable[[], Awaitable[Command | None]]
) -> Command:
    """Keep a new command; return it, or the one that `repeated` finds for the same request. Raises
    CommandInProgressError.
    """
    in_the_way = ""
    for _ in range(_ATTEMPTS):
        try:
            await keep(deps, command)
        except CommandConflictError:
            first = await repeated()
            if first:
                return first
        else:
            return command
        in_flight = await deps.commands.in_flight(command.vin)
        if in_flight is None:
            continue  # what was in the way ended between the two looks
        in_the_way = in_flight.command_id
        if not in_flight.gives_way_to(command.door_action):
            break
        if await _supersede(deps, command, in_the_way):
            return command
    raise CommandInProgressError(in_the_way)


async def keep(deps: CommandDependencies, command: Command) -> None:
    """Keep a new command, its history and audit entries and what is to be sent, in one commit. Raises
    CommandConflictError.
    """
    await commit(deps, partial(_keep, deps.outbox_messages, command))


def _keep(
    outbox_messages: OutboxMessages, command: Command, transaction: CommandTransaction
) -> tuple[None, list[OutgoingMessage]]:
    transaction.add_command(command)
    return None, outbox_messages.accepted(command)


async def _supersede(deps: CommandDependencies, lock: Command, unlock_id: str) -> bool:
    """Keep `lock` in the place of an unlock: nobody has to wait to lock a vehicle. False when something came between.

    The unlock is held back here for the time of the write. Where that kept nothing, or its outcome is not known, the
    unlock is handed over again: it leaves only if it is alive and nothing took its place.
    """
    held = deps.dispatch.hold_back(unlock_id)
    kept = False
    try:
        kept = await commit(
            deps, partial(_take_its_place, deps.outbox_messages, lock, unlock_id, surely_unsent=held)
        )
    except CommandConflictError:
        return False
    finally:
        if held and not kept:
            deps.dispatch.restore(unlock_id)
    return kept


def _take_its_place(
    outbox_messages: OutboxMessages,
    lock: Command,
    unlock_id: str,
    transaction: CommandTransaction,
    *,
    surely_unsent: bool,
) -> tuple[bool, list[OutgoingMessage]]:
    """Keep the lock, and of the unlock its end or the cloud's own cancellation.

    The vehicle's session is locked first, as everywhere. Whoever issues the unlock at this moment is waited for, so
    that its counter is below the lock's; whoever issues it later finds it superseded (dispatch.IssuedOrders.issue).
    """
    transaction.sessions.load(lock.vin)
    state = locked_state(transaction, unlock_id, with_cancellations=surely_unsent)
    decision = lifecycle.supersede(state, lock, surely_unsent=surely_unsent)
    if decision is None:
        return False, []
    messages = change(transaction, decision, outbox_messages)
    unlock = decision.state.command
    if not unlock.status.final:  # the vehicle may have it, and is to give it up
        messages += outbox_messages.supersede(transaction.order_of(unlock), lock)
    # After this it is not found by a scan for what is unsent.
    transaction.withdraw(unlock_id, lock.accepted_at)
    transaction.add_command(lock)
    return True, [*messages, *outbox_messages.accepted(lock)]

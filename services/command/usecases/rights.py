"""What this service does when a right ends: its live commands end before they act."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Protocol

from services.command.domain import lifecycle
from services.command.domain.endings import right_ended
from services.command.usecases.recording import change, commit, finish, locked_state

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from services.command.domain.commands import CommandRightEnded, RequestedOrder
    from services.command.usecases.ports import CommandDependencies, CommandTransaction, OutboxMessages
    from services.platform.outbox import OutgoingMessage


class CommandRightsReview(Protocol):
    """The signer, which asks the access service."""

    async def ended(self, commands: Sequence[RequestedOrder]) -> set[str]:
        """Return the ids of those to which there is no right any more. Raises StorageUnavailableError when nobody can
        tell.
        """


class VehicleQueue(Protocol):
    """What waits at the broker. Every method raises StorageUnavailableError while the broker is away."""

    async def take_out_commands(self, vin: str) -> None:
        """Take everything that moves a door out of this vehicle's queue."""

    async def take_out_settings(self, vin: str) -> None:
        """No settings wait for this vehicle any more."""


async def end_rights(
    deps: CommandDependencies, review: CommandRightsReview, queue: VehicleQueue, ended: CommandRightEnded
) -> None:
    """End what is alive and was asked for under a right that has ended; safe to repeat, and on each replica.

    What never left fails at once. What may have left is taken out of the vehicle's queue, and the vehicle is sent
    the cloud's own cancellation: had it acted before, its result says so. Raises StorageUnavailableError.
    """
    live = await deps.commands.live(ended)
    if not live:
        return
    if ended.principal is None:  # all that is alive: most of it has nothing to do with this
        gone = await review.ended(live)
        live = [command for command in live if command.command_id in gone]
        if live:
            await _held_back(deps, queue, live)
    else:
        # Before anybody is asked: while nobody can tell, a vehicle that comes back must find nothing.
        await _held_back(deps, queue, live)
        gone = await review.ended(live)
    await _give_up(deps, [command for command in live if command.command_id in gone])
    deps.dispatch.release(command.command_id for command in live if command.command_id not in gone)
    for vin in sorted({command.vin for command in live}):
        # Somebody else's command may have waited beside it.
        deps.dispatch.send_again(await deps.commands.unreceived(vin, deps.now()))


async def _held_back(deps: CommandDependencies, queue: VehicleQueue, live: Sequence[RequestedOrder]) -> None:
    await deps.dispatch.recall([command.command_id for command in live])
    for vin in sorted({command.vin for command in live}):
        await queue.take_out_commands(vin)


async def _give_up(deps: CommandDependencies, commands: Sequence[RequestedOrder]) -> None:
    now = deps.now()
    unsent = [c.command_id for c in commands if deps.dispatch.surely_unsent(c.command_id)]
    if unsent:
        await finish(deps, [(each, right_ended(now)) for each in unsent], unless_taken_over=True)
        for command_id in unsent:
            deps.dispatch.untrack(command_id)
    for command in commands:
        await commit(deps, partial(_take_back, deps.outbox_messages, command, now))


def _take_back(
    outbox_messages: OutboxMessages, requested: RequestedOrder, at: datetime, transaction: CommandTransaction
) -> tuple[None, list[OutgoingMessage]]:
    """Keep the cloud's own cancellation of a command, for its vehicle, once; nothing when it has ended."""
    state = locked_state(transaction, requested.command_id)
    decision = lifecycle.take_back(state, at) if state else None
    if decision is None or not decision.changes:
        return None, []
    messages = change(transaction, decision, outbox_messages)
    return None, [*messages, *outbox_messages.take_back(requested, at)]

"""How a new command becomes part of the record. What is in flight is in its way, but no unlock in that of a lock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.command.domain import CommandInProgress

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from services.command.domain import Command
    from services.command.usecases import CommandDependencies

_ATTEMPTS = 3


class CommandConflict(Exception):
    """The store holds a command with the same idempotency key, or one in flight on the vehicle."""


async def accept(
    deps: CommandDependencies, command: Command, repeated: Callable[[], Awaitable[Command | None]]
) -> Command:
    """Keep a new command; return it, or the one that `repeated` finds for the same request. Raises
    CommandInProgress.
    """
    in_the_way = ""
    for _ in range(_ATTEMPTS):
        try:
            await deps.commands.accept(command)
        except CommandConflict:
            first = await repeated()
            if first:
                return first
        else:
            return command
        in_flight = await deps.commands.in_flight(command.vin)
        if in_flight is None:
            continue  # what was in the way ended between the two looks
        in_the_way = in_flight.command_id
        if not in_flight.gives_way_to(command.order):
            break
        if await _supersede(deps, command, in_the_way):
            return command
    raise CommandInProgress(in_the_way)


async def _supersede(deps: CommandDependencies, lock: Command, unlock_id: str) -> bool:
    """Keep `lock` in the place of an unlock: nobody has to wait to lock a vehicle. False when something came between.

    The unlock is held back here for the time of the write. Where that kept nothing, or its outcome is not known, the
    unlock is handed over again: it leaves only if it is alive and nothing took its place.
    """
    held = deps.dispatch.hold_back(unlock_id)
    kept = False
    try:
        kept = await deps.commands.supersede(lock, unlock_id, surely_unsent=held)
    except CommandConflict:
        return False
    finally:
        if held and not kept:
            deps.dispatch.restore(unlock_id)
    return kept

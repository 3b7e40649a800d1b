"""How what was decided becomes part of the record, and leaves.

A piece of work is a function of a transaction: it loads how commands stand, asks the rules (lifecycle), keeps what
happened, and returns its answer and the messages that leave. It may be run again.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypeVar

from services.command.domain import lifecycle
from services.command.domain.changes import (
    CancellationEnded,
    CommandEnded,
    CommandReceived,
    CommandState,
    CommandSuperseded,
    CommandTakenBack,
    InactionProven,
    LateResultKept,
    OutcomeContradicted,
    WakeUpCounted,
    WakeUpNoted,
)
from services.command.usecases.ports import StaleStateError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from services.command.domain.changes import Decision
    from services.command.domain.commands import Ending
    from services.command.domain.reports import SignedEvidence
    from services.command.usecases.ports import CommandDependencies, CommandTransaction, OutboxMessages
    from services.platform.outbox import OutgoingMessage

T = TypeVar("T")
_ATTEMPTS = 3


async def commit(
    deps: CommandDependencies, work: Callable[[CommandTransaction], tuple[T, list[OutgoingMessage]]]
) -> T:
    """Run `work` in one transaction; the messages that it returns are part of it, and leave after the commit.

    Where a command turns out to stand otherwise than it was loaded, nothing is kept and `work` is run again.
    """
    left = _ATTEMPTS
    while True:
        left -= 1
        try:
            answer, messages = await deps.commands.write(partial(_run, work))
        except StaleStateError:
            if not left:
                raise
        else:
            deps.hand_over(messages)
            return answer


def _run(
    work: Callable[[CommandTransaction], tuple[T, list[OutgoingMessage]]], transaction: CommandTransaction
) -> tuple[T, list[OutgoingMessage]]:
    answer, messages = work(transaction)
    transaction.send(messages)
    return answer, messages


def locked_state(
    transaction: CommandTransaction, command_id: str, *, with_cancellations: bool = True
) -> CommandState | None:
    """Return how a command stands, locked; None when there is none. One that has ended needs no cancellations."""
    command = transaction.commands([command_id]).get(command_id)
    if command is None:
        return None
    if command.status.final or not with_cancellations:
        return CommandState(command)
    return CommandState(command, transaction.cancellations([command_id]).get(command_id, ()))


def change(
    transaction: CommandTransaction,
    decision: Decision,
    outbox_messages: OutboxMessages,
    evidence: SignedEvidence | None = None,
) -> list[OutgoingMessage]:
    """Keep what happened to a command, and what its vehicle signed of it; return what its watchers are sent for it."""
    command = decision.state.command
    if decision.changes:
        transaction.change(command, decision.changes, evidence)
    messages: list[OutgoingMessage] = []
    for each in decision.changes:
        match each:
            case CommandReceived() | CommandEnded():
                messages += outbox_messages.changed(command)
            case LateResultKept():
                messages += outbox_messages.late(command)
            case WakeUpNoted():
                messages += outbox_messages.waking(command)
            case (
                CancellationEnded()
                | CommandSuperseded()
                | CommandTakenBack()
                | InactionProven()
                | OutcomeContradicted()
                | WakeUpCounted()
            ):
                pass
    return messages


async def finish(
    deps: CommandDependencies, endings: Sequence[tuple[str, Ending]], *, unless_taken_over: bool
) -> None:
    """End these commands; those that have ended already stay as they are.

    With `unless_taken_over` so do those that another process may have handed over.
    """
    if endings:
        await commit(
            deps, partial(_finish, deps.outbox_messages, dict(endings), unless_taken_over=unless_taken_over)
        )


def _finish(
    outbox_messages: OutboxMessages,
    endings: dict[str, Ending],
    transaction: CommandTransaction,
    *,
    unless_taken_over: bool,
) -> tuple[None, list[OutgoingMessage]]:
    commands = transaction.commands(endings)
    alive = [command_id for command_id, command in commands.items() if not command.status.final]
    cancellations = transaction.cancellations(alive) if alive else {}
    messages: list[OutgoingMessage] = []
    for command_id in alive:
        state = CommandState(commands[command_id], cancellations.get(command_id, ()))
        ending = endings[command_id]
        decision = lifecycle.end(state, ending, unless_taken_over=unless_taken_over)
        if decision.changes:
            messages += change(transaction, decision, outbox_messages)
            transaction.withdraw(command_id, ending.finished_at)
    return None, messages

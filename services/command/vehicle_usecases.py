"""What this service does when vehicles speak, or keep silent."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from services.command.domain import (
    Ending,
    LateResult,
    ObservedOutcome,
    Status,
)
from services.command.endings import not_accepted
from services.command.wake_budget import WAKE_AFTER
from services.platform.storage import StorageUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from datetime import datetime

    from protocol.cloud_side import CloudStore
    from protocol.faults import MessageRefused
    from services.command.usecases import CommandDependencies


_WAKE_AT_MOST = 100
DELIVERED_ONCE = timedelta(seconds=5)
"""So long after it was signed a copy was surely delivered to one unit alone: half of what the broker waits for an
acknowledgement.
"""
PASS_ON_AFTER = timedelta(seconds=5)
"""What a vehicle that is there has not confirmed for so long may have been lost on its way."""


@dataclass(frozen=True, slots=True)
class CommandReceipt:
    """The vehicle has a command."""

    message_id: str
    vin: str
    command_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class ReportedResult:
    """The vehicle says how a command ended."""

    message_id: str
    vin: str
    command_id: str
    ending: Ending


@dataclass(frozen=True, slots=True)
class CancellationDecision:
    """The vehicle's signed response to a cancellation. `ending` is the command's, when that follows from it."""

    message_id: str
    vin: str
    command_id: str
    cancel_id: str
    at: datetime
    too_late: bool
    ending: Ending | None


@dataclass(frozen=True, slots=True)
class OrderRefusal:
    """The vehicle refused an order before anything else was asked. `message_id` is its answer's, `order_id` the
    command's or the cancellation's. With `again` the same order, signed anew, may be taken. `signed_at`: the copy.
    """

    message_id: str
    vin: str
    command_id: str
    order_id: str
    fault: str
    again: bool
    at: datetime
    signed_at: datetime | None = field(default=None, compare=False)


Report = CommandReceipt | ReportedResult | CancellationDecision | OrderRefusal


@dataclass(frozen=True, slots=True, eq=False)
class VerifiedMessage:
    """Something a vehicle signed.

    `admit` takes it into the vehicle's session, in the transaction that ingests the report it returns (None for
    a hello). It raises MessageRefused when it does not belong there.
    """

    vin: str
    admit: Callable[[CloudStore], Report | None]


@dataclass(frozen=True, slots=True)
class IngestResult:
    """What was accepted; what was not, and why."""

    accepted: Sequence[Report]
    rejected: Mapping[VerifiedMessage, MessageRefused | str]


async def vehicle_connected(deps: CommandDependencies, vin: str) -> None:
    """Send again what is alive and unconfirmed: the broker may have lost it.

    Not where two units speak for the vehicle: the other one may have it, and act.
    """
    if deps.epochs.has_two_units(vin):
        return
    deps.dispatch.send_again(await deps.commands.unreceived(vin, deps.now()))


async def ingest_messages(deps: CommandDependencies, arrived: Sequence[VerifiedMessage]) -> IngestResult:
    """Apply what vehicles said."""
    taken = await deps.commands.ingest(arrived, deps.now())
    for report in taken.accepted:
        if isinstance(report, ReportedResult):
            deps.dispatch.untrack(report.command_id)
    refusals = [report for report in taken.accepted if isinstance(report, OrderRefusal)]
    if refusals:
        await _answer_refusals(deps, refusals)
    return taken


async def _answer_refusals(deps: CommandDependencies, refusals: Sequence[OrderRefusal]) -> None:
    """Sign again what was out of step with the vehicle; fail a command that it will never take."""
    now = deps.now()
    for refusal in refusals:
        if not refusal.again and refusal.order_id == refusal.command_id:
            ending = not_accepted(now, refusal.fault)
            await deps.commands.finish([(refusal.command_id, ending)], unless_taken_over=False)
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
    except StorageUnavailable:
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
        except StorageUnavailable:
            raise
        except Exception as error:  # noqa: BLE001  # one that cannot be woken must not let the others sleep
            deps.left_asleep.add(command_id, error)


async def pass_on_to_the_silent(deps: CommandDependencies, pass_on: Callable[[str], Awaitable[None]]) -> None:
    """Bring once more what vehicles have not confirmed for a while. `pass_on` takes the VIN."""
    now = deps.now()
    for vin in await deps.commands.unconfirmed(now - PASS_ON_AFTER, now, _WAKE_AT_MOST):
        await pass_on(vin)


async def record_outcomes(deps: CommandDependencies, verdicts: Sequence[ObservedOutcome]) -> None:
    """Keep how doors stood after commands had succeeded."""
    await deps.commands.confirm(verdicts, deps.now())


def late(ending: Ending) -> LateResult:
    """Return the same report, when it comes after the command has timed out."""
    return LateResult(ending.status, ending.finished_at, ending.failure_reason, ending.door_results)


def may_become_late(status: Status, late_result: LateResult | None) -> bool:
    """Only a command that timed out has a late result, and only one."""
    return status is Status.TIMEOUT and late_result is None

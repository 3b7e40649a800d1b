"""What this room does when vehicles speak, or keep silent."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from services.command.domain import (
    Ending,
    LateResult,
    Observed,
    Status,
)
from services.command.endings import not_accepted
from services.command.wake_budget import WAKE_AFTER
from services.runtime.storage import StorageUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from datetime import datetime

    from protocol.cloud_side import CloudStore
    from protocol.faults import MessageRefused
    from services.command.usecases import Desk


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
    """The vehicle's word on a cancellation. `ending` is the command's, when that follows from it."""

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


async def vehicle_connected(desk: Desk, vin: str) -> None:
    """Send again what is alive and unconfirmed: the broker may have lost it.

    Not where two units speak for the vehicle: the other one may have it, and act.
    """
    if desk.epochs.has_two_units(vin):
        return
    desk.dispatch.send_again(await desk.commands.unreceived(vin, desk.now()))


async def ingest_messages(desk: Desk, arrived: Sequence[VerifiedMessage]) -> IngestResult:
    """Apply what vehicles said."""
    taken = await desk.commands.ingest(arrived, desk.now())
    for report in taken.accepted:
        if isinstance(report, ReportedResult):
            desk.dispatch.forget(report.command_id)
    refusals = [report for report in taken.accepted if isinstance(report, OrderRefusal)]
    if refusals:
        await _answer_refusals(desk, refusals)
    return taken


async def _answer_refusals(desk: Desk, refusals: Sequence[OrderRefusal]) -> None:
    """What was out of step with the vehicle is signed again; a command it will never take has failed."""
    now = desk.now()
    for refusal in refusals:
        if not refusal.again and refusal.order_id == refusal.command_id:
            ending = not_accepted(now, refusal.fault)
            await desk.commands.finish([(refusal.command_id, ending)], unless_taken_over=False)
    for refusal in refusals:
        if refusal.again and not (desk.epochs.has_two_units(refusal.vin) and _may_be_taken(refusal)):
            desk.again.refused(refusal.order_id)
    await sign_again(desk)


def _may_be_taken(refusal: OrderRefusal) -> bool:
    """Whether another unit may have taken the copy that this one refused: the broker delivers it to a second one when
    the first has not acknowledged it for a while, and no sooner.
    """
    return refusal.signed_at is None or refusal.at - refusal.signed_at >= DELIVERED_ONCE


async def sign_again(desk: Desk) -> None:
    """Hand over what vehicles refused and may take, if it is signed anew, once its turn has come."""
    due = desk.again.take_due()
    try:
        again = await desk.commands.outgoing(due, desk.now()) if due else ()
    except StorageUnavailable:
        for order_id in due:
            desk.again.refused(order_id)
        raise
    if again:
        desk.dispatch.send_again(again)


async def wake_the_silent(desk: Desk, wake: Callable[[str, str], Awaitable[None]]) -> None:
    """Wake vehicles that have not confirmed a command for a while. `wake` takes VIN and command id."""
    now = desk.now()
    at_most = _WAKE_AT_MOST + len(desk.left_asleep)
    silent = dict(await desk.commands.unanswered(now - WAKE_AFTER, now, at_most))
    for command_id in desk.left_asleep.without(silent):
        try:
            await wake(silent[command_id], command_id)
        except StorageUnavailable:
            raise
        except Exception as error:  # noqa: BLE001  # one that cannot be woken must not let the others sleep
            desk.left_asleep.add(command_id, error)


async def pass_on_to_the_silent(desk: Desk, pass_on: Callable[[str], Awaitable[None]]) -> None:
    """Bring once more what vehicles have not confirmed for a while. `pass_on` takes the VIN."""
    now = desk.now()
    for vin in await desk.commands.unconfirmed(now - PASS_ON_AFTER, now, _WAKE_AT_MOST):
        await pass_on(vin)


async def record_verdicts(desk: Desk, verdicts: Sequence[Observed]) -> None:
    """Keep how doors stood after commands had succeeded."""
    await desk.commands.confirm(verdicts, desk.now())


def late(ending: Ending) -> LateResult:
    """The same report, when it comes after the command has timed out."""
    return LateResult(ending.status, ending.finished_at, ending.failure_reason, ending.door_results)


def may_become_late(status: Status, late_result: LateResult | None) -> bool:
    """Only a command that timed out has a late result, and only one."""
    return status is Status.TIMEOUT and late_result is None

"""Tombstones and forced stops."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ecarus.remotecontrol.vehicle.v1 import report_pb2

from conformance.cloud import new_id
from conformance.finding import Group, RuleSkippedError, require
from conformance.orders import DRIVER, PASSENGER, cancel_command, is_locked, lock, unlock
from protocol.subjects import EventKind

if TYPE_CHECKING:
    from conformance.unit import Unit

GROUP = Group("cancellations")
_DOORS = (DRIVER, PASSENGER)
_DOOR_SECONDS = 1.0


@GROUP.rule
async def cancellation_before_the_command(unit: Unit) -> None:
    """A cancellation that comes before its command: WILL_NOT_ACT, and the command never acts."""
    command_id = new_id()
    withdrawal = await unit.order(cancel_command(command_id))
    outcome = (await unit.result(withdrawal)).outcome
    require(outcome == report_pb2.CANCEL_OUTCOME_WILL_NOT_ACT, "not answered as WILL_NOT_ACT")
    signed = unit.cloud.sign(unlock(command_id=command_id))
    result = (await unit.provoked(signed)).payload
    require(result.outcome == report_pb2.COMMAND_OUTCOME_CANCELLED, "the command was not CANCELLED")
    await unit.never_acts(signed)


@GROUP.rule
async def cancellation_outlives_reboot(unit: Unit) -> None:
    """A command that was cancelled before it came is known, too; what is known outlives the boot."""
    command_id = new_id()
    outcome = (await unit.result(await unit.order(cancel_command(command_id)))).outcome
    require(outcome == report_pb2.CANCEL_OUTCOME_WILL_NOT_ACT, "not answered as WILL_NOT_ACT")
    await unit.reboot()
    signed = unit.cloud.sign(unlock(command_id=command_id))
    result = await unit.known_result(signed.order)
    require(
        result.outcome == report_pb2.COMMAND_OUTCOME_CANCELLED, "after a reboot the command was not CANCELLED"
    )
    await unit.never_acts(signed)


@GROUP.rule
async def cancellation_after_the_command(unit: Unit) -> None:
    """A cancellation after the command: TOO_LATE, and nothing changes."""
    signed = await unit.order(unlock())
    await unit.result(signed)
    for force in (False, True):
        withdrawal = await unit.order(cancel_command(signed.order_id, force=force))
        outcome = (await unit.result(withdrawal)).outcome
        require(outcome == report_pb2.CANCEL_OUTCOME_TOO_LATE, "not answered as TOO_LATE")
    require(not is_locked((await unit.fence()).status, DRIVER), "a late cancellation moved the door")
    await unit.acted_once(signed)


@GROUP.rule
async def cancellation_again(unit: Unit) -> None:
    """A known cancel id: its stored answer again."""
    order = cancel_command(new_id())
    first = await unit.result(await unit.order(order))
    require(
        await unit.known_result(order) == first,
        "the same cancellation was answered otherwise than the first time",
    )


@GROUP.rule
async def cancelled_while_asleep(unit: Unit) -> None:
    """What withdraws a command that waits with it keeps it from beginning."""
    await unit.hands.sleep()
    signed = await unit.order(unlock())
    withdrawal = await unit.order(cancel_command(signed.order_id))
    await unit.hands.wake()
    outcome = (await unit.result(withdrawal)).outcome
    require(outcome == report_pb2.CANCEL_OUTCOME_WILL_NOT_ACT, "not answered as WILL_NOT_ACT")
    result = await unit.result(signed)
    require(result.outcome == report_pb2.COMMAND_OUTCOME_CANCELLED, "the command was not CANCELLED")
    await unit.never_acts(signed)


@GROUP.rule
async def forced_stop_between_doors(unit: Unit) -> None:
    """A forced cancellation stops a command before its next door: STOPPED, and the result says which
    moved.
    """
    if unit.hands.sees_actuations:
        await unit.hands.set_door_time(_DOOR_SECONDS)
    try:
        signed = await unit.order(unlock(*_DOORS))
        await unit.until(lambda: _is_received(unit, signed.request_hash), "evt.received")
        withdrawal = await unit.order(cancel_command(signed.order_id, force=True))
        outcome = (await unit.result(withdrawal)).outcome
        result = await unit.result(signed)
    finally:
        if unit.hands.sees_actuations:
            await unit.hands.set_door_time(0)
    if outcome == report_pb2.CANCEL_OUTCOME_TOO_LATE and not unit.hands.sees_actuations:
        raise RuleSkippedError("the doors moved faster than the cancellation came")
    require(outcome == report_pb2.CANCEL_OUTCOME_STOPPED, "not answered as STOPPED")
    stopped = {report_pb2.COMMAND_OUTCOME_PARTIAL, report_pb2.COMMAND_OUTCOME_CANCELLED}
    require(result.outcome in stopped, "the stopped command is neither PARTIAL nor CANCELLED")
    require({one.door for one in result.doors} == set(_DOORS), "the result does not name every door")
    for one in result.doors:
        require(is_locked(result.status, one.door) == one.locked, "the result and its status do not agree")
        require(one.succeeded != one.locked, "a door is said to have moved that did not, or the other way")


@GROUP.rule
async def forced_stop_of_a_lock(unit: Unit) -> None:
    """A lock that has begun is finished, also when a forced cancellation comes: TOO_LATE, and all its doors are
    locked.
    """
    await unit.result(await unit.order(unlock(*_DOORS)))
    if unit.hands.sees_actuations:
        await unit.hands.set_door_time(_DOOR_SECONDS)
    try:
        signed = await unit.order(lock(*_DOORS))
        await unit.until(lambda: _is_received(unit, signed.request_hash), "evt.received")
        withdrawal = await unit.order(cancel_command(signed.order_id, force=True))
        outcome = (await unit.result(withdrawal)).outcome
        result = await unit.result(signed)
    finally:
        if unit.hands.sees_actuations:
            await unit.hands.set_door_time(0)
    require(outcome == report_pb2.CANCEL_OUTCOME_TOO_LATE, "not answered as TOO_LATE")
    require(result.outcome == report_pb2.COMMAND_OUTCOME_SUCCEEDED, "the lock was not finished")
    for door in _DOORS:
        require(is_locked(result.status, door), "a forced cancellation left a door unlocked")


def _is_received(unit: Unit, request_hash: bytes) -> bool:
    return any(one.event is EventKind.RECEIVED for one in unit.cloud.answers(request_hash))

"""Commands that wait behind a slow one, and one that is in the middle: when time, links and epochs end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ecarus.remotecontrol.vehicle.v1 import report_pb2

from conformance.finding import Group, RuleSkippedError, require
from conformance.forge import Mutation
from conformance.orders import DRIVER, PASSENGER, is_locked, lock, unlock
from conformance.scenes import ARRIVAL_SECONDS, has_acted, settled, slow_doors
from protocol.faults import Fault

if TYPE_CHECKING:
    from conformance.unit import Unit

GROUP = Group("waiting")
_SLOW_SECONDS = 2.5
_DOOR_SECONDS = 2.5
_LEFT_MILLIS = 1_500


@GROUP.rule
async def expiry_is_looked_at_again(unit: Unit) -> None:
    """Look at the expiry again: a command that ran out of time behind another one does not act."""
    async with slow_doors(unit, _SLOW_SECONDS):
        first = await unit.order(unlock(PASSENGER))
        await has_acted(unit, first.order_id)
        late = await unit.order(unlock(), Mutation(left_millis=_LEFT_MILLIS))
        result = await unit.result(late)
    require(result.outcome == report_pb2.COMMAND_OUTCOME_REFUSED, "a command long over was not REFUSED")
    require(result.fault == report_pb2.FAULT_CODE_EXPIRED, "a command long over was not refused as EXPIRED")
    await unit.never_acts(late)


@GROUP.rule
async def expiry_is_looked_at_before_each_door(unit: Unit) -> None:
    """Act, with a look at the expiry before each door: what is left when time is up stays as it is, EXPIRED."""
    async with slow_doors(unit, _SLOW_SECONDS):
        signed = await unit.order(unlock(DRIVER, PASSENGER), Mutation(left_millis=_LEFT_MILLIS))
        result = await unit.result(signed)
    require(result.outcome == report_pb2.COMMAND_OUTCOME_PARTIAL, "it did not end as PARTIAL")
    doors = {one.door: one for one in result.doors}
    require(doors.keys() == {DRIVER, PASSENGER}, "the result does not name every door")
    require(doors[DRIVER].succeeded, "the first door is not said to have moved")
    require(not doors[PASSENGER].succeeded, "the second door is said to have moved after the expiry")
    require(doors[PASSENGER].fault == report_pb2.FAULT_CODE_EXPIRED, "the second door is not EXPIRED")
    require(is_locked(result.status, PASSENGER), "the second door moved after the expiry")
    if unit.hands.sees_actuations:
        moved = await unit.hands.actuations(signed.order_id)
        require(moved == 1, f"{moved} doors were set in motion, not one")


@GROUP.rule
async def acknowledged_last(unit: Unit) -> None:
    """Publish; acknowledge the broker's message: what runs and what waits is not acknowledged yet."""
    await settled(unit, unit.patience.answer)
    async with slow_doors(unit, _DOOR_SECONDS):
        first = await unit.order(unlock())
        await has_acted(unit, first.order_id)
        waiting = await unit.order(lock())
        await asyncio.sleep(ARRIVAL_SECONDS)
        left = await unit.link.unsettled()
        await unit.succeeds(waiting)
    orders = 2
    require(left >= orders, f"{orders - left} of 2 orders were acknowledged before they were dealt with")
    await settled(unit, unit.patience.answer)


@GROUP.rule
async def known_while_it_runs(unit: Unit) -> None:
    """Known commands include those that wait and those that run."""
    await unit.afford(2)
    order = unlock()
    async with slow_doors(unit, _DOOR_SECONDS):
        first = await unit.order(order)
        await has_acted(unit, first.order_id)
        locking = await unit.order(lock())
        await unit.send(first)
        again = await unit.order(order)
        await unit.succeeds(locking)
        result = await unit.result(again)
    require(result.outcome == report_pb2.COMMAND_OUTCOME_SUCCEEDED, "it was answered otherwise than it was")
    await unit.acted_once(first)
    require(
        is_locked((await unit.fence()).status, DRIVER), "an order that came again while it ran acted again"
    )


@GROUP.rule
async def waiting_outlives_a_connection(unit: Unit) -> None:
    """Known commands include those that wait and those that run: they outlive a lost connection."""
    if unit.broker is None:
        raise RuleSkippedError("needs the kit's own broker")
    async with slow_doors(unit, _DOOR_SECONDS):
        first = await unit.order(unlock(DRIVER, PASSENGER))
        await has_acted(unit, first.order_id)
        waiting = await unit.order(lock())
        await asyncio.sleep(ARRIVAL_SECONDS)
        count = len(unit.hellos())
        unit.broker.kill()
        await unit.broker.start()
        await unit.next_hello(count, "a hello after the broker came back")
        for signed in (first, waiting):
            await unit.succeeds(signed, unit.patience.comeback)
            await unit.send(signed)
    require(
        is_locked((await unit.fence()).status, DRIVER), "a command acted again after the connection was lost"
    )
    await unit.acted_once(waiting)


@GROUP.rule
async def waiting_ends_with_the_epoch(unit: Unit) -> None:
    """What waits does not outlive the epoch; delivered again, it is WRONG_EPOCH."""
    async with slow_doors(unit, _DOOR_SECONDS):
        first = await unit.order(unlock(PASSENGER))
        await has_acted(unit, first.order_id)
        waiting = await unit.order(unlock())
        await asyncio.sleep(ARRIVAL_SECONDS)
        await unit.reboot()
    await unit.refusal(waiting, Fault.WRONG_EPOCH)
    await unit.never_acts(waiting)

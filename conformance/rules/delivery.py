"""Replies that are lost, reboots, and what must have been on the disk before."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ecarus.remotecontrol.vehicle.v1 import report_pb2

from conformance.finding import Group, RuleSkippedError, require
from conformance.orders import DRIVER, PASSENGER, is_locked, lock, unlock
from conformance.scenes import ARRIVAL_SECONDS, has_acted
from protocol.faults import Fault

if TYPE_CHECKING:
    from conformance.unit import Unit

GROUP = Group("delivery")
_DOORS = (DRIVER, PASSENGER)
_DOOR_SECONDS = 0.5
_TOLERANCE_MILLIS = 1_000


@GROUP.rule
async def lost_reply_is_sent_again(unit: Unit) -> None:
    """Write the result to the disk; publish; acknowledge: a reply that is lost is sent again, and nothing
    acts again.
    """
    if unit.broker is None:
        raise RuleSkippedError("needs the kit's own broker")
    await unit.link.lose_events()
    try:
        signed = await unit.order(unlock())
        await has_acted(unit, signed.order_id)
        await asyncio.sleep(ARRIVAL_SECONDS)
        left = await unit.link.unsettled()
    finally:
        await unit.link.store_events()
    require(left, "it acknowledged the order before the broker had stored its answer")
    stored = await unit.stored_answer(signed)
    result = stored.payload
    require(result.outcome == report_pb2.COMMAND_OUTCOME_SUCCEEDED, "the result came otherwise than it was")
    await unit.does(lock())
    require(await unit.known_result(signed.order) == result, "sent again, the order was answered otherwise")
    await unit.acted_once(signed)
    require(is_locked((await unit.fence()).status, DRIVER), "the order acted again")


@GROUP.rule
async def reboot_begins_an_epoch(unit: Unit) -> None:
    """At every boot: a new epoch and report key. An order signed for the epoch before is WRONG_EPOCH, then
    acts once.
    """
    before = unit.hellos()[-1]
    order = unlock()
    stale = unit.cloud.sign(order)
    rebooted_at_millis = unit.cloud.now_millis()
    if unit.hands.sees_actuations:
        await unit.hands.sleep()
        await unit.send(stale)
        info = await unit.reboot()
    else:
        info = await unit.reboot()
        await unit.send(stale)
    require(
        info.report_public_key != before.report_public_key, "the report key is the one of the epoch before"
    )
    up_millis = unit.came_at_millis(info) - rebooted_at_millis
    require(info.clock_millis <= up_millis + _TOLERANCE_MILLIS, "the clock did not start at 0")
    require(not any(one.counter for one in info.counters), "the counters did not start at 0")
    require(info.hello.boot_id != before.hello.boot_id, "the boot id is the one of the boot before")
    await unit.refusal(stale, Fault.WRONG_EPOCH)
    await unit.never_acts(stale)
    await unit.does(unlock(command_id=order.command_id))
    await unit.acted_once(stale)


@GROUP.rule
async def memory_outlives_reboot(unit: Unit) -> None:
    """What it knows outlives the boot: a known order gets its stored answer, signed again, under the same
    message id.
    """
    signed = await unit.order(unlock())
    first = await unit.answer(signed)
    await unit.does(lock())
    manifest_version = (await unit.asked()).manifest_version
    info = await unit.reboot()
    require(info.manifest_version == manifest_version, "the boot brought an older manifest back")
    again = await unit.provoked(signed)
    require(again.payload == first.payload, "after the reboot the order was answered otherwise")
    require(again.message_id == first.message_id, "after the reboot the answer has another message id")
    require(again.epoch == info.epoch, "the answer was signed for the epoch before")
    await unit.acted_once(signed)
    require(is_locked((await unit.fence()).status, DRIVER), "a known order acted after a reboot")


@GROUP.rule
async def crash_interrupts_for_good(unit: Unit) -> None:
    """A crash in between ends in INTERRUPTED, never in a second attempt."""
    await unit.hands.set_door_time(_DOOR_SECONDS)
    try:
        signed = await unit.order(unlock(*_DOORS))
        await has_acted(unit, signed.order_id)
        await unit.reboot()
    finally:
        await unit.hands.set_door_time(0)
    result = await unit.result(signed)
    require(
        result.outcome == report_pb2.COMMAND_OUTCOME_FAILED
        and result.fault == report_pb2.FAULT_CODE_INTERRUPTED,
        "the command that a reboot cut short is not FAILED with INTERRUPTED",
    )
    begun = await unit.hands.actuations(signed.order_id)
    require(await unit.known_result(signed.order) == result, "sent again, the order was answered otherwise")
    await unit.fence()
    require(await unit.hands.actuations(signed.order_id) == begun, "it went on after the reboot")

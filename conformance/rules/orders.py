"""Good orders: they act, once."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ecarus.remotecontrol.vehicle.v1 import session_pb2

from conformance.finding import Group, require
from conformance.forge import Mutation
from conformance.orders import DRIVER, is_locked, lock, unlock
from protocol.domains import MAX_COUNTER, Domain
from protocol.faults import Fault

if TYPE_CHECKING:
    from conformance.unit import Unit

GROUP = Group("orders")
_LONGEST_INTERVAL_SECONDS = 60


@GROUP.rule
async def good_order_acts(unit: Unit) -> None:
    """An order that passes every check acts, and its result says what became of each door."""
    signed = await unit.order(unlock())
    result = await unit.result(signed)
    require(result.command_id == signed.order_id, "the result names another command")
    require([one.door for one in result.doors] == [DRIVER], "the result does not name the door, and no other")
    require(result.doors[0].HasField("locked"), "the result does not say whether its door is locked")
    require(result.doors[0].succeeded and not result.doors[0].locked, "the door was not unlocked")
    require(result.doors[0].HasField("locked"), "the result does not say that the door is not locked")
    require(not is_locked(result.status, DRIVER), "the result's status does not agree with its door")
    await unit.acted_once(signed)
    again = await unit.does(lock())
    require(is_locked(again.status, DRIVER), "the door was not locked again")


@GROUP.rule
async def report_agrees(unit: Unit) -> None:
    """The next status report agrees with what was done."""
    for order, locked in ((unlock(), False), (lock(), True)):
        await unit.does(order)
        last = max(0, len(unit.reports()) - 1)
        interval = max([0, *(one.payload.reporting_interval_seconds for one in unit.reports())])
        await unit.until(
            partial(_some_report_says, unit, last, locked),
            "a status report that agrees",
            min(interval, _LONGEST_INTERVAL_SECONDS) + unit.patience.answer,
        )


def _some_report_says(unit: Unit, after: int, locked: bool) -> bool:
    return any(is_locked(one.payload, DRIVER) == locked for one in unit.reports()[after:])


@GROUP.rule
async def every_role_may_order_doors(unit: Unit) -> None:
    """Role may give this order: doors may be ordered by any of the three."""
    for role in (session_pb2.ROLE_SHARED_USER, session_pb2.ROLE_DIGITAL_KEY):
        await unit.result(await unit.order(lock(), Mutation(role=role)))


@GROUP.rule
async def duplicate_acts_once(unit: Unit) -> None:
    """Known order id: do not act, send the stored answer again. (The same bytes.)"""
    await unit.afford(3)
    signed = unit.cloud.sign(unlock())
    await unit.send(signed, times=3)
    first = await unit.result(signed)
    await unit.does(lock())
    await unit.fence()
    again = (await unit.provoked(signed)).payload
    require(again == first, "a duplicate was answered otherwise than the first")
    await unit.acted_once(signed)
    require(is_locked((await unit.fence()).status, DRIVER), "a duplicate moved the door")


@GROUP.rule
async def signed_anew_acts_once(unit: Unit) -> None:
    """Known order id: do not act, send the stored answer again. (Signed anew.)"""
    order = unlock()
    first = await unit.order(order)
    result = await unit.result(first)
    await unit.does(lock())
    require(
        await unit.known_result(order) == result, "the second signing was answered otherwise than the first"
    )
    await unit.acted_once(first)
    require(is_locked((await unit.fence()).status, DRIVER), "the second signing moved the door")


@GROUP.rule
async def answer_again_is_stored(unit: Unit) -> None:
    """Where the broker is given an id to tell repetitions by, make it of message id and request hash together."""
    order = lock()
    await unit.succeeds(await unit.order(order))
    again = unit.cloud.sign(order)
    await unit.provoked(again)
    await unit.stored_answer(again, unit.patience.answer)


@GROUP.rule
async def known_comes_first(unit: Unit) -> None:
    """A known order id is looked at before epoch, expiry and counter."""
    order = unlock()
    result = await unit.result(await unit.order(order))
    await unit.does(lock())
    for mutation in (Mutation(epoch=bytes(16)), Mutation(left_millis=-1_000), Mutation(counter=1)):
        require(
            await unit.known_result(order, mutation) == result,
            "a known order got another answer than its own",
        )
    require(is_locked((await unit.fence()).status, DRIVER), "a known order moved the door")


@GROUP.rule
async def earlier_never_undoes_later(unit: Unit) -> None:
    """So an unlock that was signed before a lock cannot act after it."""
    earlier = unit.cloud.sign(unlock())
    later = await unit.order(lock())
    await unit.result(later)
    await unit.refusal(earlier, Fault.COUNTER_NOT_NEW)
    await unit.never_acts(earlier)


@GROUP.rule
async def wrong_epoch_is_refused(unit: Unit) -> None:
    """Nothing signed for another epoch is worth anything; the refusal says which it is, and it is signed
    again.
    """
    order = unlock()
    stale = unit.cloud.sign(order, Mutation(epoch=bytes(16)))
    refusal = await unit.refusal(stale, Fault.WRONG_EPOCH)
    require(
        refusal.session.epoch == unit.cloud.session.epoch, "the refusal names another epoch than the hello"
    )
    await unit.never_acts(stale)
    await unit.does(order)
    await unit.acted_once(stale)


@GROUP.rule
async def counter_too_large(unit: Unit) -> None:
    """Counters end at 2^48 - 1."""
    signed = unit.cloud.sign(unlock(), Mutation(counter=MAX_COUNTER + 1))
    await unit.refusal(signed, Fault.COUNTER_TOO_LARGE)
    await unit.never_acts(signed)


@GROUP.rule
async def refused_spends_nothing(unit: Unit) -> None:
    """Only step 9 spends the counter: what an earlier step refuses leaves it as it was."""
    ahead = unit.cloud.session.current.issued.get(Domain.COMMAND, 0) + 1_000
    signed = unit.cloud.sign(unlock(), Mutation(counter=ahead, left_millis=-1_000))
    refused = await unit.refusal(signed, Fault.EXPIRED)
    counters = {one.domain: one.counter for one in refused.session.counters}
    told = counters.get(Domain.COMMAND.value, 0)
    require(told < ahead, f"counter {ahead} of a refused order was spent: it says {told}")
    await unit.succeeds(await unit.order(lock()))
    await unit.never_acts(signed)

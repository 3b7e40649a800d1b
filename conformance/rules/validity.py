"""Clocks: expired orders, orders that are valid for too long, and clocks that are set wrong."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from conformance.finding import Group, require
from conformance.forge import Mutation
from conformance.orders import cancel_command, lock, unlock
from protocol.domains import LONGEST_VALIDITY_MILLIS, Domain
from protocol.faults import Fault

if TYPE_CHECKING:
    from conformance.unit import Unit

GROUP = Group("validity")
_LATE_MILLIS = -1_000
_TOO_LONG_MILLIS = 15_000
_SKEW_MILLIS = 600_000
_TOLERANCE_MILLIS = 3_000
_UNEVEN_MILLIS = 1_000
_OBSERVED_SECONDS = 2
_A_DAY = timedelta(days=1)


@GROUP.rule
async def expired_never_acts(unit: Unit) -> None:
    """Not expired: an order whose time is up never acts."""
    signed = unit.cloud.sign(unlock(), Mutation(left_millis=_LATE_MILLIS))
    await unit.refusal(signed, Fault.EXPIRED)
    await unit.never_acts(signed)


@GROUP.rule
async def valid_too_long_never_acts(unit: Unit) -> None:
    """Not valid for longer than allowed: 30 s for cmd.door, 60 s for the others."""
    long_door = Mutation(left_millis=LONGEST_VALIDITY_MILLIS[Domain.COMMAND] + _TOO_LONG_MILLIS)
    door = unit.cloud.sign(unlock(), long_door)
    await unit.refusal(door, Fault.VALID_TOO_LONG)
    long_other = Mutation(left_millis=LONGEST_VALIDITY_MILLIS[Domain.CANCEL] + _TOO_LONG_MILLIS)
    withdrawal = unit.cloud.sign(cancel_command("nothing"), long_other)
    await unit.refusal(withdrawal, Fault.VALID_TOO_LONG)
    await unit.never_acts(door)


@GROUP.rule
async def longest_validity_acts(unit: Unit) -> None:
    """An order that is valid for as long as allowed acts."""
    for order, domain in ((lock(), Domain.COMMAND), (cancel_command("nothing"), Domain.CANCEL)):
        longest = Mutation(left_millis=LONGEST_VALIDITY_MILLIS[domain])
        await unit.result(await unit.order(order, longest))


@GROUP.rule
async def skewed_clock_is_put_right(unit: Unit) -> None:
    """A refusal for being out of step holds SessionInfo; the cloud signs the same order again, and it
    acts.
    """
    for skew, fault in ((-_SKEW_MILLIS, Fault.EXPIRED), (_SKEW_MILLIS, Fault.VALID_TOO_LONG)):
        await unit.fence()
        accepted = unit.cloud.session.current.issued[Domain.COMMAND]
        order = unlock()
        skewed = unit.cloud.sign(order, Mutation(left_millis=skew))
        session = (await unit.refusal(skewed, fault)).session
        require(session.epoch == unit.cloud.session.epoch, "the refusal names another epoch than the hello")
        off = abs(session.clock_millis - unit.cloud.unit_clock_millis())
        require(off < _TOLERANCE_MILLIS, f"the refusal's clock is {off} ms off the unit's")
        counters = {one.domain: one.counter for one in session.counters}
        require(
            counters.get(Domain.COMMAND.value) == accepted, "the refusal has other counters than the unit"
        )
        await unit.does(order)
        await unit.acted_once(skewed)
        await unit.does(lock())


@GROUP.rule
async def wall_clock_never_lengthens(unit: Unit) -> None:
    """Not expired, by the epoch's clock: a wall clock gives no expired order time."""
    order = unlock()
    order.expires_at.FromDatetime(datetime.now(UTC) + _A_DAY)
    signed = unit.cloud.sign(order, Mutation(left_millis=_LATE_MILLIS))
    await unit.refusal(signed, Fault.EXPIRED)
    await unit.never_acts(signed)


@GROUP.rule
async def wall_clock_does_not_shorten(unit: Unit) -> None:
    """Expiry is the epoch's clock alone: a command acts whose expires_at is long over by the wall clock, as it is for a
    unit whose clock is set wrong.
    """
    order = unlock()
    order.issued_at.FromDatetime(datetime.now(UTC) - _A_DAY)
    order.expires_at.FromDatetime(datetime.now(UTC) - _A_DAY + timedelta(seconds=30))
    await unit.does(order)
    await unit.does(lock())


@GROUP.rule
async def clock_runs_evenly(unit: Unit) -> None:
    """The clock counts thousandths of a second without ever stopping or being set."""
    first = await unit.asked()
    await asyncio.sleep(_OBSERVED_SECONDS)
    last = await unit.asked()
    passed = last.clock_millis - first.clock_millis
    elapsed = unit.came_at_millis(last) - unit.came_at_millis(first)
    require(
        abs(passed - elapsed) < _UNEVEN_MILLIS, f"its clock counted {passed} ms while {elapsed} ms passed"
    )

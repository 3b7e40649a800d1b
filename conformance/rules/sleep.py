"""Sleep: the last word before it, the clock in it, and the first word after it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from conformance.finding import Group, require
from conformance.orders import lock, unlock
from conformance.scenes import ARRIVAL_SECONDS
from protocol.subjects import EventKind

if TYPE_CHECKING:
    from conformance.unit import Unit

GROUP = Group("sleep")
_SLEEP_SECONDS = 2.5
_UNEVEN_MILLIS = 1_000


@GROUP.rule
async def sleep_is_announced(unit: Unit) -> None:
    """Report before disconnecting on purpose: that last report has going_to_sleep, and no other has."""
    await unit.fence()
    awake = len(unit.reports())
    await unit.does(unlock())
    await unit.does(lock())
    asleep = len(unit.reports())
    await unit.hands.sleep()
    try:
        last = "a last report with going_to_sleep"
        await unit.until(lambda: any(one.payload.going_to_sleep for one in unit.reports()[asleep:]), last)
        await asyncio.sleep(unit.patience.quiet)
        require(unit.cloud.said[-1] is EventKind.STATUS, "it said something after its last report")
    finally:
        await unit.hands.wake()
    early = [one for one in unit.reports()[awake:asleep] if one.payload.going_to_sleep]
    require(not early, "a report says going_to_sleep, and the unit stayed awake")
    await unit.fence()


@GROUP.rule
async def hello_comes_first(unit: Unit) -> None:
    """It publishes SessionInfo on every connect, before anything else; challenge is empty when nothing was asked."""
    await unit.hands.sleep()
    try:
        signed = await unit.order(unlock())
        await asyncio.sleep(ARRIVAL_SECONDS)
        said, greeted = len(unit.cloud.said), len(unit.hellos())
    finally:
        await unit.hands.wake()
    info = await unit.next_hello(greeted, "a hello after waking")
    first = unit.cloud.said[said]
    require(first is EventKind.HELLO, f"the first that it said on a new connection was evt.{first.value}")
    require(not info.challenge, "a hello that nobody asked for holds a challenge")
    await unit.succeeds(signed)


@GROUP.rule
async def clock_runs_in_sleep(unit: Unit) -> None:
    """The clock counts without ever stopping, in sleep, too."""
    first = await unit.asked()
    await unit.hands.sleep()
    try:
        await asyncio.sleep(_SLEEP_SECONDS)
    finally:
        await unit.hands.wake()
    last = await unit.asked()
    require(last.epoch == first.epoch, "it began another epoch by sleeping: only a boot does")
    passed = last.clock_millis - first.clock_millis
    elapsed = unit.came_at_millis(last) - unit.came_at_millis(first)
    require(
        abs(passed - elapsed) < _UNEVEN_MILLIS, f"its clock counted {passed} ms while {elapsed} ms passed"
    )

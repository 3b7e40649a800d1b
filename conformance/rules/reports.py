"""Reports under session keys, and everything else the unit said in the run. These rules come last."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from conformance.finding import Group, Skipped, Violated, require
from protocol.broker import Event

if TYPE_CHECKING:
    from conformance.unit import Unit

GROUP = Group("reports")
_ASK_AGAIN_SECONDS = 0.02
_REPORTS = (Event.STATUS, Event.DIAGNOSTICS)


@GROUP.rule
async def reports_have_their_place(unit: Unit) -> None:
    """Reports open under the key of their epoch, each with a counter of its own."""
    await unit.fence()
    await unit.until(lambda: bool(unit.reports()), "a status report", unit.patience.comeback)
    reused = unit.cloud.reused_counters
    require(not reused, f"{len(reused)} counters stand on more than one report: a nonce was used twice")
    for event in _REPORTS:
        places = [(one.epoch, one.counter) for one in unit.cloud.heard if one.event is event]
        require(len(set(places)) == len(places), f"evt.{event.value} used a counter twice")
        require(all(counter >= 1 for _, counter in places), f"evt.{event.value} does not count from 1")


@GROUP.rule
async def report_keys_are_new(unit: Unit) -> None:
    """A new report key at every epoch, never stored."""
    keys = {info.epoch: info.report_public_key for info in unit.hellos()}
    if len(keys) == 1:
        raise Skipped("needs a second epoch")
    require(len(set(keys.values())) == len(keys), "two epochs have one report key")
    changed = [info for info in unit.hellos() if info.report_public_key != keys[info.epoch]]
    require(not changed, "one epoch has two report keys")


@GROUP.rule
async def message_ids_are_unique(unit: Unit) -> None:
    """Unique per message: message ids; the same only where the same answer is signed again."""
    said: dict[str, object] = {}
    for one in unit.cloud.heard:
        if one.event not in _REPORTS:  # they have counters
            what = one.info or one.payload
            first = said.setdefault(one.message_id, what)
            require(
                first == what,
                f"two different messages have one message id, the later on evt.{one.event.value}",
            )


@GROUP.rule
async def all_it_says_is_believed(unit: Unit) -> None:
    """The cloud checks size, form, key, signature, type, VIN, request, epoch, counter of all that it is
    told.
    """
    said = unit.cloud.disbelieved
    require(not said, f"{len(said)} messages that no cloud believes; the first: {said[0] if said else ''}")
    waiting = unit.cloud.unannounced
    require(waiting == 0, f"{waiting} messages of an epoch that no hello told of")


@GROUP.rule
async def everything_is_acknowledged(unit: Unit) -> None:
    """Acknowledge the broker's message: nothing is left in the queue."""
    await unit.fence()
    try:
        async with asyncio.timeout(unit.patience.answer + unit.patience.comeback / 2):
            while await unit.link.unsettled():  # noqa: ASYNC110  # the broker tells nobody
                await asyncio.sleep(_ASK_AGAIN_SECONDS)
    except TimeoutError as error:
        left = await unit.link.unsettled()
        raise Violated(f"{left} messages were never acknowledged") from error

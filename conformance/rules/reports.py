"""Reports under session keys, and everything else the unit said in the run. These rules come last."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

from ecarus.remotecontrol.vehicle.v1 import body_pb2, report_pb2

from conformance.finding import Group, RuleSkippedError, require
from conformance.orders import DRIVER, is_locked, lock, unlock
from conformance.scenes import settled
from protocol.subjects import EventKind

if TYPE_CHECKING:
    from conformance.unit import Unit

GROUP = Group("reports")
_REPORTS = (EventKind.STATUS, EventKind.DIAGNOSTICS)
_UNLIKE_BITS = 24
"""Of 128: by chance two epochs differ in fewer once in 10^12 times."""
_AT_ONCE_SHARE = 6
_AT_ONCE_LEAST_SECONDS = 2.0


@GROUP.rule
async def reports_have_their_place(unit: Unit) -> None:
    """Reports open under the key of their epoch, each with a counter of its own."""
    await unit.fence()
    await unit.until(lambda: bool(unit.reports()), "a status report", unit.patience.comeback)
    reused = unit.cloud.reused_counters
    require(not reused, f"{len(reused)} counters stand on more than one report: a nonce was used twice")
    for event in _REPORTS:
        places = [(one.epoch, one.counter) for one in unit.cloud.received if one.event is event]
        require(len(set(places)) == len(places), f"evt.{event.value} used a counter twice")
        require(all(counter >= 1 for _, counter in places), f"evt.{event.value} does not count from 1")


@GROUP.rule
async def report_at_once(unit: Unit) -> None:
    """Report at once after each result."""
    await unit.fence()
    for order, locked in ((unlock(), False), (lock(), True), (unlock(), False), (lock(), True)):
        said = len(unit.reports())
        await unit.does(order)
        interval = max([0, *(one.payload.reporting_interval_seconds for one in unit.reports())])
        # Far shorter than the interval at which it reports anyway, so that not all four can be chance.
        limit = min(unit.patience.answer, max(_AT_ONCE_LEAST_SECONDS, interval / _AT_ONCE_SHARE))
        await unit.until(
            partial(_says, unit, said, locked), "a report of how the door stands after a result", limit
        )


def _says(unit: Unit, after: int, locked: bool) -> bool:
    return any(is_locked(one.payload, DRIVER) == locked for one in unit.reports()[after:])


@GROUP.rule
async def lock_changes_name_their_cause(unit: Unit) -> None:
    """A unit that names what moved a lock names COMMAND for what a command moved, and for nothing else."""
    await unit.fence()
    for order in (unlock(), lock()):
        # Of the whole result's status: a lock that nothing moved for it keeps the cause that it had.
        result = await unit.does(order)
        for door in result.status.doors:
            if door.door == DRIVER and door.HasField("lock_change"):
                named = door.lock_change
                require(
                    named.cause == body_pb2.LOCK_CAUSE_COMMAND,
                    "a lock that a command moved has another cause",
                )
                require(
                    named.after_sequence < result.status.sequence,
                    "a lock moved after the report that shows it",
                )


@GROUP.rule
async def boot_id_is_the_hellos(unit: Unit) -> None:
    """boot_id is the one of the hello."""
    await unit.fence()
    boots = {info.epoch: info.hello.boot_id for info in unit.hellos()}
    for one in unit.cloud.received:
        if one.event in _REPORTS and one.epoch in boots:
            said, told = one.payload.boot_id, boots[one.epoch]
            require(said == told, f"evt.{one.event.value} has boot_id {said!r}, and the hello said {told!r}")


@GROUP.rule
async def sequence_counts_up(unit: Unit) -> None:
    """sequence counts up within a boot with every report, self-check and status inside a result alike."""
    await unit.does(unlock())
    await unit.does(lock())
    said: dict[tuple[str, int], object] = {}
    for what in _states(unit):
        first = said.setdefault((what.boot_id, what.sequence), what)
        require(first == what, f"two different states of one boot have the sequence {what.sequence}")
    for event in _REPORTS:
        sent = sorted(
            (one for one in unit.cloud.received if one.event is event),
            key=lambda one: (one.epoch, one.counter),
        )
        for one, later in pairwise(sent):
            same_boot = (one.epoch, one.payload.boot_id) == (later.epoch, later.payload.boot_id)
            if same_boot and one.counter < later.counter and one.payload.sequence:
                require(
                    one.payload.sequence < later.payload.sequence,
                    f"evt.{event.value}: {later.payload.sequence} comes after {one.payload.sequence}",
                )


def _states(unit: Unit) -> list[report_pb2.StatusReport | report_pb2.DiagnosticsReport]:
    """All that say where in their boot they were made."""
    found = [one.payload for one in unit.cloud.received if one.event in _REPORTS]
    found += [
        one.payload.status for one in unit.cloud.received if isinstance(one.payload, report_pb2.CommandResult)
    ]
    return [one for one in found if one.sequence]


@GROUP.rule
async def report_keys_are_new(unit: Unit) -> None:
    """A new report key at every epoch, never stored."""
    keys = {info.epoch: info.report_public_key for info in unit.hellos()}
    if len(keys) == 1:
        raise RuleSkippedError("needs a second epoch")
    require(len(set(keys.values())) == len(keys), "two epochs have one report key")
    changed = [info for info in unit.hellos() if info.report_public_key != keys[info.epoch]]
    require(not changed, "one epoch has two report keys")


@GROUP.rule
async def reports_count_from_1(unit: Unit) -> None:
    """The counter starts at 1 in each epoch and domain."""
    # The epoch that the kit came into may have begun long before.
    epochs = list(dict.fromkeys(info.epoch for info in unit.hellos()))[1:]
    if not epochs:
        raise RuleSkippedError("needs a second epoch")
    for event in _REPORTS:
        for epoch in epochs:
            counters = [
                one.counter for one in unit.cloud.received if (one.event, one.epoch) == (event, epoch)
            ]
            least = min(counters, default=1)
            require(least == 1, f"the first counter of an epoch on evt.{event.value} is {least}")


@GROUP.rule
async def epochs_are_random(unit: Unit) -> None:
    """At every boot the vehicle makes an epoch: 16 random bytes."""
    epochs = list({info.epoch for info in unit.hellos()})
    if len(epochs) == 1:
        raise RuleSkippedError("needs a second epoch")
    for nth, one in enumerate(epochs):
        for other in epochs[:nth]:
            unlike = (int.from_bytes(one) ^ int.from_bytes(other)).bit_count()
            require(unlike >= _UNLIKE_BITS, f"two epochs differ in {unlike} of 128 bits")


@GROUP.rule
async def message_ids_are_unique(unit: Unit) -> None:
    """Unique per message: message ids; the same only where the same answer is signed again."""
    said: dict[str, object] = {}
    for one in unit.cloud.received:
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
    said = unit.cloud.rejected
    require(not said, f"{len(said)} messages that no cloud believes; the first: {said[0] if said else ''}")
    waiting = unit.cloud.unannounced
    require(waiting == 0, f"{waiting} messages of an epoch that no hello told of")


@GROUP.rule
async def everything_is_acknowledged(unit: Unit) -> None:
    """Acknowledge the broker's message: nothing is left in the queue."""
    await unit.fence()
    await settled(unit, unit.patience.answer + unit.patience.comeback / 2)

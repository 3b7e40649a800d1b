"""Which doors an order means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ecarus.remotecontrol.vehicle.v1 import body_pb2, report_pb2

from conformance.finding import Group, require
from conformance.orders import DRIVER, is_locked, lock, unlock

if TYPE_CHECKING:
    from conformance.unit import Unit

GROUP = Group("doors")
_NO_DOOR = body_pb2.DoorId.ValueType(99)


@GROUP.rule
async def all_doors_are_all_locks(unit: Unit) -> None:
    """A command for all doors means every lock that the vehicle has."""
    order = lock()
    del order.doors[:]
    order.all_doors = True
    result = await unit.does(order)
    named = {one.door for one in result.doors}
    sensed = {one.door for one in result.status.doors if one.HasField("locked")} - {body_pb2.DOOR_ID_HOOD}
    require(sensed <= named, f"of {len(sensed)} locks that it reports, it locked {len(sensed & named)}")
    for door in sensed:
        require(is_locked(result.status, door), "a lock that it reports is not locked")


@GROUP.rule
async def door_it_lacks_is_refused(unit: Unit) -> None:
    """A command that names a door that the vehicle lacks is REFUSED with NOT_SUPPORTED, and nothing moves."""
    signed = await unit.order(unlock(DRIVER, _NO_DOOR))
    result = await unit.result(signed)
    require(
        result.outcome == report_pb2.COMMAND_OUTCOME_REFUSED, "a door that no vehicle has was not REFUSED"
    )
    require(
        result.fault == report_pb2.FAULT_CODE_NOT_SUPPORTED, "it was refused otherwise than as NOT_SUPPORTED"
    )
    await unit.never_acts(signed)

"""Which doors an order means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ecarus.remotecontrol.vehicle.v1 import body_pb2, command_pb2, report_pb2

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


@GROUP.rule
async def remote_access_off_refuses_all(unit: Unit) -> None:
    """While it is off, every DoorCommand is REFUSED with REMOTE_ACCESS_DISABLED; report at once when it is switched."""
    await unit.fence()
    before, sent = len(unit.reports()), []
    await unit.hands.set_remote_access("DISABLED")
    try:
        said = "a report that says that remote access is off"
        await unit.until(lambda: any(_says_off(one.payload) for one in unit.reports()[before:]), said)
        emergency = unlock()
        emergency.mode = command_pb2.DOOR_ACTION_MODE_EMERGENCY
        for order in (unlock(), lock(), emergency):
            sent.append(await unit.order(order))
            result = await unit.result(sent[-1])
            require(
                (result.outcome, result.fault)
                == (report_pb2.COMMAND_OUTCOME_REFUSED, report_pb2.FAULT_CODE_REMOTE_ACCESS_DISABLED),
                "with remote access off, it did not refuse a command with REMOTE_ACCESS_DISABLED",
            )
    finally:
        await unit.hands.set_remote_access("ENABLED")
    await unit.never_acts(*sent)


@GROUP.rule
async def privacy_mode_tells_nothing(unit: Unit) -> None:
    """In privacy mode reports and results tell nothing of doors, ignition, speed and gear."""
    await unit.fence()
    before = len(unit.reports())
    await unit.hands.set_remote_access("PRIVACY_MODE")
    try:
        said = "a report in privacy mode"
        await unit.until(lambda: any(_says_off(one.payload) for one in unit.reports()[before:]), said)
        result = await unit.result(await unit.order(lock()))
        told = [one.payload for one in unit.reports()[before:] if _says_off(one.payload)]
        for status in (*told, result.status):
            silent = not (status.doors or status.ignition or status.gear or status.HasField("speed_kmh"))
            require(silent, "in privacy mode it tells how it stands")
        require(not any(one.HasField("locked") for one in result.doors), "a result tells how its locks stand")
    finally:
        await unit.hands.set_remote_access("ENABLED")
    await unit.succeeds(await unit.order(lock()))


def _says_off(status: report_pb2.StatusReport) -> bool:
    return status.remote_access in {
        body_pb2.REMOTE_ACCESS_DISABLED,
        body_pb2.REMOTE_ACCESS_PRIVACY_MODE,
    }

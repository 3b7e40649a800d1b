"""A car whose people have switched remote access off in it, or privacy mode on."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from ecarus.remotecontrol.vehicle.v1 import body_pb2, report_pb2

from tests.unit.vehicle.test_equipment import car_of, order
from vehicle.doors.automation import ActuationCause
from vehicle.doors.body import FULL_EQUIPMENT, Body, DoorName, Equipment, RemoteAccess
from vehicle.doors.command import CommandFault, CommandOutcome, LockAction
from vehicle.doors.equipment import read_equipment
from vehicle.doors.executor import Execution
from vehicle.messages import translate

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.vehicle.conftest import FakeClock

AT = datetime(2026, 1, 12, 14, 30, tzinfo=UTC)
OFF = [RemoteAccess.DISABLED, RemoteAccess.PRIVACY_MODE]


@pytest.mark.parametrize("access", OFF)
@pytest.mark.parametrize("action", list(LockAction))
async def test_while_it_is_off_every_command_is_refused(
    tmp_path: Path, clock: FakeClock, access: RemoteAccess, action: LockAction
) -> None:
    car = car_of(FULL_EQUIPMENT, tmp_path, clock)
    car.change(lambda body: body.with_remote_access(access), ActuationCause.HAND)
    result = await Execution(order(clock, action), car, clock).run()
    assert (result.outcome, result.fault) == (CommandOutcome.REFUSED, CommandFault.REMOTE_ACCESS_DISABLED)
    assert car.log.read() == []
    told = translate.result_into(result, car.body, translate.status_report(car.body, AT, "b", 1, 30))
    assert told.fault == report_pb2.FAULT_CODE_REMOTE_ACCESS_DISABLED
    assert all(each.HasField("locked") == (access is RemoteAccess.DISABLED) for each in told.doors)
    await car.stop()


def test_reports_say_how_the_switch_stands_and_in_privacy_mode_nothing_else() -> None:
    def report(access: RemoteAccess) -> report_pb2.StatusReport:
        return translate.status_report(Body().with_remote_access(access), AT, "b", 1, 30)

    assert report(RemoteAccess.ENABLED).remote_access == body_pb2.REMOTE_ACCESS_ENABLED
    off = report(RemoteAccess.DISABLED)
    assert (off.remote_access, len(off.doors)) == (body_pb2.REMOTE_ACCESS_DISABLED, 6)
    private = report(RemoteAccess.PRIVACY_MODE)
    assert private.remote_access == body_pb2.REMOTE_ACCESS_PRIVACY_MODE
    assert (len(private.doors), private.ignition, private.gear, private.HasField("speed_kmh")) == (
        0,
        0,
        0,
        False,
    )


async def test_it_survives_a_restart(tmp_path: Path, clock: FakeClock) -> None:
    car = car_of(FULL_EQUIPMENT, tmp_path, clock)
    car.change(lambda body: body.with_remote_access(RemoteAccess.DISABLED), ActuationCause.HAND)
    await car.stop()
    again = car_of(FULL_EQUIPMENT, tmp_path, clock)
    assert again.body.remote_access is RemoteAccess.DISABLED
    await again.stop()


async def test_doors_with_a_key_alone_are_locked_and_not_unlocked(tmp_path: Path, clock: FakeClock) -> None:
    trunk = Equipment(key_only=frozenset({DoorName.TRUNK}))
    assert read_equipment({"keyOnly": ["trunk"]}) == trunk
    car = car_of(trunk, tmp_path, clock)
    every = await Execution(order(clock, LockAction.UNLOCK), car, clock).run()
    assert every.outcome is CommandOutcome.SUCCEEDED
    assert DoorName.TRUNK not in {each.door for each in every.doors}
    assert every.guidance == "The doors are unlocked."
    named = await Execution(order(clock, LockAction.UNLOCK, DoorName.TRUNK), car, clock).run()
    assert (named.outcome, named.fault) == (CommandOutcome.REFUSED, CommandFault.NOT_SUPPORTED)
    locked = await Execution(order(clock, LockAction.LOCK), car, clock).run()
    assert DoorName.TRUNK in {each.door for each in locked.doors}
    await car.stop()


async def test_a_car_that_nothing_unlocks_refuses_to(tmp_path: Path, clock: FakeClock) -> None:
    van = Equipment(key_only=frozenset(DoorName) - {DoorName.HOOD})
    car = car_of(van, tmp_path, clock)
    result = await Execution(order(clock, LockAction.UNLOCK), car, clock).run()
    assert (result.outcome, result.fault) == (CommandOutcome.REFUSED, CommandFault.NOT_SUPPORTED)
    await car.stop()

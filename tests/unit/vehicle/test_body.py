from __future__ import annotations

import pytest

from vehicle.doors.body import Body, DoorName, Gear, Ignition, LockPosition, MechanicsError, NotFittedError


def test_unlocking_a_door_does_not_open_it() -> None:
    door = Body().with_lock(DoorName.DRIVER, LockPosition.UNLOCKED).doors[DoorName.DRIVER]
    assert (door.locked, door.open) == (False, False)


def test_a_locked_door_cannot_be_opened_and_an_open_one_not_locked() -> None:
    body = Body()
    with pytest.raises(MechanicsError, match="driver is locked"):
        body.with_open(DoorName.DRIVER, is_open=True)
    body = body.with_lock(DoorName.DRIVER, LockPosition.UNLOCKED).with_open(DoorName.DRIVER, is_open=True)
    with pytest.raises(MechanicsError, match="driver is open"):
        body.with_lock(DoorName.DRIVER, LockPosition.LOCKED)


def test_deadlock_is_beyond_lock() -> None:
    body = Body()
    assert not body.doors[DoorName.DRIVER].is_at(LockPosition.DEADLOCKED)
    secured = body.with_lock(DoorName.DRIVER, LockPosition.DEADLOCKED).doors[DoorName.DRIVER]
    assert secured.is_at(LockPosition.DEADLOCKED)
    assert secured.is_at(LockPosition.LOCKED)


def test_the_hood_has_a_latch_and_no_actuator() -> None:
    assert not Body().with_open(DoorName.HOOD, is_open=True).doors[DoorName.HOOD].locked
    with pytest.raises(NotFittedError):
        Body().with_lock(DoorName.HOOD, LockPosition.UNLOCKED)
    with pytest.raises(NotFittedError):
        Body().with_actuator(DoorName.HOOD, failed=True)


def test_the_trunk_has_no_window() -> None:
    with pytest.raises(NotFittedError):
        Body().with_window(DoorName.TRUNK, is_open=True)


def test_child_locks_are_at_the_rear() -> None:
    body = Body().with_child_lock(engaged=True)
    assert {name for name, door in body.doors.items() if door.child_lock} == {
        DoorName.REAR_LEFT,
        DoorName.REAR_RIGHT,
    }


def test_a_moving_car_takes_neither_park_nor_ignition_off() -> None:
    body = Body().driven(30)
    assert (body.ignition, body.gear) == (Ignition.ON, Gear.D)
    with pytest.raises(MechanicsError):
        body.with_gear(Gear.P)
    with pytest.raises(MechanicsError):
        body.with_ignition(Ignition.OFF)
    assert body.parked() == Body()


@pytest.mark.parametrize("speed_kmh", [-1, 301])
def test_an_impossible_speed_is_refused(speed_kmh: float) -> None:
    with pytest.raises(MechanicsError):
        Body().driven(speed_kmh)


@pytest.mark.parametrize("percent", [-1, 101])
def test_an_impossible_charge_is_refused(percent: int) -> None:
    with pytest.raises(MechanicsError):
        Body().with_battery(percent)

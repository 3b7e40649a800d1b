from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vehicle.doors.automation import ActuationCause
from vehicle.doors.body import LOCKABLE, DoorName, LockPosition
from vehicle.doors.command import Command, CommandFault, CommandOutcome, LockAction, Mode
from vehicle.doors.executor import Execution, cancelled, interrupted
from vehicle.doors.settings import DoorSettings, UnlockMode

if TYPE_CHECKING:
    from tests.unit.vehicle.conftest import FakeClock
    from vehicle.doors.car import Car


def order(
    clock: FakeClock,
    action: LockAction = LockAction.UNLOCK,
    mode: Mode = Mode.NORMAL,
    doors: tuple[DoorName, ...] = (),
    valid_seconds: float = 30,
) -> Command:
    deadline_millis = clock.uptime_millis() + round(valid_seconds * 1000)
    return Command("c1", action, mode, doors, not doors, deadline_millis)


def moved(car: Car) -> list[str | None]:
    return [line["door"] for line in car.log.read() if line["outcome"] == "moved"]


async def test_all_doors_unlock(car: Car, clock: FakeClock) -> None:
    result = await Execution(order(clock), car, clock).run()
    assert (result.outcome, result.fault) == (CommandOutcome.SUCCEEDED, None)
    assert moved(car) == [door.value for door in LOCKABLE]
    assert result.guidance == "The doors are unlocked."


async def test_doors_already_there_succeed_without_a_line(car: Car, clock: FakeClock) -> None:
    result = await Execution(order(clock, LockAction.LOCK), car, clock).run()
    assert result.outcome is CommandOutcome.SUCCEEDED
    assert car.log.read() == []


async def test_secure_deadlocks_locked_doors(car: Car, clock: FakeClock) -> None:
    await Execution(order(clock, LockAction.LOCK, Mode.SECURE), car, clock).run()
    assert all(car.body.doors[door].deadlocked for door in LOCKABLE)


async def test_a_normal_lock_keeps_a_deadlock_and_says_so(car: Car, clock: FakeClock) -> None:
    await Execution(order(clock, LockAction.LOCK, Mode.SECURE), car, clock).run()
    result = await Execution(order(clock, LockAction.LOCK), car, clock).run()
    assert result.outcome is CommandOutcome.SUCCEEDED
    assert "The deadlock of driver, passenger, rearLeft, rearRight, trunk stays: unlock" in result.guidance
    assert car.body.doors[DoorName.DRIVER].deadlocked
    await Execution(order(clock, LockAction.UNLOCK), car, clock).run()
    result = await Execution(order(clock, LockAction.LOCK), car, clock).run()
    assert result.guidance == "The doors are locked."


async def test_an_expired_command_never_acts(car: Car, clock: FakeClock) -> None:
    command = order(clock, valid_seconds=10)
    clock.advance(10)
    result = await Execution(command, car, clock).run()
    assert (result.outcome, result.fault) == (CommandOutcome.REFUSED, CommandFault.EXPIRED)
    assert car.log.read() == []


async def test_a_wall_clock_set_back_gives_no_time(car: Car, clock: FakeClock) -> None:
    command = order(clock)
    clock.advance(31)
    clock.set_wall(-3600)
    assert (await Execution(command, car, clock).run()).fault is CommandFault.EXPIRED


async def test_a_wall_clock_set_forward_takes_no_time(car: Car, clock: FakeClock) -> None:
    command = order(clock)
    clock.set_wall(3600)
    assert (await Execution(command, car, clock).run()).outcome is CommandOutcome.SUCCEEDED


async def test_expiry_between_doors_leaves_the_rest(car: Car, clock: FakeClock) -> None:
    car.observe(lambda: clock.advance(12))
    result = await Execution(order(clock), car, clock).run()
    assert result.outcome is CommandOutcome.PARTIAL
    assert [one.fault for one in result.doors] == [
        None,
        None,
        None,
        CommandFault.EXPIRED,
        CommandFault.EXPIRED,
    ]


async def test_driving_off_between_doors_leaves_the_rest(car: Car, clock: FakeClock) -> None:
    def drive_off() -> None:
        if car.body.speed_kmh == 0:
            car.change(lambda body: body.driven(5), ActuationCause.HAND)

    car.observe(drive_off)
    result = await Execution(order(clock), car, clock).run()
    assert result.outcome is CommandOutcome.PARTIAL
    assert moved(car) == ["driver"]
    assert result.doors[1].fault is CommandFault.VEHICLE_MOVING


async def test_a_broken_actuator_makes_it_partial(car: Car, clock: FakeClock) -> None:
    car.change(lambda body: body.with_actuator(DoorName.REAR_LEFT, failed=True), ActuationCause.HAND)
    result = await Execution(order(clock), car, clock).run()
    assert (result.outcome, result.fault) == (CommandOutcome.PARTIAL, None)
    assert [one.door for one in result.doors if not one.succeeded] == [DoorName.REAR_LEFT]
    assert "rearLeft did not move" in result.guidance
    assert [line["outcome"] for line in car.log.read() if line["door"] == "rearLeft"] == [None, "actuator"]


async def test_a_lone_broken_actuator_makes_it_failed(car: Car, clock: FakeClock) -> None:
    car.change(lambda body: body.with_actuator(DoorName.TRUNK, failed=True), ActuationCause.HAND)
    result = await Execution(order(clock, doors=(DoorName.TRUNK,)), car, clock).run()
    assert (result.outcome, result.fault) == (CommandOutcome.FAILED, CommandFault.ACTUATOR)


async def test_an_open_door_refuses_the_whole_lock(car: Car, clock: FakeClock) -> None:
    await Execution(order(clock), car, clock).run()
    car.change(lambda body: body.with_open(DoorName.PASSENGER, is_open=True), ActuationCause.HAND)
    before = len(car.log.read())
    result = await Execution(order(clock, LockAction.LOCK), car, clock).run()
    assert (result.outcome, result.fault) == (CommandOutcome.REFUSED, CommandFault.DOOR_OPEN)
    assert len(car.log.read()) == before


async def test_a_stop_after_the_first_door_is_partial(car: Car, clock: FakeClock) -> None:
    execution = Execution(order(clock), car, clock)
    car.observe(lambda: execution.stop() and None)
    result = await execution.run()
    assert (result.outcome, result.stopped) == (CommandOutcome.PARTIAL, True)
    assert moved(car) == ["driver"]


@pytest.mark.parametrize("mode", [Mode.NORMAL, Mode.SECURE])
async def test_a_lock_is_finished_whatever_is_asked(car: Car, clock: FakeClock, mode: Mode) -> None:
    await Execution(order(clock), car, clock).run()
    execution = Execution(order(clock, LockAction.LOCK, mode), car, clock)
    asked: list[bool] = []
    car.observe(lambda: asked.append(execution.stop()))
    result = await execution.run()
    assert (result.outcome, result.stopped) == (CommandOutcome.SUCCEEDED, False)
    assert set(asked) == {False}
    assert all(door.locked for name, door in car.body.doors.items() if name in LOCKABLE)


async def test_a_stop_before_the_first_door_is_cancelled(car: Car, clock: FakeClock) -> None:
    execution = Execution(order(clock), car, clock)
    assert execution.stop()
    result = await execution.run()
    assert (result.outcome, result.fault) == (CommandOutcome.CANCELLED, CommandFault.CANCELLED)
    assert car.log.read() == []


@pytest.mark.parametrize(
    ("unlock_mode", "mode", "doors", "count"),
    [
        (UnlockMode.DRIVER_ONLY, Mode.NORMAL, (), 1),
        (UnlockMode.DRIVER_ONLY, Mode.EMERGENCY, (), 5),
        (UnlockMode.DRIVER_ONLY, Mode.NORMAL, (DoorName.TRUNK, DoorName.PASSENGER), 2),
        (UnlockMode.SEQUENCE, Mode.NORMAL, (), 1),
    ],
)
async def test_the_unlock_mode_speaks_for_all_only(
    car: Car,
    clock: FakeClock,
    unlock_mode: UnlockMode,
    mode: Mode,
    doors: tuple[DoorName, ...],
    count: int,
) -> None:
    car.configure(1, DoorSettings(unlock_mode=unlock_mode))
    result = await Execution(order(clock, mode=mode, doors=doors), car, clock).run()
    assert len(moved(car)) == count
    assert ("as your settings say" in result.guidance) == (count == 1)


async def test_sequence_opens_the_others_when_asked_again(car: Car, clock: FakeClock) -> None:
    car.configure(1, DoorSettings(unlock_mode=UnlockMode.SEQUENCE))
    await Execution(order(clock), car, clock).run()
    assert len(moved(car)) == 1
    await Execution(order(clock), car, clock).run()
    assert len(moved(car)) == 5


async def test_an_interrupted_command_reports_the_doors_as_observed(car: Car, clock: FakeClock) -> None:
    car.change(lambda body: body.with_lock(DoorName.DRIVER, LockPosition.UNLOCKED), ActuationCause.COMMAND)
    result = interrupted(order(clock), car, clock.now(), clock.now())
    assert (result.outcome, result.fault) == (CommandOutcome.FAILED, CommandFault.INTERRUPTED)
    assert [one.succeeded for one in result.doors] == [True, False, False, False, False]


def test_a_withdrawn_command_moved_nothing(clock: FakeClock) -> None:
    result = cancelled("c1", LOCKABLE, clock.now())
    assert result.outcome is CommandOutcome.CANCELLED
    assert not any(one.moved for one in result.doors)

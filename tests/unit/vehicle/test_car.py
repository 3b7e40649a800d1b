"""The body controller: automations that move doors, the ground truth, and what survives a restart."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from vehicle.doors.actuation_log import ActuationLog, Phase
from vehicle.doors.automation import ActuationCause
from vehicle.doors.body import LOCKABLE, Body, DoorName, Gear, LockPosition
from vehicle.doors.car import Car
from vehicle.doors.car_state import CarState, StateFile
from vehicle.doors.diagnosis import ComponentCondition, components
from vehicle.doors.settings import DoorSettings, UnlockMode

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.vehicle.conftest import FakeClock


async def idle(car: Car) -> None:
    """Waits until the automations that have started are done."""
    async with asyncio.timeout(30):
        while car._jobs or car.actuators.locked():  # noqa: ASYNC110 - jobs tell nobody when they end
            await asyncio.sleep(0)


def unlock(body: Body) -> Body:
    for door in LOCKABLE:
        body = body.with_lock(door, LockPosition.UNLOCKED)
    return body


def causes(car: Car) -> set[str | None]:
    return {line["command_id"] for line in car.log.read()}


async def test_driving_off_locks(car: Car) -> None:
    car.configure(1, DoorSettings(speed_based_lock_enabled=True, speed_lock_threshold_kmh=15))
    car.change(unlock, ActuationCause.HAND)
    car.change(lambda body: body.driven(30), ActuationCause.HAND)
    await idle(car)
    assert all(car.body.doors[door].locked for door in LOCKABLE)
    assert causes(car) == {"automation:speed_lock"}


async def test_parking_unlocks(car: Car) -> None:
    car.configure(1, DoorSettings(parking_auto_unlock=True, unlock_mode=UnlockMode.DRIVER_ONLY))
    car.change(lambda body: body.driven(0), ActuationCause.HAND)
    car.change(lambda body: body.with_gear(Gear.P), ActuationCause.HAND)
    await idle(car)
    assert [door for door in LOCKABLE if not car.body.doors[door].locked] == [DoorName.DRIVER]
    assert causes(car) == {"automation:parking_unlock"}


async def test_automation_waits_for_a_command(car: Car) -> None:
    car.configure(1, DoorSettings(speed_based_lock_enabled=True))
    car.change(unlock, ActuationCause.HAND)
    async with car.actuators:
        car.change(lambda body: body.driven(30), ActuationCause.HAND)
        await asyncio.sleep(0)
        assert car.log.read() == []
    await idle(car)
    assert len(car.log.read()) == 10


async def test_an_auto_lock_that_was_due_survives_a_restart_with_a_full_delay(
    car: Car, clock: FakeClock, tmp_path: Path
) -> None:
    car.configure(7, DoorSettings(auto_lock_enabled=True, auto_lock_delay_seconds=30))
    car.change(unlock, ActuationCause.COMMAND)
    assert car.auto_lock_due_at is not None
    await car.stop()
    clock.advance(29)
    again = Car(car.vin, StateFile(tmp_path / "car.json"), ActuationLog(tmp_path / "a.jsonl", car.vin), clock)
    assert again.config_version == 7
    assert again.auto_lock_due_at == clock.now() + timedelta(seconds=30)
    clock.advance(30)
    again.start()
    async with asyncio.timeout(30):
        while not all(again.body.doors[door].locked for door in LOCKABLE):  # noqa: ASYNC110 - a timer starts it
            await asyncio.sleep(0)
    await idle(again)
    assert causes(again) == {"automation:auto_lock"}


@pytest.mark.parametrize("jump_seconds", [-3_600, 3_600])
async def test_the_auto_lock_does_not_follow_the_wall_clock(
    car: Car, clock: FakeClock, jump_seconds: float
) -> None:
    car.configure(1, DoorSettings(auto_lock_enabled=True, auto_lock_delay_seconds=30))
    car.change(unlock, ActuationCause.HAND)
    clock.advance(10)
    clock.set_wall(jump_seconds)
    assert car.auto_lock_due_at == clock.now() + timedelta(seconds=20)


async def test_an_unlock_command_that_finds_the_doors_unlocked_restarts_the_delay(
    car: Car, clock: FakeClock
) -> None:
    car.configure(1, DoorSettings(auto_lock_enabled=True, auto_lock_delay_seconds=30))
    car.change(unlock, ActuationCause.HAND)
    clock.advance(20)
    await car.actuate("c2", LOCKABLE, LockPosition.UNLOCKED, ActuationCause.COMMAND, lambda _door: None)
    assert car.auto_lock_due_at == clock.now() + timedelta(seconds=30)
    await car.actuate("c3", LOCKABLE, LockPosition.UNLOCKED, ActuationCause.EMERGENCY, lambda _door: None)
    assert car.auto_lock_due_at is None


async def test_child_locks_follow_the_settings(car: Car) -> None:
    car.configure(1, DoorSettings(child_lock_enabled=True))
    assert car.body.doors[DoorName.REAR_LEFT].child_lock
    car.configure(2, DoorSettings())
    assert not car.body.doors[DoorName.REAR_LEFT].child_lock


async def test_an_actuation_cut_short_leaves_a_before_and_the_door_where_it_was(car: Car) -> None:
    car.door_time_seconds = 30
    moving = asyncio.create_task(
        car.actuate(
            "c1", (DoorName.DRIVER,), LockPosition.UNLOCKED, ActuationCause.COMMAND, lambda _door: None
        )
    )
    async with asyncio.timeout(30):
        while not car.log.read():  # noqa: ASYNC110 - a file tells nobody
            await asyncio.sleep(0)
    moving.cancel()
    await asyncio.wait([moving])
    assert [line["phase"] for line in car.log.read()] == ["BEFORE"]
    assert car.body.doors[DoorName.DRIVER].locked


def test_a_torn_log_line_is_not_glued_to_the_next(tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / "actuations.jsonl"
    path.write_bytes(b'{"time": "2026-01')
    log = ActuationLog(path, "KMHSH81C7LU123456")
    log.write(clock.now(), "c1", DoorName.DRIVER, LockPosition.LOCKED, Phase.BEFORE)
    assert [line["command_id"] for line in log.read()] == ["c1"]


def test_a_state_file_gives_back_what_it_was_given(tmp_path: Path) -> None:
    body = unlock(Body()).with_open(DoorName.TRUNK, is_open=True).with_actuator(DoorName.DRIVER, failed=True)
    state = CarState(
        body.driven(12.5), DoorSettings(unlock_mode=UnlockMode.SEQUENCE), 3, auto_lock_pending=True
    )
    StateFile(tmp_path / "car.json").save(state, durable=True)
    StateFile(tmp_path / "car.json").save(CarState(), durable=False)
    StateFile(tmp_path / "car.json").save(state, durable=False)
    assert StateFile(tmp_path / "car.json").load() == state


def test_diagnostics_name_what_is_broken() -> None:
    healthy = components(Body())
    assert [one.component_id for one in healthy][::5] == ["driver_actuator_01", "lock_module_01"]
    assert all(one.condition is ComponentCondition.ACTIVE and not one.error_codes for one in healthy)
    broken = components(Body().with_actuator(DoorName.TRUNK, failed=True).with_battery(5))
    found: dict[str, Any] = {one.component_id: one for one in broken if one.error_codes}
    assert found["trunk_actuator_01"].error_codes == ("B1A05",)
    assert found["trunk_actuator_01"].condition is ComponentCondition.ERROR
    assert found["lock_module_01"].condition is ComponentCondition.MAINTENANCE_REQUIRED

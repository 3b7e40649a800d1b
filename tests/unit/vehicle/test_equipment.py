"""Cars that lack doors, or cannot tell how they stand."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from vehicle.doors.actuation_log import ActuationLog
from vehicle.doors.automation import ActuationCause
from vehicle.doors.body import FULL_EQUIPMENT, Body, DoorName, Equipment, LockPosition, NotFittedError
from vehicle.doors.car import Car
from vehicle.doors.car_state import StateFile
from vehicle.doors.command import Command, CommandFault, CommandOutcome, LockAction, Mode
from vehicle.doors.diagnosis import components
from vehicle.doors.equipment import read_equipment
from vehicle.doors.executor import Execution
from vehicle.messages import translate

if TYPE_CHECKING:
    from pathlib import Path

    from ecarus.remotecontrol.vehicle.v1 import body_pb2

    from tests.unit.vehicle.conftest import FakeClock

AT = datetime(2026, 1, 12, 14, 30, tzinfo=UTC)
COUPE = read_equipment({"doors": ["driver", "passenger", "trunk", "hood"]})
BLIND = read_equipment({"lockSwitches": [], "windowSensors": []})


def car_of(equipment: Equipment, folder: Path, clock: FakeClock) -> Car:
    vin = "KMHSH81C7LU123456"
    log = ActuationLog(folder / "actuations.jsonl", vin)
    return Car(vin, StateFile(folder / "car.json", equipment), log, clock)


def order(clock: FakeClock, action: LockAction, *doors: DoorName) -> Command:
    deadline_millis = clock.uptime_millis() + 30_000
    return Command("c1", action, Mode.NORMAL, doors, not doors, deadline_millis)


def observed(body: Body) -> dict[int, body_pb2.DoorObservation]:
    return {door.door: door for door in translate.status_report(body, AT, "b", 1, 30).doors}


def test_a_new_car_has_everything() -> None:
    assert read_equipment({}) == FULL_EQUIPMENT
    told = observed(Body())
    assert sorted(told) == [1, 2, 3, 4, 5, 6]
    assert all(door.HasField("locked") and door.HasField("open") for door in told.values())


def test_a_coupe_tells_of_the_doors_it_has() -> None:
    body = Body().fitted_with(COUPE)
    assert sorted(observed(body)) == [1, 2, 5, 6]
    assert body.lockable == (DoorName.DRIVER, DoorName.PASSENGER, DoorName.TRUNK)
    assert [each.component_id for each in components(body)] == [
        "driver_actuator_01",
        "passenger_actuator_01",
        "trunk_actuator_01",
        "lock_module_01",
    ]
    assert body.with_child_lock(engaged=True) == body
    for change in (
        lambda: body.with_open(DoorName.REAR_LEFT, is_open=True),
        lambda: body.with_lock(DoorName.REAR_LEFT, LockPosition.LOCKED),
        lambda: body.with_window(DoorName.REAR_LEFT, is_open=True),
        lambda: body.with_actuator(DoorName.REAR_LEFT, failed=True),
    ):
        with pytest.raises(NotFittedError, match="this car has no door rearLeft"):
            change()


def test_what_nothing_senses_is_not_told() -> None:
    told = observed(Body().fitted_with(BLIND))
    assert sorted(told) == [1, 2, 3, 4, 5, 6]
    assert not any(door.HasField("locked") or door.HasField("window_open") for door in told.values())
    assert all(door.HasField("open") for door in told.values())
    some = read_equipment(
        {"lockSwitches": ["driver"], "doorSwitches": [], "windowSensors": [], "childLocks": []}
    )
    told = observed(Body().fitted_with(some))
    assert list(told) == [1]
    assert told[1].HasField("locked")
    assert not told[1].HasField("open")


async def test_all_means_all_it_has(tmp_path: Path, clock: FakeClock) -> None:
    car = car_of(COUPE, tmp_path, clock)
    result = await Execution(order(clock, LockAction.UNLOCK), car, clock).run()
    assert (result.outcome, result.guidance) == (CommandOutcome.SUCCEEDED, "The doors are unlocked.")
    assert [one.door for one in result.doors] == [DoorName.DRIVER, DoorName.PASSENGER, DoorName.TRUNK]
    await car.stop()


async def test_a_door_that_it_lacks_is_not_supported_and_nothing_moves(
    tmp_path: Path, clock: FakeClock
) -> None:
    car = car_of(COUPE, tmp_path, clock)
    named = order(clock, LockAction.UNLOCK, DoorName.DRIVER, DoorName.REAR_LEFT)
    result = await Execution(named, car, clock).run()
    assert (result.outcome, result.fault) == (CommandOutcome.REFUSED, CommandFault.NOT_SUPPORTED)
    assert result.guidance.startswith("This car has no door rearLeft.")
    assert car.log.read() == []
    status = translate.status_report(car.body, AT, "b", 1, 30)
    told = translate.result_into(result, car.body, status)
    assert [(one.door, one.succeeded, one.HasField("locked")) for one in told.doors] == [
        (1, False, True),
        (3, False, False),
    ]
    await car.stop()


async def test_a_result_does_not_say_what_nothing_senses(tmp_path: Path, clock: FakeClock) -> None:
    car = car_of(BLIND, tmp_path, clock)
    result = await Execution(order(clock, LockAction.UNLOCK), car, clock).run()
    told = translate.result_into(result, car.body, translate.status_report(car.body, AT, "b", 1, 30))
    assert [(one.succeeded, one.HasField("locked")) for one in told.doors] == [(True, False)] * 5
    await car.stop()


async def test_the_files_say_how_it_stands_and_its_equipment_which_doors_there_are(
    tmp_path: Path, clock: FakeClock
) -> None:
    full = car_of(FULL_EQUIPMENT, tmp_path, clock)
    await full.actuate(
        "c",
        (DoorName.DRIVER, DoorName.REAR_LEFT),
        LockPosition.UNLOCKED,
        ActuationCause.AUTOMATION,
        lambda _door: None,
    )
    full.rebuild(COUPE)
    assert DoorName.REAR_LEFT not in full.body.doors
    await full.stop()
    coupe = car_of(COUPE, tmp_path, clock)
    assert (coupe.body.doors[DoorName.DRIVER].locked, len(coupe.body.doors)) == (False, 4)
    await coupe.stop()
    again = car_of(FULL_EQUIPMENT, tmp_path, clock)
    assert again.body.doors[DoorName.REAR_LEFT].locked
    await again.stop()


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ([], "equipment is an object of"),
        ({"wheels": []}, "equipment is an object of"),
        ({"doors": ["passenger"]}, "driver's door"),
        ({"doors": "driver"}, "doors is a list of"),
        ({"doors": ["driver", "boot"]}, "doors is a list of"),
        ({"doors": ["driver"], "lockSwitches": ["trunk"]}, "lockSwitches is a list of driver$"),
        ({"windowSensors": ["trunk"]}, "windowSensors is a list of driver, passenger, rearLeft, rearRight$"),
        ({"childLocks": [7]}, "childLocks is a list of"),
        (
            {
                "doors": ["driver"],
                "lockSwitches": [],
                "doorSwitches": [],
                "windowSensors": [],
                "childLocks": [],
            },
            "senses something",
        ),
    ],
)
def test_equipment_that_makes_no_car_is_refused(document: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_equipment(document)

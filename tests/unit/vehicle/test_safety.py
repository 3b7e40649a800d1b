from __future__ import annotations

import pytest

from vehicle.body import LOCKABLE, Body, DoorName, Ignition, LockPosition
from vehicle.command import Action, Fault, Mode
from vehicle.safety import refusal

STANDING = Body()
MOVING = Body().driven(3)
ENGINE_ON = Body().with_ignition(Ignition.ON)
ACCESSORIES = Body().with_ignition(Ignition.ACC)
EMPTY = Body().with_battery(9)
OPEN = Body().with_lock(DoorName.TRUNK, LockPosition.UNLOCKED).with_open(DoorName.TRUNK, is_open=True)


@pytest.mark.parametrize(
    ("action", "mode", "body", "fault"),
    [
        (Action.UNLOCK, Mode.NORMAL, STANDING, None),
        (Action.UNLOCK, Mode.NORMAL, ACCESSORIES, None),
        (Action.UNLOCK, Mode.NORMAL, OPEN, None),
        (Action.UNLOCK, Mode.NORMAL, MOVING, Fault.VEHICLE_MOVING),
        (Action.UNLOCK, Mode.NORMAL, ENGINE_ON, Fault.ENGINE_ON),
        (Action.UNLOCK, Mode.NORMAL, EMPTY, Fault.LOW_BATTERY),
        (Action.UNLOCK, Mode.EMERGENCY, MOVING, Fault.VEHICLE_MOVING),
        (Action.UNLOCK, Mode.EMERGENCY, ENGINE_ON, None),
        (Action.UNLOCK, Mode.EMERGENCY, EMPTY, None),
        (Action.LOCK, Mode.NORMAL, STANDING, None),
        (Action.LOCK, Mode.NORMAL, MOVING, None),
        (Action.LOCK, Mode.NORMAL, ENGINE_ON, None),
        (Action.LOCK, Mode.NORMAL, OPEN, Fault.DOOR_OPEN),
        (Action.LOCK, Mode.NORMAL, EMPTY, None),
        (Action.LOCK, Mode.SECURE, EMPTY, None),
        (Action.LOCK, Mode.SECURE, STANDING, None),
        (Action.LOCK, Mode.SECURE, MOVING, Fault.VEHICLE_MOVING),
        (Action.LOCK, Mode.SECURE, ENGINE_ON, Fault.ENGINE_ON),
        (Action.LOCK, Mode.SECURE, OPEN, Fault.DOOR_OPEN),
    ],
)
def test_the_rules(action: Action, mode: Mode, body: Body, fault: Fault | None) -> None:
    refused = refusal(action, mode, LOCKABLE, body)
    assert (refused.fault if refused else None) == fault
    assert refused is None or refused.guidance.endswith(".")


def test_another_open_door_does_not_stand_in_the_way() -> None:
    assert refusal(Action.LOCK, Mode.NORMAL, [DoorName.DRIVER], OPEN) is None


def test_the_guidance_names_the_open_door() -> None:
    refused = refusal(Action.LOCK, Mode.NORMAL, LOCKABLE, OPEN)
    assert refused is not None
    assert "trunk" in refused.guidance

from __future__ import annotations

import pytest

from vehicle.doors.body import LOCKABLE, Body, DoorName, Ignition, LockPosition, RemoteAccess
from vehicle.doors.command import CommandFault, LockAction, Mode
from vehicle.doors.safety import refusal

STANDING = Body()
MOVING = Body().driven(3)
ENGINE_ON = Body().with_ignition(Ignition.ON)
ACCESSORIES = Body().with_ignition(Ignition.ACC)
EMPTY = Body().with_battery(9)
DISABLED = Body().with_remote_access(RemoteAccess.DISABLED)
PRIVACY = Body().with_remote_access(RemoteAccess.PRIVACY_MODE)
OPEN = Body().with_lock(DoorName.TRUNK, LockPosition.UNLOCKED).with_open(DoorName.TRUNK, is_open=True)


@pytest.mark.parametrize(
    ("action", "mode", "body", "fault"),
    [
        (LockAction.UNLOCK, Mode.NORMAL, STANDING, None),
        (LockAction.UNLOCK, Mode.NORMAL, ACCESSORIES, None),
        (LockAction.UNLOCK, Mode.NORMAL, OPEN, None),
        (LockAction.UNLOCK, Mode.NORMAL, MOVING, CommandFault.VEHICLE_MOVING),
        (LockAction.UNLOCK, Mode.NORMAL, ENGINE_ON, CommandFault.ENGINE_ON),
        (LockAction.UNLOCK, Mode.NORMAL, EMPTY, CommandFault.LOW_BATTERY),
        (LockAction.UNLOCK, Mode.EMERGENCY, MOVING, CommandFault.VEHICLE_MOVING),
        (LockAction.UNLOCK, Mode.EMERGENCY, ENGINE_ON, None),
        (LockAction.UNLOCK, Mode.EMERGENCY, EMPTY, None),
        (LockAction.LOCK, Mode.NORMAL, STANDING, None),
        (LockAction.LOCK, Mode.NORMAL, MOVING, None),
        (LockAction.LOCK, Mode.NORMAL, ENGINE_ON, None),
        (LockAction.LOCK, Mode.NORMAL, OPEN, CommandFault.DOOR_OPEN),
        (LockAction.LOCK, Mode.NORMAL, EMPTY, None),
        (LockAction.LOCK, Mode.SECURE, EMPTY, None),
        (LockAction.LOCK, Mode.SECURE, STANDING, None),
        (LockAction.LOCK, Mode.SECURE, MOVING, CommandFault.VEHICLE_MOVING),
        (LockAction.LOCK, Mode.SECURE, ENGINE_ON, CommandFault.ENGINE_ON),
        (LockAction.LOCK, Mode.SECURE, OPEN, CommandFault.DOOR_OPEN),
        (LockAction.UNLOCK, Mode.NORMAL, DISABLED, CommandFault.REMOTE_ACCESS_DISABLED),
        (LockAction.UNLOCK, Mode.EMERGENCY, PRIVACY, CommandFault.REMOTE_ACCESS_DISABLED),
        (LockAction.LOCK, Mode.NORMAL, DISABLED, CommandFault.REMOTE_ACCESS_DISABLED),
    ],
)
def test_the_rules(action: LockAction, mode: Mode, body: Body, fault: CommandFault | None) -> None:
    refused = refusal(action, mode, LOCKABLE, body)
    assert (refused.fault if refused else None) == fault
    assert refused is None or refused.guidance.endswith(".")


def test_another_open_door_does_not_stand_in_the_way() -> None:
    assert refusal(LockAction.LOCK, Mode.NORMAL, [DoorName.DRIVER], OPEN) is None


def test_the_guidance_names_the_open_door() -> None:
    refused = refusal(LockAction.LOCK, Mode.NORMAL, LOCKABLE, OPEN)
    assert refused is not None
    assert "trunk" in refused.guidance

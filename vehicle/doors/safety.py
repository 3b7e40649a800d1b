"""When the car refuses: pure rules that give a fault and what a person can do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vehicle.doors.body import Body, DoorName, Ignition, RemoteAccess
from vehicle.doors.command import CommandFault, LockAction, Mode, SafetyRefusal

if TYPE_CHECKING:
    from collections.abc import Collection

LOW_BATTERY_PERCENT = 10
"""Below this the charge is kept for starting the car, and for locking it: a lock is never refused for it."""

_MOVING = SafetyRefusal(CommandFault.VEHICLE_MOVING, "The car is moving. Try again once it stands still.")
_ENGINE_ON_UNLOCK = SafetyRefusal(
    CommandFault.ENGINE_ON,
    "The engine is on. Switch it off and try again; in an emergency, unlock with mode EMERGENCY.",
)
_ENGINE_ON_SECURE = SafetyRefusal(
    CommandFault.ENGINE_ON,
    "The engine is on, and somebody may be inside: the car cannot be deadlocked. "
    "Switch it off, or lock with mode NORMAL.",
)
_DISABLED = SafetyRefusal(
    CommandFault.REMOTE_ACCESS_DISABLED,
    "Remote access is switched off in the car. Switch it on there, or use the key.",
)
_LOW_BATTERY = SafetyRefusal(
    CommandFault.LOW_BATTERY,
    "The battery is almost empty, and its charge is kept for starting and for locking. "
    "Use the mechanical key, or charge the car.",
)


def refusal(action: LockAction, mode: Mode, doors: Collection[DoorName], body: Body) -> SafetyRefusal | None:
    """Return why these doors may not be moved now, or None. Nothing moves when it refuses."""
    if body.remote_access is not RemoteAccess.ENABLED:
        return _DISABLED
    if action is LockAction.UNLOCK:
        return _unlock_refusal(mode, body)
    return _lock_refusal(mode, doors, body)


def _unlock_refusal(mode: Mode, body: Body) -> SafetyRefusal | None:
    if body.speed_kmh > 0:
        return _MOVING
    if mode is Mode.EMERGENCY:  # somebody may be in danger: neither engine nor battery stands in the way
        return None
    if body.ignition is Ignition.ON:
        return _ENGINE_ON_UNLOCK
    return _LOW_BATTERY if body.battery_percent < LOW_BATTERY_PERCENT else None


def _lock_refusal(mode: Mode, doors: Collection[DoorName], body: Body) -> SafetyRefusal | None:
    if mode is Mode.SECURE and body.speed_kmh > 0:
        return _MOVING
    if mode is Mode.SECURE and body.ignition is Ignition.ON:
        return _ENGINE_ON_SECURE
    open_doors = [door.value for door in doors if body.doors[door].open]
    if open_doors:
        return SafetyRefusal(
            CommandFault.DOOR_OPEN, f"Shut {', '.join(open_doors)} and lock again. No door was locked."
        )
    return None

"""What vehicles of a model have and can do."""

from __future__ import annotations

from dataclasses import dataclass

DOOR_IDS = ("driver", "passenger", "rearLeft", "rearRight", "trunk", "hood")
CABIN_DOORS = frozenset(DOOR_IDS[:4])
LOCKABLE_DOORS = DOOR_IDS[:5]
"""Those that a command can name."""
UNLOCK_MODES, LOCK_MODES = ("NORMAL", "EMERGENCY"), ("NORMAL", "SECURE")
SETTING_UNLOCK_MODES = ("ALL", "DRIVER_ONLY", "SEQUENCE")


@dataclass(frozen=True, slots=True)
class DoorEquipment:
    """One door of a model: what can be done to it from afar, and what it can tell."""

    door_id: str
    sliding: bool = False
    remote_lock: bool = True
    remote_unlock: bool = True
    lock_sensor: bool = True
    open_sensor: bool = True
    window_sensor: bool = False
    child_lock: bool = False


@dataclass(frozen=True, slots=True)
class VehicleModel:
    """What vehicles of a model have and can do."""

    name: str
    doors: tuple[DoorEquipment, ...]
    """In the order of DOOR_IDS."""
    unlock_modes: tuple[str, ...] = UNLOCK_MODES
    """Of an unlock; none where it cannot be unlocked from afar."""
    lock_modes: tuple[str, ...] = LOCK_MODES
    setting_unlock_modes: tuple[str, ...] = SETTING_UNLOCK_MODES
    auto_lock: bool = True
    speed_lock: bool = True
    parking_unlock: bool = True
    reports_ignition: bool = True
    reports_speed: bool = True
    reports_gear: bool = True

    @property
    def door_ids(self) -> tuple[str, ...]:
        """The doors that it has."""
        return tuple(door.door_id for door in self.doors)

    @property
    def lockable(self) -> tuple[str, ...]:
        """The doors that can be locked from afar."""
        return tuple(door.door_id for door in self.doors if door.remote_lock)

    @property
    def unlockable(self) -> tuple[str, ...]:
        """The doors that can be unlocked from afar."""
        return tuple(door.door_id for door in self.doors if door.remote_unlock)

    @property
    def child_lock(self) -> bool:
        """Whether any of its doors has a child lock."""
        return any(door.child_lock for door in self.doors)

    @property
    def functions(self) -> tuple[str, ...]:
        """The functions that it has, of FUNCTIONS."""
        has = {
            "REMOTE_UNLOCK": bool(self.unlock_modes),
            "REMOTE_LOCK": bool(self.lock_modes),
            "TRUNK_RELEASE": bool(self.unlock_modes) and "trunk" in self.unlockable,
            "CHILD_LOCK": self.child_lock,
            "AUTO_LOCK": self.auto_lock,
            "SPEED_LOCK": self.speed_lock,
            "PARKING_UNLOCK": self.parking_unlock,
        }
        return tuple(name for name in FUNCTIONS if has[name])


FUNCTIONS = (
    "REMOTE_UNLOCK",
    "REMOTE_LOCK",
    "TRUNK_RELEASE",
    "CHILD_LOCK",
    "AUTO_LOCK",
    "SPEED_LOCK",
    "PARKING_UNLOCK",
)


def usual_door(door_id: str) -> DoorEquipment:
    """Return this door of a vehicle that has everything."""
    cabin, lockable = door_id in CABIN_DOORS, door_id in LOCKABLE_DOORS
    return DoorEquipment(
        door_id, remote_lock=lockable, remote_unlock=lockable, window_sensor=cabin, child_lock=cabin
    )


DEFAULT_MODEL = VehicleModel("Unknown", tuple(map(usual_door, DOOR_IDS)))
"""Of a vehicle that no file is for: everything that there can be, so that it is the vehicle that refuses."""

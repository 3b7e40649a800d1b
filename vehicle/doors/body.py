"""The car's body: doors, windows, locks, ignition, gear, speed. Pure; every change gives a new body.

Mechanics only: unlocking a door does not open it, an open door cannot be locked, a locked door
cannot be opened. What may be done when is decided in `safety`. Which doors there are, and what the car can tell of
them, its equipment says: a coupe has no rear doors, and cheap locks are driven without being sensed.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_SPEED_KMH = 300.0


class DoorName(StrEnum):
    """The doors, by the specification's names."""

    DRIVER = "driver"
    PASSENGER = "passenger"
    REAR_LEFT = "rearLeft"
    REAR_RIGHT = "rearRight"
    TRUNK = "trunk"
    HOOD = "hood"


LOCKABLE = tuple(door for door in DoorName if door is not DoorName.HOOD)
"""The doors that can have a lock actuator, in the order in which they are actuated."""

REAR = (DoorName.REAR_LEFT, DoorName.REAR_RIGHT)
WINDOWED = (DoorName.DRIVER, DoorName.PASSENGER, *REAR)
CHILD_LOCKED = (DoorName.DRIVER, *REAR)
"""The doors that can report a child lock. The driver's has none to engage: it reports false."""


class Ignition(StrEnum):
    """The ignition's position. ON means that the engine runs."""

    OFF = "OFF"
    ACC = "ACC"
    ON = "ON"


class Gear(StrEnum):
    """The gear lever's position."""

    P = "P"
    R = "R"
    N = "N"
    D = "D"


class RemoteAccess(StrEnum):
    """Whether the car's people let it be commanded from afar."""

    ENABLED = "ENABLED"
    DISABLED = "DISABLED"
    PRIVACY_MODE = "PRIVACY_MODE"
    """The same, and it does not tell how it stands."""


class LockPosition(StrEnum):
    """Where an actuator can bring a lock."""

    UNLOCKED = "UNLOCKED"
    LOCKED = "LOCKED"
    DEADLOCKED = "DEADLOCKED"


class MechanicsError(ValueError):
    """The body cannot do this now; the text says why."""


class NotFittedError(ValueError):
    """This door does not have that part."""


@dataclass(frozen=True, slots=True)
class Door:
    """One door. `deadlocked` implies `locked`."""

    locked: bool = True
    deadlocked: bool = False
    open: bool = False
    window_open: bool = False
    child_lock: bool = False

    @property
    def position(self) -> LockPosition:
        """Where its lock is."""
        if self.deadlocked:
            return LockPosition.DEADLOCKED
        return LockPosition.LOCKED if self.locked else LockPosition.UNLOCKED

    def is_at(self, position: LockPosition) -> bool:
        """Return whether the lock needs no actuation to be there. A deadlocked door counts as LOCKED too."""
        if position is LockPosition.UNLOCKED:
            return not self.locked
        return self.locked if position is LockPosition.LOCKED else self.deadlocked


@dataclass(frozen=True, slots=True)
class Equipment:
    """Which doors a car has, and what it senses of each. By default every door, and all of it.

    A door of which nothing is sensed is left out of the reports.
    """

    doors: frozenset[DoorName] = frozenset(DoorName)
    lock_switches: frozenset[DoorName] = frozenset(DoorName)
    door_switches: frozenset[DoorName] = frozenset(DoorName)
    window_sensors: frozenset[DoorName] = frozenset(WINDOWED)
    child_locks: frozenset[DoorName] = frozenset(CHILD_LOCKED)
    key_only: frozenset[DoorName] = frozenset()
    """Doors whose locks are released with the key alone: neither a command nor the car itself unlocks them."""

    def senses(self, name: DoorName) -> bool:
        """Return whether the car can tell anything of this door."""
        sensed = self.lock_switches | self.door_switches | self.window_sensors | self.child_locks
        return name in sensed and name in self.doors


FULL_EQUIPMENT = Equipment()


def _shut_doors() -> Mapping[DoorName, Door]:
    return MappingProxyType({name: Door() for name in DoorName})


@dataclass(frozen=True, slots=True)
class Body:
    """The whole car at one moment. A new one stands parked, shut and locked."""

    doors: Mapping[DoorName, Door] = field(default_factory=_shut_doors)
    ignition: Ignition = Ignition.OFF
    gear: Gear = Gear.P
    speed_kmh: float = 0.0
    battery_percent: int = 90
    failed_actuators: frozenset[DoorName] = frozenset()
    equipment: Equipment = FULL_EQUIPMENT
    remote_access: RemoteAccess = RemoteAccess.ENABLED

    @property
    def lockable(self) -> tuple[DoorName, ...]:
        """The doors of this car with a lock actuator, in the order in which they are actuated."""
        return tuple(name for name in LOCKABLE if name in self.doors)

    @property
    def unlockable(self) -> tuple[DoorName, ...]:
        """Those of them that are not unlocked with the key alone."""
        return tuple(name for name in self.lockable if name not in self.equipment.key_only)

    def fitted_with(self, equipment: Equipment) -> Body:
        """Return the same car built with `equipment`: doors that both have stay as they are, new ones are shut
        and locked.
        """
        doors = {name: self.doors.get(name, Door()) for name in DoorName if name in equipment.doors}
        failed = self.failed_actuators & equipment.doors
        return replace(self, doors=MappingProxyType(doors), failed_actuators=failed, equipment=equipment)

    def with_lock(self, name: DoorName, position: LockPosition) -> Body:
        """Return the lock brought to `position`. Raises NotFittedError (hood) or MechanicsError (door open)."""
        self._needs_lock(name)
        door = self.doors[name]
        if position is not LockPosition.UNLOCKED and door.open:
            raise MechanicsError(f"{name.value} is open: shut it to lock it")
        locked = position is not LockPosition.UNLOCKED
        return self._with(name, replace(door, locked=locked, deadlocked=position is LockPosition.DEADLOCKED))

    def with_open(self, name: DoorName, *, is_open: bool) -> Body:
        """Return the door opened or shut by hand. Raises MechanicsError when it is locked.

        The hood's latch is pulled to open it and catches when it is shut.
        """
        door = self._door(name)
        if name is DoorName.HOOD:
            return self._with(name, replace(door, open=is_open, locked=not is_open))
        if is_open and door.locked:
            raise MechanicsError(f"{name.value} is locked: unlock it to open it")
        return self._with(name, replace(door, open=is_open))

    def with_window(self, name: DoorName, *, is_open: bool) -> Body:
        """Return the window opened or shut. Raises NotFittedError where there is none."""
        door = self._door(name)
        if name not in WINDOWED:
            raise NotFittedError(f"{name.value} has no window")
        return self._with(name, replace(door, window_open=is_open))

    def with_child_lock(self, *, engaged: bool) -> Body:
        """Return the child locks of the rear doors set, where there are any."""
        fitted = (name for name in REAR if name in self.doors and name in self.equipment.child_locks)
        changed = {name: replace(self.doors[name], child_lock=engaged) for name in fitted}
        return replace(self, doors=MappingProxyType({**self.doors, **changed}))

    def with_actuator(self, name: DoorName, *, failed: bool) -> Body:
        """Return the door's actuator broken or repaired. Raises NotFittedError for the hood."""
        self._needs_lock(name)
        others = self.failed_actuators - {name}
        return replace(self, failed_actuators=others | {name} if failed else others)

    def with_ignition(self, ignition: Ignition) -> Body:
        """Return the key turned. Raises MechanicsError for switching off while moving."""
        if ignition is not Ignition.ON and self.speed_kmh > 0:
            raise MechanicsError("the car is moving")
        return replace(self, ignition=ignition)

    def with_gear(self, gear: Gear) -> Body:
        """Return the lever moved. Raises MechanicsError for P while moving."""
        if gear is Gear.P and self.speed_kmh > 0:
            raise MechanicsError("the car is moving")
        return replace(self, gear=gear)

    def driven(self, speed_kmh: float) -> Body:
        """Driving at this speed, 0 to MAX_SPEED_KMH: ignition on, gear D. 0 waits at a light."""
        if not 0 <= speed_kmh <= MAX_SPEED_KMH:
            raise MechanicsError(f"speed must be 0 to {MAX_SPEED_KMH:.0f} km/h")
        return replace(self, ignition=Ignition.ON, gear=Gear.D, speed_kmh=float(speed_kmh))

    def parked(self) -> Body:
        """Standing with gear P and the ignition off."""
        return replace(self, ignition=Ignition.OFF, gear=Gear.P, speed_kmh=0.0)

    def with_remote_access(self, remote_access: RemoteAccess) -> Body:
        """Return the switch for remote access turned."""
        return replace(self, remote_access=remote_access)

    def with_battery(self, percent: int) -> Body:
        """Charge, 0-100 percent. Raises MechanicsError for anything else."""
        if not 0 <= percent <= 100:  # noqa: PLR2004 - percent
            raise MechanicsError("battery must be 0 to 100 percent")
        return replace(self, battery_percent=percent)

    def _with(self, name: DoorName, door: Door) -> Body:
        return replace(self, doors=MappingProxyType({**self.doors, name: door}))

    def _door(self, name: DoorName) -> Door:
        if name not in self.doors:
            raise NotFittedError(f"this car has no door {name.value}")
        return self.doors[name]

    def _needs_lock(self, name: DoorName) -> None:
        self._door(name)
        if name not in LOCKABLE:
            raise NotFittedError(f"{name.value} has no lock actuator")

"""The car's body: doors, windows, locks, ignition, gear, speed. Pure; every change gives a new body.

Mechanics only: unlocking a door does not open it, an open door cannot be locked, a locked door
cannot be opened. What may be done when is decided in `safety`.
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
"""The doors with a lock actuator, in the order in which they are actuated."""

REAR = (DoorName.REAR_LEFT, DoorName.REAR_RIGHT)
WINDOWED = (DoorName.DRIVER, DoorName.PASSENGER, *REAR)
CHILD_LOCKED = (DoorName.DRIVER, *REAR)
"""The doors that report a child lock. The driver's has none to engage: it reports false."""


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


class Position(StrEnum):
    """Where an actuator can bring a lock."""

    UNLOCKED = "UNLOCKED"
    LOCKED = "LOCKED"
    DEADLOCKED = "DEADLOCKED"


class MechanicsRefused(ValueError):
    """The body cannot do this now; the text says why."""


class NotFitted(ValueError):
    """This door does not have that part."""


@dataclass(frozen=True, slots=True)
class Door:
    """One door. `deadlocked` implies `locked`."""

    locked: bool = True
    deadlocked: bool = False
    open: bool = False
    window_open: bool = False
    child_lock: bool = False

    def is_at(self, position: Position) -> bool:
        """Whether the lock needs no actuation to be there. A deadlocked door counts as LOCKED too."""
        if position is Position.UNLOCKED:
            return not self.locked
        return self.locked if position is Position.LOCKED else self.deadlocked


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

    def with_lock(self, name: DoorName, position: Position) -> Body:
        """The lock brought to `position`. Raises NotFitted (hood) or MechanicsRefused (door open)."""
        self._needs_lock(name)
        door = self.doors[name]
        if position is not Position.UNLOCKED and door.open:
            raise MechanicsRefused(f"{name.value} is open: shut it to lock it")
        locked = position is not Position.UNLOCKED
        return self._with(name, replace(door, locked=locked, deadlocked=position is Position.DEADLOCKED))

    def with_open(self, name: DoorName, *, is_open: bool) -> Body:
        """The door opened or shut by hand. Raises MechanicsRefused when it is locked.

        The hood's latch is pulled to open it and catches when it is shut.
        """
        door = self.doors[name]
        if name is DoorName.HOOD:
            return self._with(name, replace(door, open=is_open, locked=not is_open))
        if is_open and door.locked:
            raise MechanicsRefused(f"{name.value} is locked: unlock it to open it")
        return self._with(name, replace(door, open=is_open))

    def with_window(self, name: DoorName, *, is_open: bool) -> Body:
        """The window opened or shut. Raises NotFitted where there is none."""
        if name not in WINDOWED:
            raise NotFitted(f"{name.value} has no window")
        return self._with(name, replace(self.doors[name], window_open=is_open))

    def with_child_lock(self, *, engaged: bool) -> Body:
        """Both rear doors' child locks set."""
        changed = {name: replace(self.doors[name], child_lock=engaged) for name in REAR}
        return replace(self, doors=MappingProxyType({**self.doors, **changed}))

    def with_actuator(self, name: DoorName, *, failed: bool) -> Body:
        """The door's actuator broken or repaired. Raises NotFitted for the hood."""
        self._needs_lock(name)
        others = self.failed_actuators - {name}
        return replace(self, failed_actuators=others | {name} if failed else others)

    def with_ignition(self, ignition: Ignition) -> Body:
        """The key turned. Raises MechanicsRefused for switching off while moving."""
        if ignition is not Ignition.ON and self.speed_kmh > 0:
            raise MechanicsRefused("the car is moving")
        return replace(self, ignition=ignition)

    def with_gear(self, gear: Gear) -> Body:
        """The lever moved. Raises MechanicsRefused for P while moving."""
        if gear is Gear.P and self.speed_kmh > 0:
            raise MechanicsRefused("the car is moving")
        return replace(self, gear=gear)

    def driven(self, speed_kmh: float) -> Body:
        """Driving at this speed, 0 to MAX_SPEED_KMH: ignition on, gear D. 0 waits at a light."""
        if not 0 <= speed_kmh <= MAX_SPEED_KMH:
            raise MechanicsRefused(f"speed must be 0 to {MAX_SPEED_KMH:.0f} km/h")
        return replace(self, ignition=Ignition.ON, gear=Gear.D, speed_kmh=float(speed_kmh))

    def parked(self) -> Body:
        """Standing with gear P and the ignition off."""
        return replace(self, ignition=Ignition.OFF, gear=Gear.P, speed_kmh=0.0)

    def with_battery(self, percent: int) -> Body:
        """Charge, 0-100 percent. Raises MechanicsRefused for anything else."""
        if not 0 <= percent <= 100:  # noqa: PLR2004 - percent
            raise MechanicsRefused("battery must be 0 to 100 percent")
        return replace(self, battery_percent=percent)

    def _with(self, name: DoorName, door: Door) -> Body:
        return replace(self, doors=MappingProxyType({**self.doors, name: door}))

    @staticmethod
    def _needs_lock(name: DoorName) -> None:
        if name not in LOCKABLE:
            raise NotFitted(f"{name.value} has no lock actuator")

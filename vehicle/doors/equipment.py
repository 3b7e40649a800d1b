"""A car's equipment as a JSON object says it: six lists of doors, each of which may be left out."""

from __future__ import annotations

from typing import Any

from vehicle.doors.body import CHILD_LOCKED, LOCKABLE, WINDOWED, DoorName, Equipment

_MEMBERS = ("doors", "lockSwitches", "doorSwitches", "windowSensors", "childLocks", "keyOnly")


def read_equipment(document: Any) -> Equipment:
    """Return the equipment; what is left out is there for every door that can have it, and none is
    unlocked with the key alone. Raises ValueError.
    """
    if not isinstance(document, dict) or not document.keys() <= set(_MEMBERS):
        raise ValueError(f"equipment is an object of {', '.join(_MEMBERS)}")
    doors = _doors(document, "doors", frozenset(DoorName))
    equipment = Equipment(
        doors,
        lock_switches=_doors(document, "lockSwitches", doors),
        door_switches=_doors(document, "doorSwitches", doors),
        window_sensors=_doors(document, "windowSensors", doors & frozenset(WINDOWED)),
        child_locks=_doors(document, "childLocks", doors & frozenset(CHILD_LOCKED)),
        key_only=_doors(document, "keyOnly", doors & frozenset(LOCKABLE))
        if "keyOnly" in document
        else frozenset(),
    )
    if DoorName.DRIVER not in doors:
        raise ValueError("equipment: a car has a driver's door")
    if not any(equipment.senses(name) for name in doors):
        raise ValueError("equipment: a car senses something of one door at least")
    return equipment


def _doors(document: dict[str, Any], member: str, possible: frozenset[DoorName]) -> frozenset[DoorName]:
    if member not in document:
        return possible
    names = document[member]
    allowed = [name.value for name in DoorName if name in possible]
    if not isinstance(names, list) or any(name not in allowed for name in names):
        raise ValueError(f"equipment: {member} is a list of {', '.join(allowed)}")
    return frozenset(map(DoorName, names))

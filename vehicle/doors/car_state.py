"""What persists of a car: one JSON document in one page of a file."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from vehicle.doors.body import FULL_EQUIPMENT, Body, Door, DoorName, Equipment, Gear, Ignition, RemoteAccess
from vehicle.doors.settings import FACTORY_SETTINGS, DoorSettings, UnlockMode

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class CarState:
    """A car at rest. A new one is shut, locked, and runs with the factory's settings."""

    body: Body = field(default_factory=Body)
    settings: DoorSettings = FACTORY_SETTINGS
    config_version: int = 0
    auto_lock_pending: bool = False


PAGE_BYTES = 4096


class StateFile:
    """Where the state of one car of this equipment is kept: one page, overwritten as a whole by one write.

    Doors move often, and writing a page costs a few microseconds, where replacing a file costs a
    fifth of a millisecond. A page reaches the disk whole or not at all.
    """

    def __init__(self, path: Path, equipment: Equipment = FULL_EQUIPMENT) -> None:
        self._equipment = equipment
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)

    def load(self) -> CarState:
        """Return the state kept, or a new car's. Raises ValueError or KeyError on a damaged file."""
        page = os.pread(self._file, PAGE_BYTES, 0)
        if not page:
            return CarState(Body().fitted_with(self._equipment))
        kept = json.loads(page)
        settings = kept["settings"]
        return CarState(
            _body_from(kept["body"]).fitted_with(self._equipment),
            DoorSettings(**{**settings, "unlock_mode": UnlockMode(settings["unlock_mode"])}),
            kept["config_version"],
            bool(kept.get("auto_lock_pending")),
        )

    def save(self, state: CarState, *, durable: bool) -> None:
        """Overwrite the page. Survives the process; with `durable`, the machine as well.

        The doors of a real car need no file to stay where they are, so their changes are not synced.
        """
        kept = {
            "body": _body_into(state.body),
            "settings": asdict(state.settings),
            "config_version": state.config_version,
            "auto_lock_pending": state.auto_lock_pending,
        }
        page = json.dumps(kept, separators=(",", ":")).encode().ljust(PAGE_BYTES)
        os.pwrite(self._file, page, 0)
        if durable:
            os.fdatasync(self._file)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def _body_into(body: Body) -> dict[str, object]:
    return {
        "doors": {name.value: _door_into(door) for name, door in body.doors.items()},
        "ignition": body.ignition.value,
        "gear": body.gear.value,
        "speed_kmh": body.speed_kmh,
        "battery_percent": body.battery_percent,
        "remote_access": body.remote_access.value,
        "failed_actuators": sorted(name.value for name in body.failed_actuators),
    }


def _door_into(door: Door) -> dict[str, bool]:
    # Not asdict: it copies deeply, and this runs once per door moved.
    return {
        "locked": door.locked,
        "deadlocked": door.deadlocked,
        "open": door.open,
        "window_open": door.window_open,
        "child_lock": door.child_lock,
    }


def _body_from(kept: dict[str, object]) -> Body:
    doors, failed = kept["doors"], kept["failed_actuators"]
    if not isinstance(doors, dict) or not isinstance(failed, list):
        raise ValueError("the car's state file does not hold a body")  # noqa: TRY004 - damage, not a caller's type
    return Body(
        doors=MappingProxyType({DoorName(name): Door(**door) for name, door in doors.items()}),
        ignition=Ignition(str(kept["ignition"])),
        gear=Gear(str(kept["gear"])),
        speed_kmh=float(str(kept["speed_kmh"])),
        battery_percent=int(str(kept["battery_percent"])),
        remote_access=RemoteAccess(str(kept.get("remote_access", RemoteAccess.ENABLED.value))),
        failed_actuators=frozenset(DoorName(name) for name in failed),
    )

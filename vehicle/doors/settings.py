"""The owner's door settings, and which doors an unlock of "all" opens under them. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from vehicle.doors.body import Body, DoorName

AUTO_LOCK_DELAY_SECONDS = range(5, 601)
SPEED_LOCK_THRESHOLD_KMH = range(5, 61)


class UnlockMode(StrEnum):
    """SEQUENCE: the driver's door first, the others when asked again."""

    ALL = "ALL"
    DRIVER_ONLY = "DRIVER_ONLY"
    SEQUENCE = "SEQUENCE"


class DoorSettingsError(ValueError):
    """A setting out of its range; the text names it."""


@dataclass(frozen=True, slots=True)
class DoorSettings:
    """All settings. By default nothing happens by itself. Raises DoorSettingsError."""

    auto_lock_enabled: bool = False
    auto_lock_delay_seconds: int = 30
    unlock_mode: UnlockMode = UnlockMode.ALL
    child_lock_enabled: bool = False
    speed_based_lock_enabled: bool = False
    speed_lock_threshold_kmh: int = 15
    parking_auto_unlock: bool = False

    def __post_init__(self) -> None:
        for name, value, allowed in (
            ("auto_lock_delay_seconds", self.auto_lock_delay_seconds, AUTO_LOCK_DELAY_SECONDS),
            ("speed_lock_threshold_kmh", self.speed_lock_threshold_kmh, SPEED_LOCK_THRESHOLD_KMH),
        ):
            if value not in allowed:
                raise DoorSettingsError(f"{name} must be {allowed.start} to {allowed.stop - 1}, not {value}")


FACTORY_SETTINGS = DoorSettings(
    auto_lock_enabled=True, speed_based_lock_enabled=True, parking_auto_unlock=True
)
"""What a new car runs with, and the cloud shows, until the first change (version 0)."""


def doors_to_unlock(mode: UnlockMode, body: Body) -> tuple[DoorName, ...]:
    """Return the doors that an unlock of "all" opens, and parking."""
    driver_is_locked = body.doors[DoorName.DRIVER].locked
    if mode is UnlockMode.DRIVER_ONLY or (mode is UnlockMode.SEQUENCE and driver_is_locked):
        return (DoorName.DRIVER,) if DoorName.DRIVER in body.unlockable else ()
    return body.unlockable

"""The settings, and a change of them. Standard library only."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from enum import StrEnum


class UnlockMode(StrEnum):
    """Which doors an unlock of all opens."""

    ALL = "ALL"
    DRIVER_ONLY = "DRIVER_ONLY"
    SEQUENCE = "SEQUENCE"


@dataclass(frozen=True, slots=True)
class DoorSettings:
    """All settings; the defaults are the factory's."""

    auto_lock_enabled: bool = True
    auto_lock_delay_seconds: int = 30
    unlock_mode: UnlockMode = UnlockMode.ALL
    child_lock_enabled: bool = False
    speed_based_lock_enabled: bool = True
    speed_lock_threshold_kmh: int = 15
    parking_auto_unlock: bool = True


@dataclass(frozen=True, slots=True)
class LeftOutSettings:
    """Members of DoorSettings that a vehicle does not run as they were wanted, though it applied the others."""

    settings: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class SettingsChange:
    """The settings to change; None leaves one as it is."""

    auto_lock_enabled: bool | None = None
    auto_lock_delay_seconds: int | None = None
    unlock_mode: UnlockMode | None = None
    child_lock_enabled: bool | None = None
    speed_based_lock_enabled: bool | None = None
    speed_lock_threshold_kmh: int | None = None
    parking_auto_unlock: bool | None = None

    def fingerprint(self) -> str:
        """Return equal for equal changes, whatever the order they were written in."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    def applied_to(self, settings: DoorSettings) -> DoorSettings:
        """Return the settings after the change."""
        return replace(settings, **{name: value for name, value in asdict(self).items() if value is not None})

"""What the car does by itself under its owner's settings. Pure: the caller brings time and moves doors.

- auto lock: after an unlock by command or by key, lock again when the delay passes and no door was opened;
- speed lock: lock when the speed reaches the threshold, once per crossing;
- parking unlock: unlock, by the unlock mode, when the gear goes to P at standstill.

Parking's own unlock does not arm auto lock: the people are in the car.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from vehicle.body import LOCKABLE, Body, DoorName, Gear, Position
from vehicle.settings import DoorSettings, doors_to_unlock


class Which(StrEnum):
    """The automations, as the actuation log names them."""

    AUTO_LOCK = "auto_lock"
    SPEED_LOCK = "speed_lock"
    PARKING_UNLOCK = "parking_unlock"


@dataclass(frozen=True, slots=True)
class Job:
    """Doors to bring to a position, and why."""

    which: Which
    position: Position
    doors: tuple[DoorName, ...]


@dataclass(slots=True)
class Automation:
    """The settings in force and the one thing being waited for."""

    settings: DoorSettings
    auto_lock_due_at: datetime | None = None

    def configure(self, settings: DoorSettings) -> None:
        """Runs with `settings` from now on. A running delay ends when auto lock is switched off."""
        self.settings = settings
        if not settings.auto_lock_enabled:
            self.auto_lock_due_at = None

    def observe(self, before: Body, after: Body, now: datetime, *, by_itself: bool) -> Job | None:
        """What a change of the body calls for at once. `by_itself`: an automation made the change."""
        self._watch_for_auto_lock(before, after, now, by_itself=by_itself)
        threshold = self.settings.speed_lock_threshold_kmh
        if self.settings.speed_based_lock_enabled and before.speed_kmh < threshold <= after.speed_kmh:
            return _lock_job(Which.SPEED_LOCK, after)
        came_to_park = before.gear is not Gear.P and after.gear is Gear.P and after.speed_kmh == 0
        if self.settings.parking_auto_unlock and came_to_park:
            doors = doors_to_unlock(self.settings.unlock_mode, after)
            return Job(Which.PARKING_UNLOCK, Position.UNLOCKED, doors)
        return None

    def due(self, body: Body, now: datetime) -> Job | None:
        """The auto lock, once its time has come. Asking again gives None."""
        if self.auto_lock_due_at is None or now < self.auto_lock_due_at:
            return None
        self.auto_lock_due_at = None
        return _lock_job(Which.AUTO_LOCK, body)

    def _watch_for_auto_lock(self, before: Body, after: Body, now: datetime, *, by_itself: bool) -> None:
        everything_locked = all(after.doors[name].locked for name in LOCKABLE)
        somebody_came = any(after.doors[name].open for name in LOCKABLE)
        if everything_locked or somebody_came:
            self.auto_lock_due_at = None
            return
        unlocked = any(before.doors[name].locked and not after.doors[name].locked for name in LOCKABLE)
        if unlocked and self.settings.auto_lock_enabled and not by_itself:
            self.auto_lock_due_at = now + timedelta(seconds=self.settings.auto_lock_delay_seconds)


def _lock_job(which: Which, body: Body) -> Job | None:
    doors = tuple(name for name in LOCKABLE if not body.doors[name].locked and not body.doors[name].open)
    return Job(which, Position.LOCKED, doors) if doors else None

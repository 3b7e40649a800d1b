"""What the car does by itself under its owner's settings. Pure: the caller brings time and moves doors.

- auto lock: lock when a full delay has passed after the last unlock by command or by key and no door was opened;
- speed lock: lock when the speed reaches the threshold, and each door that is shut above it;
- parking unlock: unlock, by the unlock mode, when the gear goes to P at standstill.

Neither parking's own unlock nor an EMERGENCY one starts the auto lock's delay: there are people in the car.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from vehicle.doors.body import Body, DoorName, Gear, LockPosition
from vehicle.doors.settings import DoorSettings, doors_to_unlock


class AutomationKind(StrEnum):
    """The automations, as the actuation log names them."""

    AUTO_LOCK = "auto_lock"
    SPEED_LOCK = "speed_lock"
    PARKING_UNLOCK = "parking_unlock"


class ActuationCause(StrEnum):
    """Who changed the body."""

    COMMAND = "command"
    EMERGENCY = "emergency"
    """A command in EMERGENCY mode."""
    AUTOMATION = "automation"
    """The settings, without moving a lock."""
    AUTO_LOCK = "auto_lock"
    SPEED_LOCK = "speed_lock"
    PARKING_UNLOCK = "parking_unlock"
    HAND = "hand"
    DEFECT = "defect"
    """A lock that did not hold."""


CAUSE_OF = {
    AutomationKind.AUTO_LOCK: ActuationCause.AUTO_LOCK,
    AutomationKind.SPEED_LOCK: ActuationCause.SPEED_LOCK,
    AutomationKind.PARKING_UNLOCK: ActuationCause.PARKING_UNLOCK,
}
"""What is said of a lock that an automation moved."""
_ARMS_AUTO_LOCK = frozenset({ActuationCause.COMMAND, ActuationCause.HAND})


@dataclass(frozen=True, slots=True)
class Job:
    """Doors to bring to a position, and why."""

    which: AutomationKind
    position: LockPosition
    doors: tuple[DoorName, ...]


@dataclass(slots=True)
class Automation:
    """The settings in force and the one thing being waited for.

    Times are thousandths of a second of the car's uptime, which is never set. `auto_lock_since_millis` is when the
    delay that runs began; None while none does.
    """

    settings: DoorSettings
    auto_lock_since_millis: int | None = None

    @property
    def auto_lock_due_at_millis(self) -> int | None:
        """When the auto lock is due under the delay in force."""
        if self.auto_lock_since_millis is None or not self.settings.auto_lock_enabled:
            return None
        return self.auto_lock_since_millis + 1_000 * self.settings.auto_lock_delay_seconds

    def configure(self, settings: DoorSettings, body: Body, now_millis: int) -> Job | None:
        """Run with `settings` from now on; return what they call for at once.

        A changed delay counts from the unlock it runs since. Auto lock that is switched on counts from now.
        """
        before, self.settings = self.settings, settings
        if self.auto_lock_since_millis is not None and not before.auto_lock_enabled:
            self.auto_lock_since_millis = now_millis
        if _locks_at(settings, body) and not _locks_at(before, body):
            return _lock_job(AutomationKind.SPEED_LOCK, body, body.lockable)
        return None

    def observe(self, before: Body, after: Body, now_millis: int, cause: ActuationCause) -> Job | None:
        """Return what a change of the body calls for at once."""
        if any(before.doors[name].locked and not after.doors[name].locked for name in after.lockable):
            self.unlocked(now_millis, cause)
        everything_locked = all(after.doors[name].locked for name in after.lockable)
        somebody_came = any(after.doors[name].open for name in after.lockable)
        if everything_locked or somebody_came:
            self.auto_lock_since_millis = None
        if _locks_at(self.settings, after):
            shut = tuple(
                name for name in after.lockable if before.doors[name].open and not after.doors[name].open
            )
            return _lock_job(
                AutomationKind.SPEED_LOCK, after, shut if _locks_at(self.settings, before) else after.lockable
            )
        came_to_park = before.gear is not Gear.P and after.gear is Gear.P and after.speed_kmh == 0
        if self.settings.parking_auto_unlock and came_to_park:
            doors = doors_to_unlock(self.settings.unlock_mode, after)
            return Job(AutomationKind.PARKING_UNLOCK, LockPosition.UNLOCKED, doors)
        return None

    def unlocked(self, now_millis: int, cause: ActuationCause) -> None:
        """Start the delay anew: somebody unlocked, also where every door was unlocked already."""
        if cause in _ARMS_AUTO_LOCK:
            self.auto_lock_since_millis = now_millis
        elif cause is ActuationCause.EMERGENCY:
            self.auto_lock_since_millis = None

    def due(self, body: Body, now_millis: int) -> Job | None:
        """Return the auto lock, once its time has come. Asking again gives None."""
        due_at_millis = self.auto_lock_due_at_millis
        if due_at_millis is None or now_millis < due_at_millis:
            return None
        self.auto_lock_since_millis = None
        return _lock_job(AutomationKind.AUTO_LOCK, body, body.lockable)


def _locks_at(settings: DoorSettings, body: Body) -> bool:
    """Return whether the car is so fast that its doors are to be locked."""
    return settings.speed_based_lock_enabled and body.speed_kmh >= settings.speed_lock_threshold_kmh


def _lock_job(which: AutomationKind, body: Body, among: tuple[DoorName, ...]) -> Job | None:
    doors = tuple(name for name in among if not body.doors[name].locked and not body.doors[name].open)
    return Job(which, LockPosition.LOCKED, doors) if doors else None

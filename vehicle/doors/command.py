"""What a car is asked and what it answers: the words that rules, executor and agent share."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from vehicle.doors.body import DoorName, LockPosition

if TYPE_CHECKING:
    from datetime import datetime

    from vehicle.clock import Clock


class LockAction(StrEnum):
    """What to do with the locks."""

    UNLOCK = "UNLOCK"
    LOCK = "LOCK"


class Mode(StrEnum):
    """How: EMERGENCY belongs to UNLOCK, SECURE (deadlock) to LOCK."""

    NORMAL = "NORMAL"
    EMERGENCY = "EMERGENCY"
    SECURE = "SECURE"


class CommandFault(StrEnum):
    """Why not all of it was done."""

    VEHICLE_MOVING = "VEHICLE_MOVING"
    DOOR_OPEN = "DOOR_OPEN"
    ENGINE_ON = "ENGINE_ON"
    ACTUATOR = "ACTUATOR"
    LOW_BATTERY = "LOW_BATTERY"
    EXPIRED = "EXPIRED"
    INTERRUPTED = "INTERRUPTED"
    NOT_SUPPORTED = "NOT_SUPPORTED"
    REMOTE_ACCESS_DISABLED = "REMOTE_ACCESS_DISABLED"
    CANCELLED = "CANCELLED"


class CommandOutcome(StrEnum):
    """What became of a command. REFUSED and CANCELLED promise that no door moved for it."""

    SUCCEEDED = "SUCCEEDED"
    PARTIAL = "PARTIAL"
    FAILED = "FAILED"
    REFUSED = "REFUSED"
    CANCELLED = "CANCELLED"


class CancelOutcome(StrEnum):
    """What became of a cancellation."""

    WILL_NOT_ACT = "WILL_NOT_ACT"
    STOPPED = "STOPPED"
    TOO_LATE = "TOO_LATE"


class MalformedCommandError(ValueError):
    """A command this car cannot carry out as written; the text says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Command:
    """Move these doors. `doors` is empty with `all_doors`. `deadline_millis` is by Clock.uptime_millis."""

    command_id: str
    action: LockAction
    mode: Mode
    doors: tuple[DoorName, ...]
    all_doors: bool
    deadline_millis: int

    @property
    def position(self) -> LockPosition:
        """Where the locks are to go."""
        if self.action is LockAction.UNLOCK:
            return LockPosition.UNLOCKED
        return LockPosition.DEADLOCKED if self.mode is Mode.SECURE else LockPosition.LOCKED

    def is_expired(self, clock: Clock) -> bool:
        """Return whether it may no longer act, by the epoch's clock. The wall clock, which may be wrong, has no say."""
        return clock.uptime_millis() >= self.deadline_millis


@dataclass(frozen=True, slots=True)
class Cancellation:
    """Do not act on a command; `force`: stop before the next door if it has begun."""

    cancel_id: str
    command_id: str
    force: bool


@dataclass(frozen=True, slots=True)
class SafetyRefusal:
    """Why, and what a person can do about it."""

    fault: CommandFault
    guidance: str


@dataclass(frozen=True, slots=True)
class DoorOutcome:
    """What one door did. `moved` is False where it already stood as asked."""

    door: DoorName
    succeeded: bool
    moved: bool
    fault: CommandFault | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a command. `fault` is set unless SUCCEEDED or PARTIAL."""

    command_id: str
    outcome: CommandOutcome
    fault: CommandFault | None
    guidance: str
    doors: tuple[DoorOutcome, ...]
    started_at: datetime | None
    finished_at: datetime
    stopped: bool = False
    """Whether a forced cancellation kept doors from moving."""

"""What a command is, which states it goes through, and what stands in its way."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

FIRST_ANSWER = "Command received; it is on its way to the vehicle."
IDEMPOTENCY_KEPT = timedelta(hours=24)
CONDITION_TRUSTED = timedelta(seconds=15)
"""A condition the vehicle has not repeated for this long no longer refuses a command."""

ALL_DOORS = "all"
LOCKABLE_DOORS = ("driver", "passenger", "rearLeft", "rearRight", "trunk")


class Action(StrEnum):
    """What was asked for."""

    UNLOCK = "UNLOCK"
    LOCK = "LOCK"
    CANCEL = "CANCEL"
    STATUS_CHECK = "STATUS_CHECK"


class Status(StrEnum):
    """Where a command stands."""

    PENDING = "PENDING"
    IN_PROGRESS = "IN_PROGRESS"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    TIMEOUT = "TIMEOUT"
    CANCELLED = "CANCELLED"

    @property
    def final(self) -> bool:
        """A final status never changes."""
        return self not in {Status.PENDING, Status.IN_PROGRESS}


class FailureReason(StrEnum):
    """Why a command did not do what was asked."""

    VEHICLE_MOVING = "VEHICLE_MOVING"
    DOOR_OPEN = "DOOR_OPEN"
    ENGINE_ON = "ENGINE_ON"
    ACTUATOR_FAULT = "ACTUATOR_FAULT"
    LOW_BATTERY = "LOW_BATTERY"
    PARTIAL_SUCCESS = "PARTIAL_SUCCESS"
    TTL_EXPIRED = "TTL_EXPIRED"
    TOO_LATE = "TOO_LATE"
    GRANT_REVOKED = "GRANT_REVOKED"
    INTERRUPTED = "INTERRUPTED"
    NOT_SUPPORTED = "NOT_SUPPORTED"
    CANCELLED = "CANCELLED"


class Mode(StrEnum):
    """How a door action treats what stands in its way."""

    NORMAL = "NORMAL"
    EMERGENCY = "EMERGENCY"
    SECURE = "SECURE"


@dataclass(frozen=True, slots=True)
class Requester:
    """Who asks. `principal` is who authenticated; `subject` on whose behalf, mostly the same.

    `proof` is the capability the request came with; what is read from the record has none.
    """

    principal: str
    subject: str
    source: str
    proof: str = field(default="", compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Order:
    """Which doors to move, and how."""

    action: Action
    target_doors: tuple[str, ...]
    mode: Mode

    def fingerprint(self) -> str:
        """The same for two requests that ask for the same."""
        return _digest(self.action.value, self.mode.value, *self.target_doors)

    def concerns(self, door: str) -> bool:
        """Whether `door` is among those to move."""
        return door in self.target_doors or (ALL_DOORS in self.target_doors and door in LOCKABLE_DOORS)

    def contradicted_by(self, ending: Ending) -> str | None:
        """Why the vehicle can not have ended this order so; None when it can.

        Which doors "all" means, the vehicle's unlock mode decides; doors named one by one are all answered for.
        """
        told = {result.door_id for result in ending.door_results}
        if len(told) < len(ending.door_results) or not all(map(self.concerns, told)):
            return "about doors that were not asked for"
        if ending.status is not Status.SUCCESS:
            return None
        if ALL_DOORS not in self.target_doors and told != set(self.target_doors):
            return "a success that leaves out a door"
        return None


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """Which command to cancel, and how hard."""

    correlation_id: str
    reason: str
    force: bool

    def fingerprint(self) -> str:
        """The same for two requests that ask for the same."""
        return _digest(self.correlation_id, self.reason, str(self.force))


def _digest(*words: str) -> str:
    return hashlib.sha256("\0".join(words).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class DoorResult:
    """What one door did."""

    door_id: str
    success: bool
    locked: bool
    failure_reason: FailureReason | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """How a command ended."""

    status: Status
    finished_at: datetime
    message: str
    failure_reason: FailureReason | None = None
    guidance: str | None = None
    may_have_succeeded: bool | None = None
    door_results: tuple[DoorResult, ...] = ()


@dataclass(frozen=True, slots=True)
class LateResult:
    """What the vehicle said after the command had timed out."""

    status: Status
    received_at: datetime
    failure_reason: FailureReason | None
    door_results: tuple[DoorResult, ...]


@dataclass(frozen=True, slots=True)
class Confirmation:
    """How the doors stood when the vehicle next reported them after a SUCCESS: (door, locked) of the command's."""

    confirmed: bool
    observed_at: datetime
    doors: tuple[tuple[str, bool], ...]


@dataclass(frozen=True, slots=True)
class Observed:
    """What a vehicle's report showed of a command that this vehicle named."""

    vin: str
    command_id: str
    confirmation: Confirmation


@dataclass(frozen=True, slots=True)
class Command:
    """A command and its life so far."""

    command_id: str
    vin: str
    order: Order
    requester: Requester
    correlation_id: str
    accepted_at: datetime
    expires_at: datetime
    estimated_seconds: int
    status: Status = Status.PENDING
    sent_at: datetime | None = None
    received_at: datetime | None = None
    ending: Ending | None = None
    late_result: LateResult | None = None
    waking_at: datetime | None = None
    """When the vehicle, which sleeps or does not answer, was sent a wake-up for it."""
    confirmation: Confirmation | None = None
    taken_over: bool = False
    """Whether another process than the one that accepted it may have handed it to the vehicle."""


@dataclass(frozen=True, slots=True)
class Cancellation:
    """A request to cancel a command."""

    cancel_id: str
    command_id: str
    vin: str
    withdrawal: Withdrawal
    requester: Requester
    correlation_id: str
    requested_at: datetime


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One finished request."""

    command_id: str
    action: Action
    target_doors: tuple[str, ...]
    status: Status
    requested_at: datetime
    execution_seconds: float
    user_id: str
    actor_id: str
    source: str
    failure_reason: FailureReason | None
    correlation_id: str


@dataclass(frozen=True, slots=True)
class HistoryQuery:
    """Which finished requests to list."""

    since: datetime
    as_of: datetime
    limit: int
    offset: int
    action: Action | None = None
    status: Status | None = None
    source: str | None = None


@dataclass(frozen=True, slots=True)
class StatusCheck:
    """Somebody looked at the door status."""

    check_id: str
    vin: str
    at: datetime
    requester: Requester
    correlation_id: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Condition:
    """What the vehicle said, moments ago, that may stand in a command's way."""

    observed_at: datetime
    open_doors: frozenset[str] = frozenset()
    engine_on: bool = False
    speed_kmh: float = 0.0
    asleep: bool = False
    """It said that it goes to sleep: true until it says something else, however long ago."""

    def forbids(self, order: Order, now: datetime) -> FailureReason | None:
        """Why the vehicle would refuse `order`; None when it would not, or when this is too old to tell."""
        if now - self.observed_at > CONDITION_TRUSTED:
            return None
        if self.speed_kmh > 0 and (order.action is Action.UNLOCK or order.mode is Mode.SECURE):
            return FailureReason.VEHICLE_MOVING
        hindered = order.mode is Mode.SECURE or (
            order.action is Action.UNLOCK and order.mode is not Mode.EMERGENCY
        )
        if self.engine_on and hindered:
            return FailureReason.ENGINE_ON
        if order.action is Action.LOCK and any(order.concerns(door) for door in self.open_doors):
            return FailureReason.DOOR_OPEN
        return None


class Refused(Exception):
    """A request that is not carried out."""


class CorrelationIdReused(Refused):
    """The same id came before with another body."""


class CannotDeliver(Refused):
    """Nothing can leave for vehicles at this time: what cannot be sent is not accepted."""


@dataclass(slots=True, eq=False)
class CommandInProgress(Refused):
    """Another command is in flight on this vehicle."""

    command_id: str


class CommandNotFound(Refused):
    """This vehicle has no such command."""


@dataclass(slots=True, eq=False)
class CommandAlreadyFinished(Refused):
    """It has ended."""

    command_id: str
    status: Status


@dataclass(slots=True, eq=False)
class Forbidden(Refused):
    """The vehicle said moments ago what stands in the way."""

    reason: FailureReason
    open_doors: tuple[str, ...] = field(default=())


GUIDANCE = {
    FailureReason.VEHICLE_MOVING: "Wait until the vehicle stands still, then try again.",
    FailureReason.DOOR_OPEN: "Close the open door, then lock again.",
    FailureReason.ENGINE_ON: "Switch the ignition off; to open all the same, use unlockMode EMERGENCY at standstill.",
    FailureReason.ACTUATOR_FAULT: "Use the mechanical key for the doors that did not move and have them checked.",
    FailureReason.LOW_BATTERY: "The vehicle's battery is too low to move the locks; use the mechanical key.",
    FailureReason.PARTIAL_SUCCESS: "Some doors did not move: see doorResults, and check those doors at the vehicle.",
    FailureReason.TTL_EXPIRED: "The vehicle did not answer in time. Check the door status before trying again.",
    FailureReason.TOO_LATE: "The vehicle had already begun; check the door status.",
    FailureReason.GRANT_REVOKED: "Your access to this vehicle has ended; ask its owner.",
    FailureReason.INTERRUPTED: "The vehicle restarted while acting; check the door status before trying again.",
    FailureReason.NOT_SUPPORTED: "This vehicle does not have that door or function.",
    FailureReason.CANCELLED: "Cancelled on request; some doors may have moved before: see doorResults.",
}
"""What to do about it, where the vehicle gave no guidance of its own."""


WAKE_AFTER = timedelta(seconds=2)
"""A vehicle that has not confirmed a command for this long is woken, whatever was known of it."""
_WAKES = ((timedelta(seconds=15), 1), (timedelta(hours=1), 12), (timedelta(days=1), 48))
"""At most so many wake-ups of one vehicle within so long: each costs its battery."""
WAKES_REMEMBERED = timedelta(days=1)


def may_wake(earlier: Sequence[datetime], now: datetime) -> bool:
    """Whether the vehicle's budget allows one more wake-up after these."""
    return all(sum(at > now - span for at in earlier) < most for span, most in _WAKES)


def not_accepted(now: datetime, fault: str) -> Ending:
    """The ending of a command that the vehicle refuses to take as an order."""
    return Ending(
        Status.FAILED,
        now,
        f"The vehicle does not take this order ({fault}).",
        failure_reason=FailureReason.NOT_SUPPORTED,
        guidance=GUIDANCE[FailureReason.NOT_SUPPORTED],
    )


def timed_out(now: datetime, *, surely_unsent: bool) -> Ending:
    """The ending of a command whose time ran out. It may have acted, unless it surely never left."""
    return Ending(
        status=Status.TIMEOUT,
        finished_at=now,
        message="No result from the vehicle in time."
        if not surely_unsent
        else "The command could not be handed to the vehicle in time; nothing was sent.",
        failure_reason=FailureReason.TTL_EXPIRED,
        guidance=GUIDANCE[FailureReason.TTL_EXPIRED]
        if not surely_unsent
        else "The vehicle was not reached and did not act; try again.",
        may_have_succeeded=not surely_unsent,
    )


def cancelled_before_dispatch(now: datetime) -> Ending:
    """The ending of a command that was withdrawn before it left."""
    return Ending(Status.CANCELLED, now, "Cancelled before it was handed to the vehicle.")


def right_ended(now: datetime) -> Ending:
    """The ending of a command whose requester lost the right before it was handed over."""
    return Ending(
        Status.FAILED,
        now,
        "Not handed to the vehicle: the right to command it had ended.",
        failure_reason=FailureReason.GRANT_REVOKED,
        guidance=GUIDANCE[FailureReason.GRANT_REVOKED],
    )

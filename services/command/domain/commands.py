"""What a command is, which states it goes through, and what stands in its way."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

FIRST_ANSWER = "Command received; it is on its way to the vehicle."
IDEMPOTENCY_KEPT = timedelta(hours=24)
ADVISORY_TRUSTED = timedelta(seconds=15)
"""A condition the vehicle has not repeated for this long no longer refuses a command."""

ALL_DOORS = "all"
LOCKABLE_DOORS = ("driver", "passenger", "rearLeft", "rearRight", "trunk")


class CommandAction(StrEnum):
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
    SUPERSEDED = "SUPERSEDED"
    NOT_PROVEN = "NOT_PROVEN"
    REMOTE_ACCESS_DISABLED = "REMOTE_ACCESS_DISABLED"
    COMMAND_IN_PROGRESS = "COMMAND_IN_PROGRESS"


class Mode(StrEnum):
    """How a door action treats what stands in its way."""

    NORMAL = "NORMAL"
    EMERGENCY = "EMERGENCY"
    SECURE = "SECURE"


class PersonRole(StrEnum):
    """What a person is to the vehicle, the highest first."""

    OWNER = "OWNER"
    SHARED_USER = "SHARED_USER"
    DIGITAL_KEY = "DIGITAL_KEY"


@dataclass(frozen=True, slots=True)
class Requester:
    """Who asks. `principal` is who authenticated; `subject` on whose behalf, mostly the same.

    `proof` is the capability the request came with; what is read from the record has none. `role` is the subject's;
    None where nobody says. `recorded` says whether what is asked for the subject is kept for the history: it is theirs
    to consent to.
    """

    principal: str
    subject: str
    source: str
    proof: str = field(default="", compare=False, repr=False)
    role: PersonRole | None = field(default=None, compare=False)
    factors: tuple[str, ...] = field(default=(), compare=False)
    """How who authenticated had proven who they are; what is read from the record has none."""
    case: str = field(default="", compare=False)
    """The case because of which an agent asks; what is read from the record has none."""
    recorded: bool = field(default=True, compare=False)

    def may_cancel(self, command: Command) -> bool:
        """Return whether the command is this person's to cancel: who gave it and the owner may always, nobody
        else a lock, and an unlock those whose role is not below the one it was given in.
        """
        giver = command.requester
        if self.subject == giver.subject or self.role is PersonRole.OWNER:
            return True
        if command.door_action.action is CommandAction.LOCK or self.role is None:
            return False
        ranks = list(PersonRole)
        return ranks.index(self.role) <= ranks.index(giver.role or PersonRole.OWNER)


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who reads, in which role, and since when there is a right to."""

    subject: str
    role: PersonRole | None
    since: datetime


@dataclass(frozen=True, slots=True)
class DoorAction:
    """Which doors to move, and how."""

    action: CommandAction
    target_doors: tuple[str, ...]
    mode: Mode

    def fingerprint(self) -> str:
        """Return the same for two requests that ask for the same, in whatever order they name the doors."""
        return _digest(self.action.value, self.mode.value, *sorted(self.target_doors))

    def concerns(self, door: str) -> bool:
        """Return whether `door` is among those to move."""
        return door in self.target_doors or (ALL_DOORS in self.target_doors and door in LOCKABLE_DOORS)

    def contradicted_by(self, ending: Ending) -> str | None:
        """Return why the vehicle cannot have ended this order so; None when it can.

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
class CancelRequest:
    """Which command to cancel, and how hard."""

    correlation_id: str
    reason: str
    force: bool

    def fingerprint(self) -> str:
        """Return the same for two requests that ask for the same."""
        return _digest(self.correlation_id, self.reason, str(self.force))


def _digest(*words: str) -> str:
    return hashlib.sha256("\0".join(words).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class DoorResult:
    """What one door did."""

    door_id: str
    success: bool
    locked: bool | None
    """None where the vehicle cannot tell."""
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
class ObservedOutcome:
    """What a vehicle's report showed of a command that this vehicle named."""

    vin: str
    command_id: str
    confirmation: Confirmation


@dataclass(frozen=True, slots=True)
class Command:
    """A command and its life so far."""

    command_id: str
    vin: str
    door_action: DoorAction
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
    superseded: bool = False
    """Whether a later lock took its place: it is not sent any more, and stands in nobody's way."""
    asleep: bool = False
    """Whether the vehicle slept when it was accepted."""
    lost: bool = False
    """Whether the vehicle was out of reach then, as far as was known."""
    never_connected: bool = False
    """Whether nothing had ever been heard of the vehicle then."""


@dataclass(frozen=True, slots=True)
class Cancellation:
    """A request to cancel a command."""

    cancel_id: str
    command_id: str
    vin: str
    cancel_request: CancelRequest
    requester: Requester
    correlation_id: str
    requested_at: datetime
    force: bool = False
    """Whether the vehicle is asked to stop between doors: not with a lock, which is finished once it has begun."""


@dataclass(frozen=True, slots=True)
class CommandRightEnded:
    """Something that allowed commands has ended. What may be given up for it is asked about once more.

    Of `principal` alone: whatever names it as subject or actor, on `vin` or, where that is None, on every vehicle.
    Without a principal: whatever was asked for with a credential that is no longer accepted.
    """

    principal: str | None
    vin: str | None


@dataclass(frozen=True, slots=True)
class InFlight:
    """The command that stands in the way of others on its vehicle."""

    command_id: str
    action: CommandAction

    def gives_way_to(self, door_action: DoorAction) -> bool:
        """Return whether it gives way, as an unlock does to a lock: nobody has to wait to lock a vehicle."""
        return self.action is CommandAction.UNLOCK and door_action.action is CommandAction.LOCK


@dataclass(frozen=True, slots=True)
class RequestedOrder:
    """A live command as the signer gets it."""

    command_id: str
    vin: str
    order: bytes


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One finished request."""

    command_id: str
    action: CommandAction
    target_doors: tuple[str, ...]
    status: Status
    requested_at: datetime
    execution_seconds: float
    user_id: str
    actor_id: str
    source: str
    failure_reason: FailureReason | None
    correlation_id: str
    door_results: tuple[DoorResult, ...] = ()
    """What the vehicle reported of each door before the command ended."""
    late_result: LateResult | None = None


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
class AdvisoryState:
    """What the vehicle said, moments ago, that may stand in a command's way."""

    observed_at: datetime
    open_doors: frozenset[str] = frozenset()
    engine_on: bool = False
    speed_kmh: float = 0.0
    asleep: bool = False
    """It said that it goes to sleep: true until it says something else, however long ago."""
    lost: bool = False
    """It has gone silent, or left a command unanswered: true until it says something."""
    remote_access_disabled: bool = False
    """Its people have switched remote access off in it, or privacy mode on."""

    def forbids(self, asked: DoorAction, now: datetime) -> FailureReason | None:
        """Return why the vehicle would refuse it; None when it would not, or when this is too old to tell."""
        if now - self.observed_at > ADVISORY_TRUSTED:
            return None
        if self.remote_access_disabled:
            return FailureReason.REMOTE_ACCESS_DISABLED
        if self.speed_kmh > 0 and (asked.action is CommandAction.UNLOCK or asked.mode is Mode.SECURE):
            return FailureReason.VEHICLE_MOVING
        hindered = asked.mode is Mode.SECURE or (
            asked.action is CommandAction.UNLOCK and asked.mode is not Mode.EMERGENCY
        )
        if self.engine_on and hindered:
            return FailureReason.ENGINE_ON
        if asked.action is CommandAction.LOCK and any(asked.concerns(door) for door in self.open_doors):
            return FailureReason.DOOR_OPEN
        return None

"""Roles, actions, grants and what follows from them. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING

from services.access.domain.approvals import PendingRequest

if TYPE_CHECKING:
    from datetime import datetime

    from services.access.domain.schedule import Schedule

UNLOCK = "door.unlock"
LOCK = "door.lock"
CANCEL = "door.cancel"
STATUS_READ = "door.status.read"
HISTORY_READ = "door.history.read"
AUDIT_READ = "door.audit.read"
CONFIG_READ = "door.config.read"
CONFIG_WRITE = "door.config.write"
DIAGNOSTICS_READ = "door.diagnostics.read"
DIAGNOSTICS_CHECK = "door.diagnostics.check"
UPDATES_READ = "door.updates.read"
GRANTS_READ = "door.grants.read"
GRANTS_WRITE = "door.grants.write"
GRANTS_ACCEPT = "door.grants.accept"
GRANTS_END = "door.grants.end"
SEVER = "door.access.sever"
RESTORE = "door.account.restore"

ACTIONS = frozenset(
    {
        UNLOCK,
        LOCK,
        CANCEL,
        STATUS_READ,
        HISTORY_READ,
        AUDIT_READ,
        CONFIG_READ,
        CONFIG_WRITE,
        DIAGNOSTICS_READ,
        DIAGNOSTICS_CHECK,
        UPDATES_READ,
        GRANTS_READ,
        GRANTS_WRITE,
        GRANTS_ACCEPT,
        GRANTS_END,
        SEVER,
        RESTORE,
    }
)
PEOPLES = frozenset({GRANTS_WRITE, GRANTS_ACCEPT, GRANTS_END, SEVER, RESTORE})
"""What no API key is for: people decide who has which right."""
OWN_GRANTS = frozenset({GRANTS_READ, GRANTS_ACCEPT, GRANTS_END, RESTORE})
"""What anybody may do about what is their own: look at a grant, accept it, give it back; restore their account."""


class GrantRole(Enum):
    """What a principal is to a vehicle."""

    OWNER = "OWNER"
    SHARED_USER = "SHARED_USER"
    DIGITAL_KEY = "DIGITAL_KEY"
    VALET = "VALET"
    SERVICE = "SERVICE"

    @property
    def as_told(self) -> GrantRole:
        """The role as other services and vehicles know it: to them whoever parks the car, or helps it, has a key."""
        return GrantRole.DIGITAL_KEY if self in LONGEST_SECONDS else self


LONGEST_SECONDS = {GrantRole.VALET: 24 * 3_600, GrantRole.SERVICE: 3_600}
"""Roles that end by themselves, and after how long at the latest."""
ROLE_ACTIONS = {
    GrantRole.OWNER: ACTIONS,
    GrantRole.SHARED_USER: ACTIONS - {CONFIG_WRITE, DIAGNOSTICS_READ, DIAGNOSTICS_CHECK, GRANTS_WRITE},
    GrantRole.DIGITAL_KEY: frozenset({UNLOCK, LOCK, CANCEL, STATUS_READ, UPDATES_READ}) | OWN_GRANTS,
    GrantRole.VALET: frozenset({UNLOCK, LOCK, CANCEL, STATUS_READ}) | OWN_GRANTS,
    GrantRole.SERVICE: frozenset({UNLOCK}) | OWN_GRANTS,
}


class RightRefusedError(Exception):
    """What was asked of a right is not done: nothing has changed."""


class GrantConflictError(RightRefusedError):
    """A grant with this id exists and says something else."""


class GrantUnknownError(RightRefusedError):
    """There is no grant with this id."""


class GrantNotPendingError(GrantUnknownError):
    """No grant with this id waits for approval."""


class ActionsBeyondRoleError(Exception):
    """A grant names actions that its role does not have: (position, action) of each."""

    def __init__(self, surplus: list[tuple[int, str]]) -> None:
        super().__init__(", ".join(action for _, action in surplus))
        self.surplus = surplus


class TooLongError(RightRefusedError):
    """A grant of this role may not last so long."""

    def __init__(self, role: GrantRole, longest_seconds: int) -> None:
        super().__init__(role.value)
        self.role = role
        self.longest_seconds = longest_seconds


@dataclass(frozen=True, slots=True)
class NewGrant:
    """A right as asked for. Empty `actions` are all of the role's; `valid_seconds` None is until revoked, or for as
    long as the role may be given. Without a `schedule` it holds at all hours.
    """

    grant_id: str
    principal: str
    vin: str
    role: GrantRole
    actions: tuple[str, ...] = ()
    valid_seconds: int | None = None
    schedule: Schedule | None = None
    label: str = ""
    """What people call it: "Anna's phone"."""

    def check(self) -> None:
        """Raise ActionsBeyondRoleError when it names an action that its role does not have; TooLongError."""
        surplus = [(n, a) for n, a in enumerate(self.actions) if a not in ROLE_ACTIONS[self.role]]
        if surplus:
            raise ActionsBeyondRoleError(surplus)
        longest = LONGEST_SECONDS.get(self.role)
        if longest is not None and (self.valid_seconds or 0) > longest:
            raise TooLongError(self.role, longest)

    def end_from(self, begin: datetime) -> datetime | None:
        """Return when it ends by itself, when it begins then."""
        seconds = self.valid_seconds or LONGEST_SECONDS.get(self.role)
        return None if seconds is None else begin + timedelta(seconds=seconds)


class GrantState(Enum):
    """Where a grant is in its life, in the words that the Car Connectivity Consortium has for digital keys."""

    CREATED = "CREATED"
    """Offered; it allows nothing yet but to accept it."""
    ACTIVE = "ACTIVE"
    SUSPENDED = "SUSPENDED"
    TERMINATED = "TERMINATED"


@dataclass(frozen=True, slots=True)
class InForce:
    """What a grant allows at a moment, since when and until when without a change (None: until it is revoked)."""

    actions: frozenset[str]
    since: datetime
    until: datetime | None
    is_dormant: bool = False
    """It allows its actions at another time."""


@dataclass(frozen=True, slots=True)
class Grant:
    """A right on a vehicle as it is kept.

    One that somebody gives (`given_by`) is offered until `offered_until`, and begins when it is accepted.
    """

    asked: NewGrant
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    given_by: str = ""
    offered_until: datetime | None = None
    accepted_at: datetime | None = None
    suspended_at: datetime | None = None
    resumed_at: datetime | None = None

    @property
    def actions(self) -> frozenset[str]:
        """What it allows while it lives."""
        return frozenset(self.asked.actions) or ROLE_ACTIONS[self.asked.role]

    def is_live(self, now: datetime) -> bool:
        """Return whether it has not ended: it is neither revoked nor expired, nor was its offer left to lapse."""
        return self.revoked_at is None and (self._ends_at is None or self._ends_at > now)

    def state(self, now: datetime) -> GrantState:
        """Return where it is in its life."""
        if not self.is_live(now):
            return GrantState.TERMINATED
        if self._is_offer:
            return GrantState.CREATED
        return GrantState.ACTIVE if self.suspended_at is None else GrantState.SUSPENDED

    def in_force(self, now: datetime) -> InForce:
        """Return what it allows now, being live."""
        state, ends_at = self.state(now), self._ends_at
        if state is GrantState.CREATED:
            return InForce(OWN_GRANTS, self.created_at, ends_at, is_dormant=True)
        since = max(filter(None, (self.created_at, self.accepted_at, self.resumed_at)))
        if state is not GrantState.ACTIVE:
            return InForce(OWN_GRANTS - {GRANTS_ACCEPT}, since, ends_at, is_dormant=True)
        if self.asked.schedule is None:
            return InForce(self.actions, since, ends_at)
        opening = self.asked.schedule.opening(now)
        until = opening.until if ends_at is None else min(ends_at, opening.until)
        if not opening.is_open:
            return InForce(OWN_GRANTS - {GRANTS_ACCEPT}, since, until, is_dormant=True)
        return InForce(self.actions, max(since, opening.since), until)

    @property
    def _is_offer(self) -> bool:
        return self.offered_until is not None and self.accepted_at is None

    @property
    def _ends_at(self) -> datetime | None:
        return self.offered_until if self._is_offer else self.expires_at


@dataclass(frozen=True, slots=True)
class PendingGrant(PendingRequest[NewGrant]):
    """A right that one operator has asked for, and another must approve before it is one."""

    def not_pending(self) -> GrantNotPendingError:
        """Return that no such grant waits."""
        return GrantNotPendingError(self.asked.grant_id)

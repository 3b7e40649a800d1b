"""Roles, actions, grants and what follows from them. Standard library only."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from services.access.domain.schedule import Schedule

UNLOCK = "door.unlock"
LOCK = "door.lock"
CANCEL = "door.cancel"
STATUS_READ = "door.status.read"
HISTORY_READ = "door.history.read"
CONFIG_READ = "door.config.read"
CONFIG_WRITE = "door.config.write"
DIAGNOSTICS_READ = "door.diagnostics.read"
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
        CONFIG_READ,
        CONFIG_WRITE,
        DIAGNOSTICS_READ,
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
    GrantRole.SHARED_USER: ACTIONS - {CONFIG_WRITE, DIAGNOSTICS_READ, GRANTS_WRITE},
    GrantRole.DIGITAL_KEY: frozenset({UNLOCK, LOCK, CANCEL, STATUS_READ, UPDATES_READ}) | OWN_GRANTS,
    GrantRole.VALET: frozenset({UNLOCK, LOCK, CANCEL, STATUS_READ}) | OWN_GRANTS,
    GrantRole.SERVICE: frozenset({UNLOCK}) | OWN_GRANTS,
}


class Source(Enum):
    """The door of ours that a request came through, as history names it."""

    MOBILE_APP = "MOBILE_APP"
    CALL_CENTER = "CALL_CENTER"
    WEB = "WEB"
    VOICE_ASSISTANT = "VOICE_ASSISTANT"


SANDBOX_CLIENTS = {
    "mobile-app": Source.MOBILE_APP,
    "call-center": Source.CALL_CENTER,
    "web": Source.WEB,
    "voice-assistant": Source.VOICE_ASSISTANT,
}
"""The sandbox's OAuth clients, by the client id of a token."""


class GrantConflictError(Exception):
    """A grant with this id exists and says something else."""


class SameOperatorError(Exception):
    """Who asked for a grant cannot approve it."""


class GrantUnknownError(Exception):
    """There is no grant with this id."""


class ApiKeyUnknownError(Exception):
    """There is no API key with this id."""


class GrantNotPendingError(GrantUnknownError):
    """No grant with this id waits for approval."""


class ApiKeyNotPendingError(ApiKeyUnknownError):
    """No API key with this id waits for approval."""


class ActionsBeyondRoleError(Exception):
    """A grant names actions that its role does not have: (position, action) of each."""

    def __init__(self, surplus: list[tuple[int, str]]) -> None:
        super().__init__(", ".join(action for _, action in surplus))
        self.surplus = surplus


class TooLongError(Exception):
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


APPROVAL_TIME = timedelta(hours=24)
"""After this long a pending grant or API key that nobody has approved is not one any more."""


@dataclass(frozen=True, slots=True)
class PendingGrant:
    """A right that one operator has asked for, and another must approve before it is one."""

    asked: NewGrant
    requested_by: str
    requested_at: datetime
    approved_by: str | None = None
    ended_at: datetime | None = None

    def is_waiting(self, now: datetime) -> bool:
        """Return whether it is neither approved, nor revoked, nor lapsed."""
        decided = self.approved_by is not None or self.ended_at is not None
        return not decided and now < self.requested_at + APPROVAL_TIME

    def check_approval(self, by: str, now: datetime) -> None:
        """Raise unless this operator may approve it now: GrantNotPendingError, SameOperatorError."""
        if not self.is_waiting(now):
            raise GrantNotPendingError(self.asked.grant_id)
        if by == self.requested_by:
            raise SameOperatorError(self.asked.grant_id)


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody's account, as far as there is something to say about it."""

    principal: str
    locked_at: datetime | None = None
    reason: str = ""
    restricted_at: datetime | None = None
    restriction_reason: str = ""
    restore_requested_by: str = ""


KEY_ID_PREFIX = "key_"
_KEY_ID_BYTES = 16


def key_id_of(key_hash: bytes) -> str:
    """Return what an API key is called where it must not be told: half of its keyed hash."""
    return KEY_ID_PREFIX + key_hash[:_KEY_ID_BYTES].hex()


@dataclass(frozen=True, slots=True)
class NewApiKey:
    """An API key as asked for: whose, what it is for, and what its requests count as."""

    key_hash: bytes
    principal: str
    name: str
    source: Source
    valid_seconds: int
    scopes: tuple[str, ...] = ()
    """Words of key_scopes, in order; none are those of a key that was created without."""
    vins: tuple[str, ...] = ()
    """The vehicles it is good for, in order; none are all of the account's."""

    @property
    def key_id(self) -> str:
        """What it is called."""
        return key_id_of(self.key_hash)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key as it is kept: the key itself is not."""

    key_id: str
    principal: str
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    name: str = ""
    source: Source | None = None
    scopes: tuple[str, ...] = ()
    vins: tuple[str, ...] = ()
    last_used_at: datetime | None = None
    """To within the time that lies between two notes of it; None before the first."""

    def is_live(self, now: datetime) -> bool:
        """Return whether it is neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > now)


@dataclass(frozen=True, slots=True)
class PendingApiKey:
    """An API key that one operator has issued, and another must approve before it opens anything."""

    asked: NewApiKey
    requested_by: str
    requested_at: datetime
    approved_by: str | None = None
    ended_at: datetime | None = None

    def is_waiting(self, now: datetime) -> bool:
        """Return whether it is neither approved, nor revoked, nor lapsed."""
        decided = self.approved_by is not None or self.ended_at is not None
        return not decided and now < self.requested_at + APPROVAL_TIME

    def check_approval(self, by: str, now: datetime) -> None:
        """Raise unless this operator may approve it now: ApiKeyNotPendingError, SameOperatorError."""
        if not self.is_waiting(now):
            raise ApiKeyNotPendingError(self.asked.key_id)
        if by == self.requested_by:
            raise SameOperatorError(self.asked.key_id)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, as proven by a bearer. Times are in seconds since 1970.

    `expires_at` is until when the bearer is accepted, `ends_at` when what was begun with it ends: a token is accepted
    a little past its end, because clocks differ, but no stream goes on past it. `credential` names what must be trusted
    for the bearer: an API key, or the key that signed a token. With `only_vins` it is good for these vehicles.
    """

    subject: str
    actor: str
    source: Source
    factors: frozenset[str] = frozenset()
    expires_at: float = math.inf
    only_vins: frozenset[str] | None = None
    credential: str = ""
    ends_at: float = math.inf
    scope: frozenset[str] | None = None
    """The actions that the bearer was made for; None when it was not narrowed to some."""
    acr: str = ""
    """The class of the authentication behind it (OpenID Connect's `acr`); empty where it does not say."""
    authenticated_at: float | None = None
    """When the person signed in; None where it does not say, and of an API key."""
    key_thumbprint: str = ""
    """Of the key that its sender must prove to hold (RFC 9449); empty where whoever has the bearer may use it."""
    carries: frozenset[str] | None = None
    """Of an API key, which cannot step up: the lines of the step-up table that it was created with."""

    client_id: str = ""
    """The issuer's client that the token was made for; empty for an API key."""
    case: str = ""
    """Of an agent: the number of the case because of which it acts for the subject."""

    @property
    def is_agent(self) -> bool:
        """Whether somebody else acts for the subject."""
        return self.actor != self.subject

    def ending(self, at: float) -> Caller:
        """Return the same, accepted until `at` and no longer."""
        return replace(self, expires_at=at, ends_at=at)

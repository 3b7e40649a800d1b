"""Roles, actions, grants and what follows from them. Standard library only."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

UNLOCK = "door.unlock"
LOCK = "door.lock"
CANCEL = "door.cancel"
STATUS_READ = "door.status.read"
HISTORY_READ = "door.history.read"
CONFIG_READ = "door.config.read"
CONFIG_WRITE = "door.config.write"
DIAGNOSTICS_READ = "door.diagnostics.read"
UPDATES_READ = "door.updates.read"

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
    }
)
COMMANDS = frozenset({UNLOCK, LOCK, CANCEL, CONFIG_WRITE})
"""The actions that change something; their rate is limited apart from that of reads."""


class GrantRole(Enum):
    """What a principal is to a vehicle."""

    OWNER = "OWNER"
    SHARED_USER = "SHARED_USER"
    DIGITAL_KEY = "DIGITAL_KEY"


ROLE_ACTIONS = {
    GrantRole.OWNER: ACTIONS,
    GrantRole.SHARED_USER: ACTIONS - {CONFIG_WRITE, DIAGNOSTICS_READ},
    GrantRole.DIGITAL_KEY: frozenset({UNLOCK, LOCK, CANCEL, STATUS_READ, UPDATES_READ}),
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


@dataclass(frozen=True, slots=True)
class NewGrant:
    """A right as asked for. Empty `actions` are all of the role's; `valid_seconds` None is until revoked."""

    grant_id: str
    principal: str
    vin: str
    role: GrantRole
    actions: tuple[str, ...] = ()
    valid_seconds: int | None = None

    def check(self) -> None:
        """Raise ActionsBeyondRoleError when it names an action that its role does not have."""
        surplus = [(n, a) for n, a in enumerate(self.actions) if a not in ROLE_ACTIONS[self.role]]
        if surplus:
            raise ActionsBeyondRoleError(surplus)


@dataclass(frozen=True, slots=True)
class Grant:
    """A right on a vehicle as it is kept."""

    asked: NewGrant
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None

    @property
    def actions(self) -> frozenset[str]:
        """What it allows while it lives."""
        return frozenset(self.asked.actions) or ROLE_ACTIONS[self.asked.role]

    def is_live(self, now: datetime) -> bool:
        """Return whether it is neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > now)


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


class EndedKind(Enum):
    """What a principal had that has ended."""

    GRANT = "GRANT"
    ACCOUNT = "ACCOUNT"
    CREDENTIAL = "CREDENTIAL"


@dataclass(frozen=True, slots=True)
class EndedRight:
    """A right that ended before its time, as the other services are told.

    No `vin` means every vehicle. `remaining` is what the principal may still do to the vehicle, and until when, in
    seconds since 1970.
    """

    kind: EndedKind
    at: datetime
    principal: str = ""
    vin: str = ""
    grant_id: str = ""
    credential: str = ""
    remaining: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody's account, as far as there is something to say about it."""

    principal: str
    locked_at: datetime | None = None
    reason: str = ""


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
class AccountSummary:
    """An account in a list: how many grants have not ended, and how many API keys are good."""

    account: Account
    grants: int
    api_keys: int


@dataclass(frozen=True, slots=True)
class AccountOverview:
    """An account with the grants that have not ended, and all of its API keys."""

    account: Account
    grants: Sequence[Grant]
    api_keys: Sequence[ApiKey]
    known: bool = True
    """Whether anything is kept under this name, what has ended included."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, as proven by a bearer. Times are in seconds since 1970.

    `expires_at` is until when the bearer is accepted, `ends_at` when what was begun with it ends: a token is accepted
    a little past its end, because clocks differ, but no stream goes on past it. `credential` names what must be
    trusted for the bearer to be good: an API key, or the key that signed a token. With `only_vins` the bearer is good
    for these vehicles.
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

    case: str = ""
    """Of an agent: the number of the case because of which it acts for the subject."""

    @property
    def is_agent(self) -> bool:
        """Whether somebody else acts for the subject."""
        return self.actor != self.subject

    def ending(self, at: float) -> Caller:
        """Return the same, accepted until `at` and no longer."""
        return replace(self, expires_at=at, ends_at=at)


@dataclass(frozen=True, slots=True)
class EffectivePermissions:
    """What a caller is to a vehicle at a moment. Times are in seconds since 1970.

    No actions means that the vehicle is not theirs, or is no vehicle. `ends_at` is when the first of the grants
    behind it ends by itself, `until` when the last does that allows an action. It says what was true at `read_at`.
    """

    actions: frozenset[str]
    ends_at: float = math.inf
    locked: frozenset[str] = field(default_factory=frozenset)
    """Those of subject and actor whose accounts are locked."""
    role: GrantRole | None = None
    """The highest of the grants behind it."""
    since: float = 0.0
    """When the first of them began, in seconds since 1970; an owner's, when the first of an owner did."""
    until: Mapping[str, float] = field(default_factory=dict)
    read_at: float = field(default=0.0, compare=False)


def effective_permissions(
    grants: Iterable[Grant], locked: Iterable[str], now: datetime
) -> EffectivePermissions:
    """Return what these grants of one principal on one vehicle amount to."""
    live = [grant for grant in grants if grant.is_live(now)]
    role, since = _beginning(live)
    until: dict[str, float] = {}
    first_end = math.inf
    for grant in live:
        end = math.inf if grant.expires_at is None else grant.expires_at.timestamp()
        first_end = min(first_end, end)
        for action in grant.actions:
            until[action] = max(until.get(action, 0.0), end)
    return EffectivePermissions(
        actions=frozenset(until),
        ends_at=first_end,
        locked=frozenset(locked),
        role=role,
        since=since,
        until=until,
        read_at=now.timestamp(),
    )


def _beginning(live: Sequence[Grant]) -> tuple[GrantRole | None, float]:
    """Return the highest role of these, and since when: an owner's former rights on the vehicle do not count."""
    role = next((role for role in GrantRole if role in {grant.asked.role for grant in live}), None)
    counted = [grant for grant in live if role is not GrantRole.OWNER or grant.asked.role is role]
    return role, min((grant.created_at.timestamp() for grant in counted), default=0.0)


@dataclass(frozen=True, slots=True)
class Allowance:
    """What allows an action at a moment: the highest role, and when the last of the grants that do ends by itself."""

    role: GrantRole
    ends_at: datetime | None = None


def allowance(live: Iterable[Grant], action: str) -> Allowance | None:
    """Return what those grants that allow the action amount to; None when none does."""
    allowing = [grant for grant in live if action in grant.actions]
    role = next((role for role in GrantRole if role in {grant.asked.role for grant in allowing}), None)
    if role is None:
        return None
    ends = [grant.expires_at for grant in allowing if grant.expires_at is not None]
    return Allowance(role, max(ends) if len(ends) == len(allowing) else None)

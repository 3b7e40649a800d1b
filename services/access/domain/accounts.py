"""Accounts, their API keys, and who asks. Standard library only."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

from services.access.domain.approvals import PendingRequest

if TYPE_CHECKING:
    from datetime import datetime


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
    "agent-console": Source.CALL_CENTER,
}
"""The sandbox's OAuth clients, by the client id of a token."""
SANDBOX_EMPLOYEE_CLIENTS = frozenset({"operations"})
"""That of the sandbox's employees, who watch over access."""


class ApiKeyUnknownError(Exception):
    """There is no API key with this id."""


class ApiKeyNotPendingError(ApiKeyUnknownError):
    """No API key with this id waits for approval."""


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody's account, as far as there is something to say about it."""

    principal: str
    locked_at: datetime | None = None
    reason: str = ""
    restricted_at: datetime | None = None
    restriction_reason: str = ""
    restore_requested_by: str = ""
    restore_requested_at: datetime | None = None


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

    def is_for(self, vin: str) -> bool:
        """Return whether it is good for this vehicle."""
        return not self.vins or vin in self.vins


@dataclass(frozen=True, slots=True)
class PendingApiKey(PendingRequest[NewApiKey]):
    """An API key that one operator has issued, and another must approve before it opens anything."""

    def not_pending(self) -> ApiKeyNotPendingError:
        """Return that no such key waits."""
        return ApiKeyNotPendingError(self.asked.key_id)


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
    is_employee: bool = False
    """Whether the token says that it is an employee's, who watches over access and has no vehicles."""

    @property
    def is_agent(self) -> bool:
        """Whether somebody else acts for the subject."""
        return self.actor != self.subject

    def ending(self, at: float) -> Caller:
        """Return the same, accepted until `at` and no longer."""
        return replace(self, expires_at=at, ends_at=at)

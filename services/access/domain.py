"""Roles, actions, grants and what follows from them. Standard library only."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
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

VIN_FORM = re.compile(r"[A-HJ-NPR-Z0-9]{17}")


class Role(Enum):
    """What a principal is to a vehicle."""

    OWNER = "OWNER"
    SHARED_USER = "SHARED_USER"
    DIGITAL_KEY = "DIGITAL_KEY"


ROLE_ACTIONS = {
    Role.OWNER: ACTIONS,
    Role.SHARED_USER: ACTIONS - {CONFIG_WRITE, DIAGNOSTICS_READ},
    Role.DIGITAL_KEY: frozenset({UNLOCK, LOCK, CANCEL, STATUS_READ, UPDATES_READ}),
}


class Source(Enum):
    """The door of ours that a request came through, as history names it."""

    MOBILE_APP = "MOBILE_APP"
    CALL_CENTER = "CALL_CENTER"
    WEB = "WEB"
    VOICE_ASSISTANT = "VOICE_ASSISTANT"


SOURCE_OF_CLIENT = {
    "mobile-app": Source.MOBILE_APP,
    "call-center": Source.CALL_CENTER,
    "web": Source.WEB,
    "voice-assistant": Source.VOICE_ASSISTANT,
}
"""By the OAuth client id of a token."""


class GrantConflict(Exception):
    """A grant with this id exists and says something else."""


class SameOperator(Exception):
    """Who asked for a grant cannot approve it."""


class GrantUnknown(Exception):
    """There is no grant with this id."""


class ActionsBeyondRole(Exception):
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
    role: Role
    actions: tuple[str, ...] = ()
    valid_seconds: int | None = None

    def check(self) -> None:
        """Raise ActionsBeyondRole when it names an action that its role does not have."""
        surplus = [(n, a) for n, a in enumerate(self.actions) if a not in ROLE_ACTIONS[self.role]]
        if surplus:
            raise ActionsBeyondRole(surplus)


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
        """Neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > now)


APPROVAL_TIME = timedelta(hours=24)
"""After this long a pending grant that nobody has approved is not one any more."""


@dataclass(frozen=True, slots=True)
class PendingGrant:
    """A right that one operator has asked for, and another must approve before it is one."""

    asked: NewGrant
    requested_by: str
    requested_at: datetime
    approved_by: str | None = None
    ended_at: datetime | None = None

    def is_waiting(self, now: datetime) -> bool:
        """Neither approved, nor revoked, nor lapsed."""
        decided = self.approved_by is not None or self.ended_at is not None
        return not decided and now < self.requested_at + APPROVAL_TIME

    def check_approval(self, by: str, now: datetime) -> None:
        """Raise unless this operator may approve it now: GrantUnknown, SameOperator."""
        if not self.is_waiting(now):
            raise GrantUnknown(self.asked.grant_id)
        if by == self.requested_by:
            raise SameOperator(self.asked.grant_id)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, as proven by a bearer. `expires_at` is in seconds since 1970.

    With `only_vin` the bearer is good for that one vehicle.
    """

    subject: str
    actor: str
    source: Source
    factors: frozenset[str] = frozenset()
    expires_at: float = math.inf
    only_vin: str | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """What a caller is to a vehicle at a moment.

    No actions means that the vehicle is not theirs, or is no vehicle. `ends_at`, in seconds since
    1970, is when the first of the grants behind it ends by itself.
    """

    actions: frozenset[str]
    ends_at: float = math.inf
    locked: frozenset[str] = field(default_factory=frozenset)
    """Those of subject and actor whose accounts are locked."""


def standing_of(grants: Iterable[Grant], locked: Iterable[str], now: datetime) -> Standing:
    """What these grants of one principal on one vehicle amount to."""
    live = [grant for grant in grants if grant.is_live(now)]
    return Standing(
        actions=frozenset().union(*(grant.actions for grant in live)),
        ends_at=min((g.expires_at.timestamp() for g in live if g.expires_at is not None), default=math.inf),
        locked=frozenset(locked),
    )


def highest_role(live: Iterable[Grant], action: str) -> Role | None:
    """The highest role of those grants that allow the action; None when none does."""
    roles = {grant.asked.role for grant in live if action in grant.actions}
    return next((role for role in Role if role in roles), None)

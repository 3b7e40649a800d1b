"""How people give each other rights: offered, accepted, narrowed, suspended, resumed, ended. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING

from services.access.domain.grants import OWN_GRANTS, Grant, GrantRole, GrantState, RightRefusedError

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from services.access.domain.grants import NewGrant
    from services.access.domain.schedule import Schedule

OFFER_TIME = timedelta(days=7)
"""An offer that nobody has accepted after this long has lapsed."""
LISTED_TIME = timedelta(days=30)
"""For so long after its end a grant is listed."""
MOST_LISTED = 200


class GrantHiddenError(RightRefusedError):
    """There is no such grant on this vehicle that the caller may see or change."""


class GrantEndedError(RightRefusedError):
    """The grant is not in a state in which this can be done to it."""


class GrantNotPossibleError(RightRefusedError):
    """This person cannot get this right on this vehicle."""


class TooManyGrantsError(RightRefusedError):
    """The vehicle, or the giver, has as many as there may be."""


class NotOwnerError(RightRefusedError):
    """The caller owns the vehicle no longer."""


class AccountStoppedError(RightRefusedError):
    """The caller's account is locked or restricted, which whoever let them in did not know yet."""


class ByAgentError(RightRefusedError):
    """An agent may not change who has which right."""


class UnsoundChangeError(RightRefusedError):
    """A member of what was asked for is not possible; it says which, and why."""

    def __init__(self, member: str, reason: str) -> None:
        super().__init__(f"{member}: {reason}")
        self.member = member
        self.reason = reason


@dataclass(frozen=True, slots=True)
class GrantLimits:
    """How many grants there may be that have not ended, or were made within a day."""

    per_vehicle: int
    per_giver: int


@dataclass(frozen=True, slots=True)
class Giver:
    """Who changes rights, as their capability says."""

    subject: str
    actor: str

    def check(self) -> None:
        """Raise ByAgentError unless they act for themselves."""
        if self.actor != self.subject:
            raise ByAgentError


@dataclass(frozen=True, slots=True)
class GrantOffer:
    """A right to be given: `new`, and when it ends at the latest. `digest` is that of the request."""

    new: NewGrant
    giver: str
    digest: str
    not_after: datetime | None = None

    def grant(self, at: datetime, owners: Collection[str]) -> Grant:
        """Return it as it is kept from now on. Raises UnsoundChangeError, ActionsBeyondRoleError, TooLongError."""
        new = self.new
        new.check()
        if self.not_after is not None and self.not_after <= at:
            raise UnsoundChangeError("expiresAt", "is past")
        if new.principal in owners and new.role is not GrantRole.DIGITAL_KEY:
            raise UnsoundChangeError("principal", "owns the vehicle, and can get a DIGITAL_KEY at most")
        if new.actions:
            new = replace(new, actions=tuple(sorted({*new.actions, *OWN_GRANTS})))
        until = at + OFFER_TIME if self.not_after is None else min(self.not_after, at + OFFER_TIME)
        offer = Grant(new, at, self.not_after, given_by=self.giver, offered_until=until)
        return accepted(offer, at) if new.principal == self.giver else offer


@dataclass(frozen=True, slots=True)
class GrantReduction:
    """What is left of a grant; what is None, or empty, stays as it is."""

    actions: tuple[str, ...] = ()
    expires_at: datetime | None = None
    schedule: Schedule | None = None


def accepted(grant: Grant, at: datetime) -> Grant:
    """Return the grant in force from now on. Raises GrantEndedError."""
    if grant.accepted_at is not None and grant.is_live(at):
        return grant
    if grant.state(at) is not GrantState.CREATED:
        raise GrantEndedError
    ends = [end for end in (grant.asked.end_from(at), grant.expires_at) if end is not None]
    return replace(grant, accepted_at=at, expires_at=min(ends, default=None))


def narrowed(grant: Grant, narrowing: GrantReduction, at: datetime) -> Grant:
    """Return the grant with less. Raises GrantEndedError, UnsoundChangeError."""
    if not grant.is_live(at):
        raise GrantEndedError
    asked, expires_at = grant.asked, _sooner(grant.expires_at, narrowing.expires_at, at)
    if narrowing.actions:
        asked = replace(asked, actions=_fewer(grant, narrowing.actions))
    if narrowing.schedule is not None:
        if asked.schedule is not None and not asked.schedule.covers(narrowing.schedule):
            raise UnsoundChangeError("schedule", "has hours that it does not have now, or another clock")
        asked = replace(asked, schedule=narrowing.schedule)
    offered_until = grant.offered_until
    if offered_until is not None and grant.accepted_at is None and expires_at is not None:
        offered_until = min(offered_until, expires_at)
    return replace(grant, asked=asked, expires_at=expires_at, offered_until=offered_until)


def _fewer(grant: Grant, actions: tuple[str, ...]) -> tuple[str, ...]:
    """Return these of the grant's actions, and what anybody may do about their own."""
    for n, action in enumerate(actions):
        if action not in grant.actions:
            raise UnsoundChangeError(f"actions[{n}]", "is not an action that it allows")
    return tuple(sorted({*actions, *(OWN_GRANTS & grant.actions)}))


def _sooner(now_at: datetime | None, wanted: datetime | None, at: datetime) -> datetime | None:
    if wanted is None:
        return now_at
    if wanted <= at:
        raise UnsoundChangeError("expiresAt", "is past; end it instead")
    if now_at is not None and wanted > now_at:
        raise UnsoundChangeError("expiresAt", "is later than it ends now")
    return wanted


def suspended(grant: Grant, at: datetime) -> Grant:
    """Return the grant without force. Raises GrantEndedError."""
    state = grant.state(at)
    if state not in {GrantState.ACTIVE, GrantState.SUSPENDED}:
        raise GrantEndedError
    return grant if state is GrantState.SUSPENDED else replace(grant, suspended_at=at)


def resumed(grant: Grant, at: datetime) -> Grant:
    """Return the grant in force again. Raises GrantEndedError."""
    state = grant.state(at)
    if state not in {GrantState.ACTIVE, GrantState.SUSPENDED}:
        raise GrantEndedError
    return grant if state is GrantState.ACTIVE else replace(grant, suspended_at=None, resumed_at=at)


class ChangeKind(Enum):
    """What has changed about somebody's access to a vehicle."""

    OFFERED = "OFFERED"
    BEGUN = "BEGUN"
    NARROWED = "NARROWED"
    SUSPENDED = "SUSPENDED"
    RESUMED = "RESUMED"
    ENDED = "ENDED"
    TRANSFERRED = "TRANSFERRED"
    SEVERED = "SEVERED"
    """Nobody is told, its `owners` least of all."""


@dataclass(frozen=True, slots=True)
class AccessChange:
    """A change that the vehicle's owners are told of, and that the other services hear of."""

    kind: ChangeKind
    vin: str
    principal: str
    role: GrantRole
    by: str
    at: datetime
    owners: tuple[str, ...]
    grant_id: str = ""
    label: str = ""


@dataclass(frozen=True, slots=True)
class GrantView:
    """A grant as it is shown: with whether it is an owner's key, and at which moment."""

    grant: Grant
    is_owners: bool
    at: datetime


@dataclass(frozen=True, slots=True)
class Transfer:
    """A vehicle that has changed hands."""

    vin: str
    new_owner: str
    at: datetime
    ended_grants: int
    withdrawn_offers: int
    holders: frozenset[str] = frozenset()
    """Whose rights changed with it, the new owner's among them."""

"""When an order may be signed. Rules only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

CLOCK_SKEW = timedelta(seconds=5)
"""How far the clocks of two services may be apart."""


class OrderKind(Enum):
    """What an order is: how long after it was asked for it may be signed (None: for as long as the right lasts),
    and how long it may be valid once it is.
    """

    DOORS = (timedelta(seconds=30), timedelta(seconds=30))
    CANCELLATION = (timedelta(seconds=60), timedelta(seconds=60))
    SETTINGS = (None, timedelta(seconds=60))

    def __init__(self, age: timedelta | None, validity: timedelta) -> None:
        self.age = age
        self.validity = validity


class SigningOutcome(Enum):
    """What becomes of an order."""

    SIGNED = "SIGNED"
    NOT_ALLOWED = "NOT_ALLOWED"
    NOT_PROVEN = "NOT_PROVEN"
    TOO_OLD = "TOO_OLD"


@dataclass(frozen=True, slots=True)
class AuthorizationEvidence:
    """What the access service allowed, signed by it, from `since` to `until`; `emergency` where that was asked for."""

    subject: str
    actor: str
    vin: str
    actions: frozenset[str]
    since: datetime
    until: datetime
    emergency: bool = False
    credential: str = ""
    """What it was asked for with."""


@dataclass(frozen=True, slots=True)
class CurrentRight:
    """What allows an order at this moment: the role, as the contract numbers it, and when it ends by itself."""

    role: int
    ends_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class SigningRequest:
    """An order as it came. `subject` and `actor` are what the order itself says of them, where it does.

    With `cancelled_at` it is not the order that is to be signed, but the cloud's own cancellation of it of this
    time: because the right to the order has ended.
    """

    kind: OrderKind
    vin: str
    action: str
    asked_at: datetime
    subject: str | None = None
    actor: str | None = None
    expires_at: datetime | None = None
    emergency: bool = False
    """To move doors past what stands in the way: a person must have asked for just that."""
    cancelled_at: datetime | None = None


def denial_reason(
    signing_request: SigningRequest, proof: AuthorizationEvidence, now: datetime
) -> SigningOutcome | None:
    """Return why `signing_request` is not signed on this proof; None when only the right of now remains to be
    asked for.
    """
    if not _proves(proof, signing_request) or signing_request.asked_at > now + CLOCK_SKEW:
        return SigningOutcome.NOT_PROVEN
    if signing_request.cancelled_at is not None:
        if signing_request.cancelled_at > now + CLOCK_SKEW:
            return SigningOutcome.NOT_PROVEN
        return (
            SigningOutcome.TOO_OLD
            if now >= signing_request.cancelled_at + OrderKind.CANCELLATION.validity
            else None
        )
    if signing_request.kind.age is None:
        return None
    last_moment = signing_request.asked_at + signing_request.kind.age
    if signing_request.expires_at is not None:
        if signing_request.expires_at > last_moment:
            return SigningOutcome.NOT_PROVEN
        last_moment = signing_request.expires_at
    return SigningOutcome.TOO_OLD if now >= last_moment else None


def verdict_of(signing_request: SigningRequest, right: CurrentRight | None, now: datetime) -> SigningOutcome:
    """Return what becomes of an order without reason for denial, by the right that there is to it.

    A cancellation of the cloud's own is signed where there is none: it proves that the right has ended.
    """
    allowed = right is not None and (right.ends_at is None or right.ends_at > now)
    return (
        SigningOutcome.SIGNED
        if allowed is (signing_request.cancelled_at is None)
        else SigningOutcome.NOT_ALLOWED
    )


def beyond_the_right(signing_request: SigningRequest, right: CurrentRight, now: datetime) -> timedelta:
    """By how much the order, as it came, would outlive the right to it. Never too little."""
    if right.ends_at is None:
        return timedelta()
    ends = (
        now + signing_request.kind.validity
        if signing_request.expires_at is None
        else signing_request.expires_at
    )
    return max(timedelta(), ends - right.ends_at)


def _proves(proof: AuthorizationEvidence, signing_request: SigningRequest) -> bool:
    return (
        proof.vin == signing_request.vin
        and _covers(proof.actions, signing_request)
        and (proof.emergency or not signing_request.emergency)
        and signing_request.subject in {None, proof.subject}
        and signing_request.actor in {None, proof.actor}
        and proof.since - CLOCK_SKEW <= signing_request.asked_at <= proof.until + CLOCK_SKEW
    )


def _covers(actions: frozenset[str], signing_request: SigningRequest) -> bool:
    """Return whether a capability is for this order. One of several actions was made for none of them in
    particular; settings may have waited for their vehicle since such were made.
    """
    return (
        signing_request.action in actions
        if signing_request.kind is OrderKind.SETTINGS
        else actions == {signing_request.action}
    )

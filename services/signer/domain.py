"""When an order may be signed. Rules only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

CLOCK_SKEW = timedelta(seconds=5)
"""How far the clocks of two rooms may be apart."""


class Kind(Enum):
    """What an order is: how long after it was asked for it may be signed (None: for as long as the right lasts),
    and how long it may be valid once it is.
    """

    DOORS = (timedelta(seconds=30), timedelta(seconds=30))
    CANCELLATION = (timedelta(seconds=60), timedelta(seconds=60))
    SETTINGS = (None, timedelta(seconds=60))

    def __init__(self, age: timedelta | None, validity: timedelta) -> None:
        self.age = age
        self.validity = validity


class Verdict(Enum):
    """What becomes of an order."""

    SIGNED = "SIGNED"
    NOT_ALLOWED = "NOT_ALLOWED"
    NOT_PROVEN = "NOT_PROVEN"
    TOO_OLD = "TOO_OLD"


@dataclass(frozen=True, slots=True)
class Proof:
    """What the access room allowed, signed by it, from `since` to `until`; `emergency` where that was asked for."""

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
class Right:
    """What allows an order at this moment: the role, as the contract numbers it, and when it ends by itself."""

    role: int
    ends_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Wish:
    """An order as it came. `subject` and `actor` are what the order itself says of them, where it does.

    With `withdrawn_at` it is not the order that is to be signed, but the cloud's own cancellation of it of this
    time: because the right to the order has ended.
    """

    kind: Kind
    vin: str
    action: str
    asked_at: datetime
    subject: str | None = None
    actor: str | None = None
    expires_at: datetime | None = None
    emergency: bool = False
    """To move doors past what stands in the way: a person must have asked for just that."""
    withdrawn_at: datetime | None = None


def objection(wish: Wish, proof: Proof, now: datetime) -> Verdict | None:
    """Why `wish` is not signed on this proof; None when only the right of now remains to be asked for."""
    if not _proves(proof, wish) or wish.asked_at > now + CLOCK_SKEW:
        return Verdict.NOT_PROVEN
    if wish.withdrawn_at is not None:
        if wish.withdrawn_at > now + CLOCK_SKEW:
            return Verdict.NOT_PROVEN
        return Verdict.TOO_OLD if now >= wish.withdrawn_at + Kind.CANCELLATION.validity else None
    if wish.kind.age is None:
        return None
    last_moment = wish.asked_at + wish.kind.age
    if wish.expires_at is not None:
        if wish.expires_at > last_moment:
            return Verdict.NOT_PROVEN
        last_moment = wish.expires_at
    return Verdict.TOO_OLD if now >= last_moment else None


def verdict_of(wish: Wish, right: Right | None, now: datetime) -> Verdict:
    """What becomes of an order without objection, by the right that there is to it.

    A cancellation of the cloud's own is signed where there is none: it proves that the right has ended.
    """
    allowed = right is not None and (right.ends_at is None or right.ends_at > now)
    return Verdict.SIGNED if allowed is (wish.withdrawn_at is None) else Verdict.NOT_ALLOWED


def beyond_the_right(wish: Wish, right: Right, now: datetime) -> timedelta:
    """By how much the order, as it came, would outlive the right to it. Never too little."""
    if right.ends_at is None:
        return timedelta()
    ends = now + wish.kind.validity if wish.expires_at is None else wish.expires_at
    return max(timedelta(), ends - right.ends_at)


def _proves(proof: Proof, wish: Wish) -> bool:
    return (
        proof.vin == wish.vin
        and _covers(proof.actions, wish)
        and (proof.emergency or not wish.emergency)
        and wish.subject in {None, proof.subject}
        and wish.actor in {None, proof.actor}
        and proof.since - CLOCK_SKEW <= wish.asked_at <= proof.until + CLOCK_SKEW
    )


def _covers(actions: frozenset[str], wish: Wish) -> bool:
    """Whether a capability is for this order. One of several actions was made for none of them in particular; settings
    may have waited for their vehicle since such were made.
    """
    return wish.action in actions if wish.kind is Kind.SETTINGS else actions == {wish.action}

"""When an order may be signed. Rules only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

CLOCK_SKEW = timedelta(seconds=5)
"""How far the clocks of two rooms may be apart."""


class Kind(Enum):
    """What an order is, and how long after it was asked for it may be signed; None: for as long as the right lasts."""

    DOORS = timedelta(seconds=30)
    CANCELLATION = timedelta(seconds=60)
    SETTINGS = None


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


@dataclass(frozen=True, slots=True)
class Wish:
    """An order as it came. `subject` and `actor` are what the order itself says of them, where it does."""

    kind: Kind
    vin: str
    action: str
    asked_at: datetime
    subject: str | None = None
    actor: str | None = None
    expires_at: datetime | None = None
    emergency: bool = False
    """To move doors past what stands in the way: a person must have asked for just that."""


def objection(wish: Wish, proof: Proof, now: datetime) -> Verdict | None:
    """Why `wish` is not signed on this proof; None when only the right of now remains to be asked for."""
    if not _proves(proof, wish):
        return Verdict.NOT_PROVEN
    longest = wish.kind.value
    if longest is None:
        return None
    last_moment = wish.asked_at + longest
    if wish.expires_at is not None:
        if wish.expires_at > last_moment:
            return Verdict.NOT_PROVEN
        last_moment = wish.expires_at
    return Verdict.TOO_OLD if now >= last_moment else None


def _proves(proof: Proof, wish: Wish) -> bool:
    return (
        proof.vin == wish.vin
        and wish.action in proof.actions
        and (proof.emergency or not wish.emergency)
        and wish.subject in {None, proof.subject}
        and wish.actor in {None, proof.actor}
        and proof.since - CLOCK_SKEW <= wish.asked_at <= proof.until + CLOCK_SKEW
    )

"""What grants amount to: what a principal may do to a vehicle at a moment. Standard library only."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from services.access.domain.grants import GrantRole

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from services.access.domain.grants import Grant, InForce


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
    restricted: bool = False
    """Whether the account of either is: see abnormal.RESTRICTED_ACTIONS."""
    dormant: frozenset[str] = frozenset()
    """What grants allow that are suspended, not accepted yet, or outside of their hours."""
    unrecorded_since: float | None = None
    """Since when the subject's consent to ACCESS_HISTORY is missing; 0 where it never was given; None where it is in
    force.
    """
    read_at: float = field(default=0.0, compare=False)


def effective_permissions(
    grants: Iterable[Grant],
    locked: Iterable[str],
    now: datetime,
    *,
    restricted: bool = False,
    unrecorded_since: float | None = None,
) -> EffectivePermissions:
    """Return what these grants of one principal on one vehicle amount to."""
    live = [(grant, grant.in_force(now)) for grant in grants if grant.is_live(now)]
    role, since = _beginning([(grant, force) for grant, force in live if not force.is_dormant])
    until: dict[str, float] = {}
    dormant: set[str] = set()
    first_end = math.inf
    for grant, force in live:
        end = math.inf if force.until is None else force.until.timestamp()
        first_end = min(first_end, end)
        for action in force.actions:
            until[action] = max(until.get(action, 0.0), end)
        if force.is_dormant:
            dormant |= grant.actions
    return EffectivePermissions(
        actions=frozenset(until),
        ends_at=first_end,
        locked=frozenset(locked),
        role=role,
        since=since,
        until=until,
        restricted=restricted,
        dormant=frozenset(dormant - until.keys()),
        unrecorded_since=unrecorded_since,
        read_at=now.timestamp(),
    )


def _beginning(live: Sequence[tuple[Grant, InForce]]) -> tuple[GrantRole | None, float]:
    """Return the highest role of these, and since when: an owner's former rights on the vehicle do not count."""
    role = _highest(grant for grant, _ in live)
    counted = [force for grant, force in live if role is not GrantRole.OWNER or grant.asked.role is role]
    return role, min((force.since.timestamp() for force in counted), default=0.0)


def _highest(grants: Iterable[Grant]) -> GrantRole | None:
    roles = {grant.asked.role for grant in grants}
    return next((role for role in GrantRole if role in roles), None)


@dataclass(frozen=True, slots=True)
class Allowance:
    """What allows an action at a moment: the highest role, when the last of the grants that do ends by itself, and when
    the first of them began.
    """

    role: GrantRole
    ends_at: datetime | None = None
    since: datetime | None = field(default=None, compare=False)


def allowance(live: Iterable[Grant], action: str, now: datetime) -> Allowance | None:
    """Return what those grants that allow the action now amount to; None when none does."""
    allowing = [(grant, force) for grant in live if action in (force := grant.in_force(now)).actions]
    role, since = _beginning(allowing)
    if role is None:
        return None
    ends = [force.until for _, force in allowing if force.until is not None]
    return Allowance(
        role,
        max(ends) if len(ends) == len(allowing) else None,
        datetime.fromtimestamp(since, UTC),
    )

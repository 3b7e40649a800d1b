"""A grant as a row, and a row as a grant.

A replica of an older version knows the first nine columns. It takes a role that it does not know for a key with the
listed actions; and what waits to be accepted, or is suspended, has ended as far as it can see: `expires_at` is past,
and the end that counts stands in `ends_at`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from services.access.domain.grants import ROLE_ACTIONS, Grant, GrantRole, NewGrant
from services.access.domain.schedule import Schedule, Weekday, WeeklyWindow

if TYPE_CHECKING:
    from sqlalchemy import Row


def row_of(grant: Grant) -> dict[str, Any]:
    """Return all of its columns."""
    asked, role = grant.asked, grant.asked.role
    rests = grant.revoked_at is None and (
        (grant.offered_until is not None and grant.accepted_at is None) or grant.suspended_at is not None
    )
    return {
        "grant_id": asked.grant_id,
        "principal": asked.principal,
        "vin": asked.vin,
        "role": role.as_told.value,
        "actions": " ".join(sorted(grant.actions) if role is not role.as_told else asked.actions),
        "valid_seconds": asked.valid_seconds,
        "created_at": grant.created_at,
        "expires_at": grant.created_at if rests else grant.expires_at,
        "revoked_at": grant.revoked_at,
        "kind": None if role is role.as_told else role.value,
        "schedule": None if asked.schedule is None else _schedule_text(asked.schedule),
        "label": asked.label or None,
        "given_by": grant.given_by or None,
        "offered_until": grant.offered_until,
        "accepted_at": grant.accepted_at,
        "suspended_at": grant.suspended_at,
        "resumed_at": grant.resumed_at,
        "ends_at": grant.expires_at if rests else None,
        "rests": rests or None,
    }


def grant_of(row: Row[Any]) -> Grant:
    """Return the grant that a row says."""
    role = GrantRole(row.kind or row.role)
    actions = tuple(row.actions.split())
    if row.kind and frozenset(actions) == ROLE_ACTIONS[role]:
        actions = ()
    asked = NewGrant(
        grant_id=row.grant_id,
        principal=row.principal,
        vin=row.vin,
        role=role,
        actions=actions,
        valid_seconds=row.valid_seconds,
        schedule=None if row.schedule is None else _schedule_in(row.schedule),
        label=row.label or "",
    )
    return Grant(
        asked,
        row.created_at,
        row.ends_at if row.rests else row.expires_at,
        row.revoked_at,
        row.given_by or "",
        row.offered_until,
        row.accepted_at,
        row.suspended_at,
        row.resumed_at,
    )


def _schedule_text(schedule: Schedule) -> str:
    windows = [
        [sorted(day.value for day in window.weekdays), window.opens, window.closes]
        for window in schedule.windows
    ]
    return json.dumps([schedule.time_zone, windows], separators=(",", ":"))


def _schedule_in(text: str) -> Schedule:
    time_zone, windows = json.loads(text)
    return Schedule(
        time_zone,
        tuple(WeeklyWindow(frozenset(map(Weekday, days)), opens, closes) for days, opens, closes in windows),
    )

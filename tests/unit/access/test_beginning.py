"""What somebody is to a vehicle, and since when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from services.access.domain.grants import Grant, GrantRole, NewGrant
from services.access.domain.permissions import effective_permissions

NOW = datetime(2026, 1, 12, 14, 30, tzinfo=UTC)


def grant(role: GrantRole, days_ago: int, *, revoked: bool = False) -> Grant:
    asked = NewGrant(f"g-{role}-{days_ago}", "user-123", "KMHSH81C7LU123456", role)
    began = NOW - timedelta(days=days_ago)
    return Grant(asked, began, revoked_at=NOW - timedelta(days=1) if revoked else None)


@pytest.mark.parametrize(
    ("grants", "role", "days_ago"),
    [
        ([grant(GrantRole.DIGITAL_KEY, 3)], GrantRole.DIGITAL_KEY, 3),
        ([grant(GrantRole.DIGITAL_KEY, 3), grant(GrantRole.SHARED_USER, 2)], GrantRole.SHARED_USER, 3),
        ([grant(GrantRole.OWNER, 9, revoked=True), grant(GrantRole.OWNER, 0)], GrantRole.OWNER, 0),
        (
            [grant(GrantRole.SHARED_USER, 9), grant(GrantRole.OWNER, 2), grant(GrantRole.OWNER, 4)],
            GrantRole.OWNER,
            4,
        ),
    ],
    ids=["one", "another beside it", "given again", "an owner's former rights"],
)
def test_it_begins_with_the_oldest_that_lives(grants: list[Grant], role: GrantRole, days_ago: int) -> None:
    permissions = effective_permissions(grants, (), NOW)
    assert permissions.role is role
    assert permissions.since == (NOW - timedelta(days=days_ago)).timestamp()


def test_a_stranger_is_nothing_to_it() -> None:
    permissions = effective_permissions([grant(GrantRole.OWNER, 9, revoked=True)], (), NOW)
    assert (permissions.role, permissions.since) == (None, 0.0)

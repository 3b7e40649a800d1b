"""What somebody is to a vehicle, and since when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from services.access.domain import Grant, NewGrant, Role, standing_of

NOW = datetime(2026, 1, 12, 14, 30, tzinfo=UTC)


def grant(role: Role, days_ago: int, *, revoked: bool = False) -> Grant:
    asked = NewGrant(f"g-{role}-{days_ago}", "user-123", "KMHSH81C7LU123456", role)
    began = NOW - timedelta(days=days_ago)
    return Grant(asked, began, revoked_at=NOW - timedelta(days=1) if revoked else None)


@pytest.mark.parametrize(
    ("grants", "role", "days_ago"),
    [
        ([grant(Role.DIGITAL_KEY, 3)], Role.DIGITAL_KEY, 3),
        ([grant(Role.DIGITAL_KEY, 3), grant(Role.SHARED_USER, 2)], Role.SHARED_USER, 3),
        ([grant(Role.OWNER, 9, revoked=True), grant(Role.OWNER, 0)], Role.OWNER, 0),
        ([grant(Role.SHARED_USER, 9), grant(Role.OWNER, 2), grant(Role.OWNER, 4)], Role.OWNER, 4),
    ],
    ids=["one", "another beside it", "given again", "an owner's former rights"],
)
def test_it_begins_with_the_oldest_that_lives(grants: list[Grant], role: Role, days_ago: int) -> None:
    standing = standing_of(grants, (), NOW)
    assert standing.role is role
    assert standing.since == (NOW - timedelta(days=days_ago)).timestamp()


def test_a_stranger_is_nothing_to_it() -> None:
    standing = standing_of([grant(Role.OWNER, 9, revoked=True)], (), NOW)
    assert (standing.role, standing.since) == (None, 0.0)

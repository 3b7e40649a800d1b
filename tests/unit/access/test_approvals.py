"""Who may approve a pending grant, and until when."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.access.domain.approvals import APPROVAL_TIME, SameOperatorError
from services.access.domain.grants import GrantRole, GrantUnknownError, NewGrant, PendingGrant
from services.access.usecases.approvals import needs_two_operators

NOW = datetime(2031, 1, 1, tzinfo=UTC)
ASKED = PendingGrant(NewGrant("g-1", "user-1", "KMHSH81C7LU123456", GrantRole.OWNER), "alice", NOW)
END = NOW + APPROVAL_TIME


def test_owners_need_two() -> None:
    assert {role for role in GrantRole if needs_two_operators(replace(ASKED.asked, role=role))} == {
        GrantRole.OWNER
    }


def test_another_operator_approves_within_the_time() -> None:
    last = END - timedelta(microseconds=1)
    ASKED.check_approval("bob", NOW)
    ASKED.check_approval("bob", last)
    with pytest.raises(SameOperatorError):
        ASKED.check_approval("alice", last)


@pytest.mark.parametrize(
    ("pending", "now"),
    [(ASKED, END), (replace(ASKED, ended_at=NOW), NOW), (replace(ASKED, approved_by="bob"), NOW)],
)
def test_what_lapsed_was_revoked_or_is_decided_waits_no_longer(pending: PendingGrant, now: datetime) -> None:
    assert not pending.is_waiting(now)
    with pytest.raises(GrantUnknownError):
        pending.check_approval("bob", now)

"""Who may approve a pending grant, and until when."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.access.domain.approvals import (
    APPROVAL_TIME,
    SameOperatorError,
    is_same_operator,
)
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


OPERATOR = "spiffe://ecarus/team/operator"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (f"{OPERATOR}/alice", f"{OPERATOR}/bob", False),
        (f"{OPERATOR}/alice", f"{OPERATOR}/Alice", True),
        ("employee/00u1a2b3", "employee/00u9z8y7", False),
        ("employee/Eve", "employee/eve", True),
        (f"{OPERATOR}/alice", "employee/00u1a2b3", True),  # nobody can tell
        ("employee/corp/eve", "employee/corp/oscar", False),
        ("employee/eve", "employee/corp/oscar", False),
        (f"employee/{OPERATOR}/alice", f"{OPERATOR}/bob", True),
    ],
)
def test_two_operators_come_the_same_way_under_two_names(one: str, other: str, *, same: bool) -> None:
    assert is_same_operator(one, other) is same
    assert is_same_operator(other, one) is same


@pytest.mark.parametrize(
    ("pending", "now"),
    [(ASKED, END), (replace(ASKED, ended_at=NOW), NOW), (replace(ASKED, approved_by="bob"), NOW)],
)
def test_what_lapsed_was_revoked_or_is_decided_waits_no_longer(pending: PendingGrant, now: datetime) -> None:
    assert not pending.is_waiting(now)
    with pytest.raises(GrantUnknownError):
        pending.check_approval("bob", now)

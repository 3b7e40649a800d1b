"""Who is to be told of what happens to a vehicle, where they are more than are named."""

from __future__ import annotations

from datetime import UTC, datetime

from services.access.domain.grants import Grant, GrantRole, NewGrant
from services.access.domain.vehicle_people import MOST_PEOPLE, right_holders

VIN = "KMHSH81C7LU123456"
NOW = datetime(2027, 1, 15, tzinfo=UTC)


def test_who_is_asked_for_is_named_however_many_there_are() -> None:
    grants = [
        Grant(NewGrant(f"g-{number}", f"user-{number:03}", VIN, GrantRole.SHARED_USER), NOW)
        for number in range(MOST_PEOPLE + 50)
    ]
    named = [each.principal for each in right_holders(grants, (), NOW)]
    assert len(named) == MOST_PEOPLE
    assert "user-249" not in named
    assert [each.principal for each in right_holders(grants, (), NOW, "user-249")] == [*named, "user-249"]
    assert [each.principal for each in right_holders(grants, (), NOW, "user-001")] == named
    assert [each.principal for each in right_holders(grants, (), NOW, "nobody")] == named

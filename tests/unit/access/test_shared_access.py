"""What this process remembers of rights after people changed some: nobody's change empties it of everybody's."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from services.access.domain.grants import Grant, GrantRole, NewGrant
from services.access.domain.sharing import Giver, GrantEndedError, GrantView, Transfer
from services.access.usecases.sharing import SharedAccess

NOW = datetime(2026, 11, 27, tzinfo=UTC)
VIN = "KMHSH81C7LU123456"
OWNER = Giver("owner", "owner")
EVERYTHING = ""


class FakeGrants:
    """A record that answers, or fails with what `error` is."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    def __getattr__(self, name: str) -> Any:
        async def answer(*_: Any, **__: Any) -> Any:
            if self.error is not None:
                raise self.error
            if name == "transfer":
                return Transfer(VIN, "buyer", NOW, 1, 0, frozenset({"owner", "friend", "buyer"}))
            asked = NewGrant("g-1", "friend", VIN, GrantRole.DIGITAL_KEY)
            return GrantView(Grant(asked, NOW), is_owners=False, at=NOW)

        return answer


def shared(grants: FakeGrants) -> tuple[SharedAccess, list[str]]:
    invalidated: list[str] = []

    def invalidate(*, principal: str = EVERYTHING, credential: str = "") -> None:  # noqa: ARG001  # the port's
        invalidated.append(principal)

    return SharedAccess(grants, invalidate, lambda: NOW), invalidated  # type: ignore[arg-type]  # it answers to any name


@pytest.mark.parametrize("change", ["accept", "suspend", "resume", "end"])
async def test_a_change_concerns_its_holder_alone(change: str) -> None:
    access, invalidated = shared(FakeGrants())
    await getattr(access, change)(VIN, "g-1", OWNER)
    assert invalidated == ["friend"]


async def test_a_hand_over_concerns_all_who_had_rights_and_who_has_them_now() -> None:
    access, invalidated = shared(FakeGrants())
    await access.transfer(VIN, "buyer", "g-2", OWNER)
    assert sorted(invalidated) == ["buyer", "friend", "owner"]


async def test_what_is_refused_empties_no_memory() -> None:
    access, invalidated = shared(FakeGrants(GrantEndedError()))
    with pytest.raises(GrantEndedError):
        await access.resume(VIN, "g-1", OWNER)
    assert invalidated == []


async def test_where_the_answer_got_lost_nothing_is_remembered() -> None:
    access, invalidated = shared(FakeGrants(TimeoutError()))
    with pytest.raises(TimeoutError):
        await access.end(VIN, "g-1", OWNER)
    assert invalidated == [EVERYTHING]

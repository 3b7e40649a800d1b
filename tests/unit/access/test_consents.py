"""What saying something about a purpose makes this process forget."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from services.access.domain.consents import ASKED, ConsentPurpose, GivenText, PersonConsent
from services.access.usecases.consents import Consents
from services.platform.storage import StorageUnavailableError

PURPOSE = ConsentPurpose.ACCESS_HISTORY
TEXT = ASKED[PURPOSE]
SHOWN = GivenText(TEXT.version, "en", TEXT.digest("en"))


@dataclass
class Record:
    """A record that says whether it changed, or is away."""

    changed: bool = True
    away: bool = False
    forgotten: list[str] = field(default_factory=list)

    async def give(self, *_: Any, **__: Any) -> tuple[PersonConsent, bool]:
        if self.away:
            raise StorageUnavailableError("away")
        return PersonConsent(PURPOSE), self.changed

    withdraw = give

    def invalidate(self, *, principal: str = "", credential: str = "") -> None:
        self.forgotten.append(principal + credential)


async def say_both(record: Record) -> list[str]:
    consents = Consents(record, record.invalidate, lambda: datetime.now(UTC), ASKED)  # type: ignore[arg-type]  # as far as it is asked here
    await consents.give("user-123", PURPOSE, SHOWN, "WEB")
    await consents.withdraw("user-123", PURPOSE, "WEB")
    return record.forgotten


async def test_only_what_changes_something_is_a_reason_to_forget() -> None:
    assert await say_both(Record(changed=True)) == ["user-123", "user-123"]
    assert await say_both(Record(changed=False)) == []


async def test_where_the_answer_got_lost_it_may_have_changed() -> None:
    record = Record(away=True)
    with pytest.raises(StorageUnavailableError):
        await say_both(record)
    assert record.forgotten == ["user-123"]

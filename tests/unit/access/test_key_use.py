"""When keys were used last: noted beside requests, written behind them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from services.access.adapters.key_use import KeyUseLog
from services.platform.storage import StorageUnavailableError
from tests.unit.access.conftest import KEY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.unit.access.conftest import AccessHarness

NOW = datetime(2026, 1, 12, 14, 30, tzinfo=UTC)


class Shelf:
    """Where uses are kept, when it is there."""

    def __init__(self) -> None:
        self.written: list[Mapping[str, datetime]] = []
        self.away = False

    async def keep(self, uses: Mapping[str, datetime]) -> None:
        if self.away:
            raise StorageUnavailableError("away")
        self.written.append(uses)


async def test_uses_are_written_together_and_once() -> None:
    shelf, at = Shelf(), NOW
    log = KeyUseLog(shelf.keep, lambda: at)
    log.note("key_a")
    at = NOW + timedelta(seconds=5)
    for key_id in ("key_a", "key_b"):
        log.note(key_id)
    await log.write()
    await log.write()
    assert shelf.written == [{"key_a": at, "key_b": at}]


async def test_what_can_not_be_written_is_written_later_and_no_more_than_fits() -> None:
    shelf = Shelf()
    log = KeyUseLog(shelf.keep, lambda: NOW, most=2)
    shelf.away = True
    for key_id in ("key_a", "key_b", "key_c"):
        log.note(key_id)
    with pytest.raises(StorageUnavailableError):
        await log.write()
    shelf.away = False
    await log.write()
    assert shelf.written == [{"key_a": NOW, "key_b": NOW}]


async def test_a_key_is_noted_when_it_is_proven_and_not_with_every_request(house: AccessHarness) -> None:
    noted: list[str] = []
    house.identity._note_use = noted.append
    for _ in range(3):
        await house.identity.caller_of(f"Bearer {KEY}")
    assert len(noted) == 1
    house.clock.at += 5
    await house.identity.caller_of(f"Bearer {KEY}")
    await house.identity.caller_of(f"Bearer {house.issuer.token()}")
    assert len(noted) == 2

"""The command service's store on both databases."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest_asyncio

from tests.support.command_store_harness import (
    CommandStoreHarness,
    open_room,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest_asyncio.fixture
async def service(database_url: str) -> AsyncIterator[CommandStoreHarness]:
    async with open_room(database_url) as opened:
        yield opened

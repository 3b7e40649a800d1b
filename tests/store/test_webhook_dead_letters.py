"""What is replayed from dead letters has no place in the stream: each still has an id of its own, on both databases."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from services.platform.consumer import Delivery
from tests.support.webhook_harness import WebhookHarness, webhook_harness

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def house(database_url: str) -> AsyncIterator[WebhookHarness]:
    async with webhook_harness(database_url) as harness:
        yield harness


async def test_two_dead_letters_are_two_events_and_one_is_one(house: WebhookHarness) -> None:
    await house.registered()
    letters = [
        Delivery(told.subject, told.data)
        for told in (house.command(f"cmd-{number}", "SUCCESS") for number in range(2))
    ]
    await house.tell(*letters)
    await house.settle()
    await house.tell(letters[0])  # replayed once more
    await house.settle()
    ids = [call.message_id for call in house.caller.calls]
    assert len(ids) == len(set(ids)) == 2

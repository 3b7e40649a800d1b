"""A receiver that takes heartbeats and refuses all else is one that fails, on both databases."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from services.notification.domain.webhooks import CallOutcome, CallResult
from tests.support.webhook_harness import ME, URL, FakeCaller, WebhookHarness, webhook_harness

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from services.notification.usecases.webhook_ports import WebhookCall

DOWN = CallResult(CallOutcome.FAILED, 503, "STATUS_503")
EVERY = timedelta(minutes=5)


class HeartbeatsOnly(FakeCaller):
    """Takes only heartbeats, while `refuses_events` is set."""

    refuses_events = False

    async def call(self, call: WebhookCall, seconds: float | None = None) -> CallResult:
        taken = await super().call(call, seconds)
        is_event = not json.loads(call.body)["type"].startswith("webhook.")
        return DOWN if is_event and self.refuses_events else taken


@pytest.fixture
async def house(database_url: str) -> AsyncIterator[WebhookHarness]:
    async with webhook_harness(database_url, heartbeat=EVERY, caller=HeartbeatsOnly()) as harness:
        yield harness


def posted(house: WebhookHarness) -> tuple[int, int]:
    """Heartbeats and events."""
    types = [json.loads(call.body)["type"] for call in house.caller.calls]
    beats = types.count("webhook.heartbeat")
    return beats, len(types) - beats


async def failures(house: WebhookHarness) -> Any:
    webhook, _ = await house.api.found(ME, "mine")
    return webhook.failures


async def test_heartbeats_end_no_failing_of_deliveries(house: WebhookHarness) -> None:
    await house.registered()
    house.caller.refuses_events = True
    await house.tell(*(house.command(f"cmd-{number}", "SUCCESS") for number in range(20)))
    await house.settle()
    counted = [await failures(house)]
    for _ in range(6):
        house.caller.calls.clear()
        await house.later(minutes=5, seconds=1)
        beats, events = posted(house)
        assert beats <= 1
        assert events <= 2  # never all that waits
        counted.append(await failures(house))
    assert counted == sorted(counted)
    assert counted[-1] > 4
    for _ in range(30):
        await house.later(hours=1)
    assert house.announced == [("mine", "FAILING")]


async def test_once_it_takes_events_again_all_that_waits_follows(house: WebhookHarness) -> None:
    await house.registered()
    house.caller.refuses_events = True
    await house.tell(*(house.command(f"cmd-{number}", "SUCCESS") for number in range(8)))
    await house.settle()
    await house.later(hours=2)
    house.caller.refuses_events = False
    for _ in range(3):
        await house.later(minutes=30)
    assert set(await house.statuses()) == {"DELIVERED"}
    assert await failures(house) == 0


async def test_without_deliveries_that_wait_a_heartbeat_ends_the_failing(house: WebhookHarness) -> None:
    await house.registered()
    house.caller.says[URL] = DOWN
    await house.later(minutes=5, seconds=1)
    assert await failures(house) > 0
    house.caller.says.clear()
    await house.later(minutes=30)
    assert await failures(house) == 0

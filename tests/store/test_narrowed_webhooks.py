"""What waits for a webhook that is narrowed meanwhile, on both databases."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from services.notification.domain.webhooks import CallOutcome, CallResult, WebhookWish
from tests.support.notification_harness import VIN
from tests.support.webhook_harness import ME, URL, WebhookHarness, webhook_harness

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

OTHER = "KMHSH81C7LU654321"
DOWN = CallResult(CallOutcome.FAILED, 503, "STATUS_503")


@pytest.fixture
async def house(database_url: str) -> AsyncIterator[WebhookHarness]:
    async with webhook_harness(database_url) as harness:
        harness.rights.let(vin=OTHER)
        yield harness


async def told(house: WebhookHarness) -> None:
    """One of each type, of each vehicle."""
    for vin in (VIN, OTHER):
        await house.tell(house.door(vin), house.command(f"cmd-{vin}", "SUCCESS", vin))


def happened(house: WebhookHarness) -> set[tuple[str, str]]:
    bodies = (json.loads(call.body) for call in house.caller.calls)
    return {(body["type"], body["data"]["vin"]) for body in bodies if "vin" in body["data"]}


NARROWED: dict[str, tuple[dict[str, Any], set[tuple[str, str]]]] = {
    "types": (
        {"event_types": ("command.finished",)},
        {("command.finished", VIN), ("command.finished", OTHER)},
    ),
    "vehicles": ({"vins": (VIN,)}, {("command.finished", VIN), ("door.status.updated", VIN)}),
    "both": ({"event_types": ("command.finished",), "vins": (VIN,)}, {("command.finished", VIN)}),
}


@pytest.mark.parametrize("name", NARROWED)
async def test_what_it_is_no_more_for_is_not_sent(house: WebhookHarness, name: str) -> None:
    wish, expected = NARROWED[name]
    await house.registered()
    house.caller.says[URL] = DOWN
    await told(house)
    await house.settle()
    house.caller.says.clear()
    house.caller.calls.clear()
    await house.api.register(ME, "mine", WebhookWish(URL, **wish), "c-2")
    assert (await house.api.found(ME, "mine"))[1].waiting == len(expected)
    for _ in range(3):
        await house.later(minutes=20)
    assert happened(house) == expected
    assert await house.statuses() == ["DELIVERED"] * len(expected)
    await house.api.test(ME, "mine", "t-1")  # what is about no vehicle is always sent
    await house.settle()
    assert json.loads(house.caller.calls[-1].body)["type"] == "webhook.test"


@pytest.mark.parametrize("name", NARROWED)
async def test_nor_is_it_replayed(house: WebhookHarness, name: str) -> None:
    wish, expected = NARROWED[name]
    began = house.clock.now()
    await house.registered()
    await told(house)
    await house.settle()
    await house.api.register(ME, "mine", WebhookWish(URL, **wish), "c-2")
    house.caller.calls.clear()
    assert (await house.api.replay(ME, "mine", "r-1", after="", since=began)).replayed == len(expected)
    await house.settle()
    assert happened(house) == expected
    assert await house.statuses() == ["DELIVERED"] * 4  # what was sent before is still listed

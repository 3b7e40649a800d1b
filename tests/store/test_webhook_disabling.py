"""A webhook that is disabled is told of to its registrant's others: once, whatever ends between, on both databases."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from services.notification.domain.webhooks import CallOutcome, CallResult, DisableRule, WebhookWish
from services.notification.usecases.host_places import HostPlaces
from tests.support.webhook_harness import ME, URL, WebhookHarness, webhook_harness

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

OTHER_URL = "https://other.example/hook"
DOWN = CallResult(CallOutcome.FAILED, 503, "STATUS_503")
GONE = CallResult(CallOutcome.GONE, 410, "STATUS_410")
RULE = DisableRule(5, timedelta(hours=24))


class ProcessEndedError(Exception):
    """The process ends here."""


@pytest.fixture
async def house(database_url: str) -> AsyncIterator[WebhookHarness]:
    async with webhook_harness(database_url) as harness:
        yield harness


def heard(house: WebhookHarness) -> list[tuple[str, str]]:
    """Which URLs were told that a webhook is disabled, and why."""
    told = [(call.url, json.loads(call.body)) for call in house.caller.calls]
    return [(url, body["data"]["reason"]) for url, body in told if body["type"] == "webhook.disabled"]


async def disabled(house: WebhookHarness, how: str) -> None:
    """Have `mine` be disabled in this way, and the process end at that moment."""

    async def ends() -> None:
        raise ProcessEndedError

    if how == "CHALLENGE_FAILED":
        house.caller.says[URL + "/2"] = DOWN
        await house.api.register(
            ME, "mine", WebhookWish(URL + "/2", event_types=("door.status.updated",)), "c-2"
        )
        await house.later(seconds=1)
        await house.later(seconds=6)
    house.sending._changed = ends
    house.caller.says[URL] = GONE if how == "GONE" else DOWN
    match how:
        case "CHALLENGE_FAILED":
            await house.later(seconds=31)
        case "BACKLOG":
            house.sending._most_waiting = 3
            await house.tell(*(house.door() for _ in range(4)))
            house.clock.advance(61)
            with pytest.raises(ProcessEndedError):
                await house.sending.look()
        case "FAILING":
            await house.tell(house.door())
            await house.settle()
            for _ in range(25):
                await house.later(hours=1)
        case _:
            await house.tell(house.door())
            await house.settle()


@pytest.mark.parametrize("how", ["GONE", "FAILING", "BACKLOG", "CHALLENGE_FAILED"])
async def test_an_end_just_after_it_loses_nothing_of_it(house: WebhookHarness, how: str) -> None:
    await house.registered("other", url=OTHER_URL, event_types=("access.changed",))
    await house.registered(event_types=("door.status.updated",))
    await disabled(house, how)
    assert (await house.api.found(ME, "mine"))[0].disabled_reason == how
    house.restart()
    await house.settle()
    assert heard(house) == [(OTHER_URL, how)]


async def test_of_one_disabling_there_is_one_message(house: WebhookHarness) -> None:
    await house.registered()
    await house.registered("other", url=OTHER_URL)
    house.caller.says[URL] = GONE
    await house.tell(house.door())
    await house.settle()
    webhook, _ = await house.api.found(ME, "mine")
    first, again = house.messages.disabled(webhook), house.messages.disabled(webhook)
    assert (first.key, first.shown_id, first.body) == (again.key, again.shown_id, again.body)
    assert first.shown_id in {call.message_id for call in house.caller.calls}
    await house.api.enable(ME, "mine")
    house.caller.says.clear()
    await house.later(seconds=1)
    house.caller.says[URL] = GONE
    await house.tell(house.door())
    await house.later(seconds=1)
    webhook, _ = await house.api.found(ME, "mine")
    assert house.messages.disabled(webhook).key != first.key  # another disabling
    assert len(heard(house)) == 2


async def test_replicas_that_disable_at_once_wait_for_each_other_and_tell_of_each_once(
    database_url: str,
) -> None:
    async with webhook_harness(database_url, places=HostPlaces(64, 32)) as house:
        await house.registered("third", url=OTHER_URL, event_types=("access.changed",))
        for _ in range(5):
            for name in ("mine", "other"):
                await house.registered(name, url=f"{URL}/{name}")
            await house.tell(
                *(house.door() for _ in range(2)), *(house.command(f"c{n}", "SUCCESS") for n in range(2))
            )
            at = house.clock.now()
            due = await house.outbox.due(at, 16, full=[], take=lambda _: True)
            assert {each.webhook.name for each in due} == {"mine", "other"}

            async def fails(one: Any, at: Any = at) -> Any:
                again = timedelta(hours=1)
                return await house.outbox.failed(one, GONE, pause=again, rest=again, rule=RULE, at=at)

            reasons = await asyncio.gather(*(fails(one) for one in due * 4))
            assert sorted(reason for reason in reasons if reason) == ["GONE", "GONE"]
            house.caller.calls.clear()
            await house.settle()
            assert heard(house) == [(OTHER_URL, "GONE")] * 2
            for name in ("mine", "other"):
                await house.api.delete(ME, name)

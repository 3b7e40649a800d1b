"""Everybody's webhooks as operators list, stop and enable them, on both databases."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from services.notification.domain.webhooks import (
    DisabledReason,
    Registrant,
    WebhookStoppedError,
    WebhookUnknownError,
    WebhookWish,
)
from services.notification.usecases.webhook_ports import WebhookPlace
from tests.support.notification_harness import OWNER, SHARER
from tests.support.webhook_harness import ME, URL, WebhookHarness, webhook_harness

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

KEY = Registrant(OWNER, "key_0123")
MINE = WebhookPlace(OWNER, "", "mine")
WHY = "posts to a stranger"


@pytest.fixture
async def house(database_url: str) -> AsyncIterator[WebhookHarness]:
    async with webhook_harness(database_url) as harness:
        yield harness


def heard(house: WebhookHarness) -> list[tuple[str, Any]]:
    """Which URLs were told that a webhook is disabled, and of which webhook."""
    bodies = ((call.url, json.loads(call.body)) for call in house.caller.calls)
    return [(url, body["data"]) for url, body in bodies if body["type"] == "webhook.disabled"]


async def listed(house: WebhookHarness, principal: str = "", most: int = 2) -> list[list[WebhookPlace]]:
    """All pages."""
    pages, after = [], None
    while True:
        found, after = await house.operation.page(principal, most, after)
        pages.append([WebhookPlace(*_of(each)) for each, _ in found])
        if after is None:
            return pages


def _of(webhook: Any) -> tuple[str, str, str]:
    return webhook.registrant.principal, webhook.registrant.key_id, webhook.name


async def test_everybodys_come_page_by_page_each_once(house: WebhookHarness) -> None:
    assert await listed(house) == [[]]
    for registrant in (Registrant(SHARER), KEY, ME):
        for name in ("b", "a"):
            await house.api.register(registrant, name, WebhookWish(URL), f"c-{name}")
    pages = await listed(house)
    assert [len(page) for page in pages] == [2, 2, 2]
    every = [place for page in pages for place in page]
    assert every == sorted(every)
    assert set(every) == {
        WebhookPlace(each.principal, each.key_id, name)
        for each in (Registrant(SHARER), KEY, ME)
        for name in ("a", "b")
    }
    mine = await listed(house, OWNER, most=3)
    assert [place.principal for page in mine for place in page] == [OWNER] * 4
    # One that is gone meanwhile is no obstacle to what comes after it.
    found, after = await house.operation.page("", 1, None)
    await house.api.delete(found[0][0].registrant, found[0][0].name)
    (following, _), _ = await house.operation.page("", 2, after)
    assert WebhookPlace(*_of(following[0])) == every[1]


async def test_one_that_is_stopped_is_sent_nothing_and_its_registrants_others_hear_of_it_once(
    house: WebhookHarness,
) -> None:
    other = "https://partner.example/other"
    await house.registered("mine")
    await house.registered("other", other)
    await house.registered("keys", "https://partner.example/key", KEY)
    stopped, _ = await house.operation.stop(MINE, WHY)
    house.clock.advance(5)
    again, _ = await house.operation.stop(MINE, "once more")
    assert (stopped.disabled_reason, again.disabled_at) == (DisabledReason.OPERATOR, stopped.disabled_at)
    await house.tell(house.door())
    await house.settle()
    assert heard(house) == [(other, {"webhookId": "mine", "url": URL, "reason": "OPERATOR"})]
    assert URL not in {call.url for call in house.caller.calls}
    assert await house.statuses("mine") == ["HELD"]
    with pytest.raises(WebhookStoppedError):
        await house.api.enable(ME, "mine")
    for place in (MINE._replace(name="none"), MINE._replace(key_id="key_0123"), MINE._replace(principal="x")):
        with pytest.raises(WebhookUnknownError):
            await house.operation.stop(place, WHY)
        with pytest.raises(WebhookUnknownError):
            await house.operation.enable(place)


async def test_only_an_operator_enables_it_again_and_its_url_is_challenged(house: WebhookHarness) -> None:
    await house.registered()
    await house.operation.enable(MINE)  # nobody stopped it
    assert (await house.api.found(ME, "mine"))[0].state.value == "ACTIVE"
    await house.operation.stop(MINE, WHY)
    await house.api.register(ME, "mine", WebhookWish(URL + "/2"), "c-2")
    await house.settle()
    assert (await house.api.found(ME, "mine"))[0].disabled_reason is DisabledReason.OPERATOR
    assert house.caller.calls == []
    enabled, _ = await house.operation.enable(MINE)
    assert (enabled.state.value, enabled.disabled_reason) == ("PENDING", None)
    await house.settle()
    assert json.loads(house.caller.calls[0].body)["type"] == "webhook.challenge"
    assert (await house.api.found(ME, "mine"))[0].state.value == "ACTIVE"


async def test_whatever_happens_to_it_at_the_same_time_it_stays_stopped(house: WebhookHarness) -> None:
    for number in range(10):
        name = f"mine-{number}"
        place = MINE._replace(name=name)
        house.caller.says.clear()
        await house.api.register(ME, name, WebhookWish(URL), f"c-{name}")
        await asyncio.gather(
            house.operation.stop(place, WHY),
            house.settle(),  # the challenge that is under way
            house.api.enable(ME, name),
            house.api.register(ME, name, WebhookWish(URL + "/2"), f"d-{name}"),
            return_exceptions=True,
        )
        await house.settle()
        webhook, _ = await house.api.found(ME, name)
        assert (webhook.state.value, webhook.disabled_reason) == ("DISABLED", DisabledReason.OPERATOR)
        await house.api.delete(ME, name)


async def test_both_acts_are_audited_with_the_reason_and_once(house: WebhookHarness) -> None:
    acts: list[Any] = []
    await house.registered()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "services.notification.adapters.store.webhook_rows.note_act", lambda _, act: acts.append(act)
        )
        for _ in range(2):
            await house.operation.stop(MINE, WHY)
        for _ in range(2):
            await house.operation.enable(MINE)
    assert [act.kind for act in acts] == ["WEBHOOK_STOPPED", "WEBHOOK_ENABLED"]
    assert {act.subject for act in acts} == {OWNER}
    assert [act.detail.get("reason") for act in acts] == [WHY, None]
    assert all(URL not in str(act.detail) for act in acts)

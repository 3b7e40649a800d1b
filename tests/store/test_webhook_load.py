"""Webhooks where much is kept or much waits: what one look costs, and who has the places."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import insert, select

from services.notification.adapters.kept import kept_tables
from services.notification.adapters.store import SqlNotices
from services.notification.adapters.store.tables import holds, webhook_deliveries, webhook_events
from services.notification.domain.webhooks import CallOutcome, CallResult, Registrant, WebhookState
from services.notification.usecases.host_places import HostPlaces
from services.platform.retention import Retention
from tests.support.notification_harness import OWNER, SHARER, VIN
from tests.support.webhook_harness import KEPT, ME, URL, WebhookHarness, webhook_harness

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from sqlalchemy import Connection

OTHER = "KMHSH81C7LU654321"
DOWN = CallResult(CallOutcome.FAILED, 503, "STATUS_503")
_KEPT, _WAITING, _VEHICLES = 5_000, 300, 50
_STEPS = 100
"""The database's own steps are counted in so many: no other measure is the same on every machine."""


@pytest.fixture
async def house(database_url: str) -> AsyncIterator[WebhookHarness]:
    async with webhook_harness(database_url) as harness:
        yield harness


async def fill(house: WebhookHarness) -> None:
    """Keep much that was sent to a webhook, and a little that waits."""
    webhook, at = await house.registered(), house.clock.now()
    events, deliveries = [], []
    for number in range(_KEPT + _WAITING):
        was_sent, vin = number < _KEPT, f"KMHSH81C7LU{number % _VEHICLES:06d}"
        events.append(
            {
                "event_id": f"event-{number}",
                "shown_id": f"shown-{number}",
                "type": "command.finished",
                "vin": vin,
                "occurred_at": at,
                "position": number,
                "owners_only": False,
                "body": "{}",
                "received_at": at,
            }
        )
        deliveries.append(
            {
                "webhook": webhook.id,
                "event_id": f"event-{number}",
                "person": OWNER,
                "vin": vin,
                "position": number,
                "status": "DELIVERED" if was_sent else "PENDING",
                "attempts": int(was_sent),
                "due_at": at,
                "taken_until": None,
                "expires_at": at + KEPT,
                "received_at": at,
                "failure": "",
            }
        )

    def work(connection: Connection) -> None:
        connection.execute(insert(webhook_events), events)
        connection.execute(insert(webhook_deliveries), deliveries)

    await house.database.write(work)


async def steps_of(house: WebhookHarness, work: Callable[[], Awaitable[Any]]) -> int:
    """Return how many steps SQLite made for it."""
    counted = [0]

    def count() -> int:
        counted[0] += _STEPS
        return 0

    def watch(handler: Callable[[], int] | None) -> Callable[[Connection], None]:
        def work(connection: Connection) -> None:
            driver: Any = connection.connection.driver_connection
            driver.set_progress_handler(handler, _STEPS)

        return work

    for way in (house.database.read, house.database.write):
        await way(watch(count))
    try:
        await work()
    finally:
        for way in (house.database.read, house.database.write):
            await way(watch(None))
    return counted[0]


async def test_a_look_costs_as_much_however_much_is_kept(tmp_path: Any) -> None:
    async with webhook_harness(f"sqlite:///{tmp_path / 'kept.db'}") as house:
        await fill(house)
        now, notices = house.clock.now(), SqlNotices(house.database)

        async def due() -> None:
            assert len(await house.outbox.due(now, 8, full=[], take=lambda _: True)) == 8

        async def give_up() -> None:
            await house.outbox.give_up(now)

        async def transfer() -> None:
            await notices.access_ended("KMHSH81C7LU999999", SHARER, now, everybody_else=True)

        # Each waiting row may be looked at, and none of what was sent.
        assert 0 < await steps_of(house, due) < _WAITING * 300
        assert await steps_of(house, due) < _WAITING * 300
        assert await steps_of(house, give_up) < _KEPT / 5
        assert await steps_of(house, transfer) < _KEPT / 5


async def test_receivers_that_are_slow_leave_free_places_to_others(database_url: str) -> None:
    async with webhook_harness(database_url, places=HostPlaces(8, 2)) as house:
        for number in range(6):
            slow = Registrant(OWNER, f"key_{number}")
            house.rights.let(slow)
            url = f"https://slow{number}.example/hook"
            await house.registered("slow", url, slow, vins=(VIN,))
            house.caller.hangs.add(url)
        house.rights.let(ME, OTHER)
        await house.registered(vins=(OTHER,))
        house.clock.advance(60)
        await house.tell(*(house.command("cmd-1", status) for status in ("PENDING", "SUCCESS")))
        await house.sending.step()
        await house.tell(house.command("cmd-2", "PENDING", OTHER))
        await house.sending.step()
        await _sent(house, 1)
        house.clock.advance(1)
        assert house.places.left <= 2
        await house.tell(house.command("cmd-2", "SUCCESS", OTHER))
        await _sent(house, 2)
        await house.sending.finish()


async def _sent(house: WebhookHarness, number: int) -> None:
    """Have so many been sent to URL: looked for again and again, as the rounds do."""
    for _ in range(1_000):
        await house.sending.step()
        await asyncio.sleep(0.01)
        if (await house.statuses()).count("DELIVERED") == number:
            return
    raise AssertionError(await house.statuses())


@pytest.mark.parametrize("own", ["challenge", "heartbeat"])
async def test_own_messages_of_one_host_leave_places_to_others(database_url: str, own: str) -> None:
    async with webhook_harness(
        database_url, places=HostPlaces(16, 4), heartbeat=timedelta(minutes=5)
    ) as house:
        hosts = [f"https://crowd.example/{number}" for number in range(20)] + [URL]
        if own == "challenge":
            house.caller.says = dict.fromkeys(hosts, DOWN)
        for number, url in enumerate(hosts):
            by = Registrant(OWNER, f"key_{number}")
            house.rights.let(by)
            await house.registered("own", url, by, vins=(VIN,))
            house.clock.advance(1)
        house.caller.says.clear()
        house.clock.advance(timedelta(minutes=10).total_seconds())
        house.caller.hangs.update(hosts)
        house.caller.calls.clear()
        await house.sending.look()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        called = [call.url for call in house.caller.calls]
        assert (len(called), called.count(URL)) == (5, 1)
        await house.sending.finish()


async def test_one_for_which_too_much_waited_is_revived_and_has_all_of_it_by_a_replay(
    house: WebhookHarness,
) -> None:
    await house.registered()
    house.caller.says[URL] = DOWN
    house.sending._most_waiting = 3
    began = house.clock.now()
    await house.tell(*(house.command(f"cmd-{number}", "SUCCESS") for number in range(5)))
    await house.later(minutes=2)
    assert house.announced == [("mine", "BACKLOG")]
    assert await house.statuses() == ["HELD"] * 5
    house.caller.says.clear()
    house.caller.calls.clear()
    await house.api.enable(ME, "mine")
    await house.later(minutes=2)
    webhook, _ = await house.api.found(ME, "mine")
    assert (webhook.state, house.announced) == (WebhookState.ACTIVE, [("mine", "BACKLOG")])
    replayed = await house.api.replay(ME, "mine", "replay-1", after="", since=began)
    await house.settle()
    assert (replayed.replayed, await house.statuses()) == (5, ["DELIVERED"] * 5)


async def test_events_that_are_sent_nobody_go_with_the_next_retention_run(house: WebhookHarness) -> None:
    await house.registered()
    await house.tell(house.door())
    await house.settle()
    lines = kept_tables(timedelta(days=30), timedelta(days=270), timedelta(days=7))
    retention = Retention(house.database, lines, holds, house.clock.now)

    async def kept() -> int:
        return await house.database.read(lambda c: len(c.execute(select(webhook_events)).all()))

    house.clock.advance(1)
    await retention.run_once()
    assert await kept() == 1
    await SqlNotices(house.database).access_ended(VIN, SHARER, house.clock.now(), everybody_else=True)
    await retention.run_once()
    assert await kept() == 0

"""What webhooks are sent, when, and what becomes of it, on both databases."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from ecarus.remotecontrol.access.v1 import grant_pb2
from sqlalchemy import select

from protocol.subjects import ACCESS_CHANGED_SUBJECT
from services.notification.adapters.kept import kept_tables
from services.notification.adapters.store.tables import holds, webhook_deliveries, webhook_events
from services.notification.adapters.store.webhook_vehicles import webhooks_erased
from services.notification.domain.webhooks import (
    CallOutcome,
    CallResult,
    DeliveryStatus,
    OtherWebhookBodyError,
    Registrant,
    TooManyWebhooksError,
    UrlRefusedError,
    VehicleNotReadableError,
    WebhookEvent,
    WebhookEventUnknownError,
    WebhookNotActiveError,
    WebhookStoppedError,
    WebhookUnknownError,
    WebhookWish,
)
from services.notification.usecases.webhook_ports import WebhookPlace
from services.platform.consumer import Delivery
from services.platform.retention import Retention
from services.platform.subject_data import SubjectData
from services.platform.times import set_time
from tests.support.notification_harness import OWNER, SHARER, VIN
from tests.support.webhook_harness import CREATED, IDS, ME, URL, WebhookHarness, webhook_harness

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

OTHER = "KMHSH81C7LU654321"
KEY = Registrant(OWNER, "key_0123")
DOWN = CallResult(CallOutcome.FAILED, 503, "STATUS_503")


@pytest.fixture
async def house(database_url: str) -> AsyncIterator[WebhookHarness]:
    async with webhook_harness(database_url) as harness:
        yield harness


def sent(house: WebhookHarness) -> list[Any]:
    """What was posted, without heartbeats."""
    bodies = (json.loads(call.body) for call in house.caller.calls)
    return [body for body in bodies if body["type"] != "webhook.heartbeat"]


async def test_what_happens_to_its_vehicles_is_sent_once_under_the_id_of_event_streams(
    house: WebhookHarness,
) -> None:
    webhook = await house.registered()
    assert webhook.state.value == "ACTIVE"
    await house.tell(house.command("cmd-1", "IN_PROGRESS"), house.door(), house.door(OTHER))
    done = house.command("cmd-1", "SUCCESS")
    await house.tell(done)
    await house.tell(done)  # the broker brings it again
    await house.settle()
    assert [body["type"] for body in sent(house)] == [
        "command.updated",
        "door.status.updated",
        "command.finished",
    ]
    last = sent(house)[-1]
    assert last["data"]["id"] == house.caller.calls[-1].message_id == IDS.sealed(CREATED, 4)
    assert (last["data"]["type"], last["data"]["vin"]) == ("COMMAND_STATUS_UPDATE", VIN)
    assert (last["data"]["data"]["commandId"], last["data"]["data"]["status"]) == ("cmd-1", "SUCCESS")
    assert last["timestamp"] == last["data"]["timestamp"]
    assert await house.statuses() == ["DELIVERED"] * 3


async def test_only_chosen_types_and_vehicles_are_sent(house: WebhookHarness) -> None:
    house.rights.let(vin=OTHER)
    await house.registered("finished", event_types=("command.finished",))
    await house.registered("other", vins=(OTHER,))
    await house.tell(house.command("cmd-1", "SUCCESS"), house.door(), house.door(OTHER))
    await house.settle()
    assert await house.statuses("finished") == ["DELIVERED"]
    assert await house.statuses("other") == ["DELIVERED"]


async def test_what_nobody_has_a_webhook_for_is_not_kept_nor_asked_about(house: WebhookHarness) -> None:
    await house.tell(house.door(), house.command("cmd-1", "SUCCESS"))
    await house.registered()
    await house.tell(house.door(OTHER))
    asked = house.rights.asked
    await house.settle()
    assert await house.statuses() == []
    assert house.rights.asked == asked


async def test_a_right_that_has_ended_is_sent_nothing_and_one_that_begins_nothing_from_before(
    house: WebhookHarness,
) -> None:
    await house.registered(vins=(VIN,))
    house.rights.end()
    await house.tell(house.door())
    await house.settle()
    assert sent(house) == []
    assert await house.statuses() == []  # nor is it kept to be looked at
    await house.tell(house.door())
    house.clock.advance(1)
    house.rights.let()  # before it was sent, but after it happened
    await house.settle()
    assert sent(house) == []
    await house.tell(house.door())
    await house.settle()
    assert len(sent(house)) == 1


async def test_a_stranger_gets_no_webhook_for_a_vehicle_and_sees_nothing_of_it(house: WebhookHarness) -> None:
    spy = Registrant(SHARER)
    for vins in ((VIN,), (OTHER,), (VIN, OTHER)):  # there is one, there is none: it looks the same
        with pytest.raises(VehicleNotReadableError):
            await house.api.register(spy, "spy", WebhookWish(URL, vins=vins), "c-1")
    assert await house.api.listed(spy) == []
    with pytest.raises(VehicleNotReadableError):
        await house.api.register(KEY, "spy", WebhookWish(URL, vins=(VIN,)), "c-1")  # not the key's vehicle


async def test_a_former_owner_sees_neither_what_happens_nor_how_much_of_it(house: WebhookHarness) -> None:
    house.rights.let(vin=OTHER)
    await house.registered(vins=(VIN, OTHER))
    await house.tell(house.door())
    await house.settle()
    began = house.clock.now()
    house.rights.end()
    house.caller.says[URL] = DOWN
    await house.tell(house.door(OTHER))
    await house.settle()
    await house.tell(house.door(), house.door())
    assert await house.statuses() == ["PENDING"] * 3 + ["DELIVERED"]  # its URL rests
    found, total = await house.api.deliveries(ME, "mine", None, 50, 0)
    assert ([each.vin for each in found], total) == ([OTHER], 1)
    assert (await house.api.found(ME, "mine"))[1].waiting == 1
    assert [backlog.waiting for _, backlog in await house.api.listed(ME)] == [1]
    replayed = await house.api.replay(ME, "mine", "r-1", after="", since=began)
    assert replayed.replayed == 1
    await house.operation.stop(WebhookPlace(OWNER, "", "mine"), "for a while")
    await house.tell(house.door())
    assert (await house.statuses())[0] == "HELD"
    assert (await house.api.deliveries(ME, "mine", DeliveryStatus.HELD, 50, 0)) == ([], 0)
    house.clock.advance(1)
    house.rights.let()  # anew, and nothing from before
    assert (await house.api.deliveries(ME, "mine", None, 50, 0))[1] == 1


async def test_who_is_no_owner_sees_nothing_about_access(house: WebhookHarness) -> None:
    sharer = Registrant(SHARER)
    house.rights.let(sharer, owner=False)
    house.rights.let(sharer, OTHER)
    await house.registered(by=sharer)
    alert = "ACCESS_ABNORMAL"
    await house.tell(house.alert(alert, "access"), house.door(), house.alert(alert, "access", OTHER))
    found, total = await house.api.deliveries(sharer, "mine", None, 50, 0)
    assert [(each.vin, each.event_type) for each in found] == [
        (OTHER, "access.changed"),
        (VIN, "door.status.updated"),
    ]
    assert (total, (await house.api.found(sharer, "mine"))[1].waiting) == (2, 2)


async def test_while_access_is_away_what_waits_waits(house: WebhookHarness) -> None:
    await house.registered()
    house.rights.away = True
    await house.tell(house.door())
    await house.settle()
    assert (sent(house), await house.statuses()) == ([], ["PENDING"])
    house.rights.away = False
    await house.later(seconds=6)
    assert await house.statuses() == ["DELIVERED"]


async def test_access_is_told_to_owners_alone(house: WebhookHarness) -> None:
    sharer = Registrant(SHARER)
    house.rights.let(sharer, owner=False)
    await house.registered("owners")
    await house.registered("sharers", by=sharer)
    await house.tell(house.alert("ACCESS_ABNORMAL", "access"), house.alert("B1A01", "diagnostics"))
    await house.tell(house.alert("ACCESS_ABNORMAL", "diagnostics"))  # not its to tell
    await house.settle()
    assert await house.statuses("owners") == ["DELIVERED"] * 2
    assert await house.statuses("sharers", sharer) == ["DELIVERED"]
    assert {body["type"] for body in sent(house)} == {"access.changed", "system.alert"}


async def test_a_key_has_its_own_and_is_asked_about_by_itself(house: WebhookHarness) -> None:
    await house.registered()
    house.rights.let(KEY)
    await house.registered(by=KEY, url=URL + "/key")
    assert [webhook.wish.url for webhook, _ in await house.api.listed(KEY)] == [URL + "/key"]
    assert [webhook.wish.url for webhook, _ in await house.api.listed(ME)] == [URL]
    house.rights.end(KEY)  # the key has expired
    await house.tell(house.door())
    await house.settle()
    assert await house.statuses(by=KEY) == []
    assert await house.statuses() == ["DELIVERED"]


async def test_all_vehicles_are_those_that_one_has_now(house: WebhookHarness) -> None:
    await house.registered()
    house.rights.let(vin=OTHER)
    change = grant_pb2.AccessChanged(
        change=grant_pb2.ACCESS_CHANGE_BEGUN, vin=OTHER, principal=OWNER, event_id="e"
    )
    set_time(change.at, house.clock.now())
    message = Delivery(ACCESS_CHANGED_SUBJECT, change.SerializeToString())
    assert await house.access.handle([message]) == []
    await house.tell(house.door(OTHER))
    await house.settle()
    assert await house.statuses() == ["DELIVERED"]
    house.restart()  # another process, while access is away
    house.rights.away = True
    await house.index.refresh()
    await house.tell(house.door(OTHER))
    assert await house.statuses() == ["PENDING", "DELIVERED"]
    house.rights.away = False
    house.rights.end(vin=OTHER)
    await house.later(minutes=6)
    await house.index.reread()
    await house.index.refresh()
    assert not house.index.concerns(OTHER)


async def test_with_a_transfer_goes_what_waits_for_former_owners(house: WebhookHarness) -> None:
    await house.registered()
    house.caller.says[URL] = DOWN
    await house.tell(house.door())
    await house.settle()
    change = grant_pb2.AccessChanged(
        change=grant_pb2.ACCESS_CHANGE_TRANSFERRED, vin=VIN, principal=SHARER, event_id="e"
    )
    set_time(change.at, house.clock.now() + timedelta(seconds=1))
    house.clock.advance(2)
    assert await house.access.handle([Delivery(ACCESS_CHANGED_SUBJECT, change.SerializeToString())]) == []
    assert await house.statuses() == []


async def test_the_url_is_challenged_before_anything_is_sent(house: WebhookHarness) -> None:
    house.caller.says[URL] = CallResult(CallOutcome.TAKEN, 200, body=b'{"challenge": "something else"}')
    webhook, _, secret = await house.api.register(ME, "mine", WebhookWish(URL), "c-1")
    assert (webhook.state.value, secret[:6]) == ("PENDING", "whsec_")
    await house.tell(house.door())
    await house.settle()
    assert {json.loads(call.body)["type"] for call in house.caller.calls} == {"webhook.challenge"}
    with pytest.raises(WebhookNotActiveError):
        await house.api.test(ME, "mine", "t-1")
    await house.later(seconds=6)
    await house.later(seconds=31)
    webhook, _ = await house.api.found(ME, "mine")
    assert (webhook.state.value, webhook.last_failure) == ("DISABLED", "WRONG_ANSWER")
    assert webhook.disabled_reason is not None
    assert webhook.disabled_reason.value == "CHALLENGE_FAILED"
    assert len(house.caller.calls) == 3
    house.caller.says.clear()
    await house.api.enable(ME, "mine")
    await house.settle()
    webhook, _ = await house.api.found(ME, "mine")
    assert webhook.state.value == "ACTIVE"
    assert await house.statuses() == ["DELIVERED"]  # what happened meanwhile


async def test_another_url_is_challenged_anew_and_the_old_one_is_sent_nothing(house: WebhookHarness) -> None:
    await house.registered()
    other = URL + "/other"
    house.caller.says[other] = DOWN
    await house.api.register(ME, "mine", WebhookWish(other), "c-2")
    await house.tell(house.door())
    await house.settle()
    assert {call.url for call in house.caller.calls} == {other}
    webhook, _ = await house.api.found(ME, "mine")
    assert webhook.state.value == "PENDING"
    house.caller.says.clear()
    await house.later(seconds=6)
    assert await house.statuses() == ["DELIVERED"]


async def test_what_fails_is_tried_again_for_a_day_and_then_given_up(house: WebhookHarness) -> None:
    webhook = await house.registered()
    house.caller.says[URL] = DOWN
    await house.tell(house.door())
    await house.settle()
    for at_least in (5, 30, 120, 600, 1_800):
        before = len(house.caller.calls)
        await house.later(seconds=at_least - 1)
        assert len(house.caller.calls) == before
        await house.later(seconds=2)
        assert len(house.caller.calls) == before + 1
    webhook, backlog = await house.api.found(ME, "mine")
    assert (backlog.waiting, webhook.failures, webhook.last_failure) == (1, 6, "STATUS_503")
    house.sending._rule = house.sending._rule.__class__(1_000, timedelta(days=30))
    for _ in range(27):
        await house.later(hours=1)
    assert await house.statuses() == ["FAILED"]
    before = len(house.caller.calls)
    await house.later(hours=7)
    assert len(house.caller.calls) == before


async def test_when_it_takes_something_again_the_rest_follows_in_order(house: WebhookHarness) -> None:
    await house.registered()
    house.caller.says[URL] = DOWN
    for number in range(4):
        await house.tell(house.command(f"cmd-{number}", "SUCCESS"))
        await house.settle()
    await house.later(minutes=1)
    house.caller.calls.clear()
    house.caller.says.clear()
    await house.later(minutes=20)
    assert await house.statuses() == ["DELIVERED"] * 4
    order = [body["data"]["data"]["commandId"] for body in sent(house)]
    assert sorted(order[1:]) == order[1:]


async def test_a_url_that_asks_to_be_left_alone_is_left_alone(house: WebhookHarness) -> None:
    await house.registered()
    house.caller.says[URL] = CallResult(CallOutcome.FAILED, 429, "STATUS_429", retry_after=120.0)
    await house.tell(house.door())
    await house.settle()
    house.caller.says.clear()
    await house.later(seconds=119)
    assert await house.statuses() == ["PENDING"]
    await house.later(seconds=2)
    assert await house.statuses() == ["DELIVERED"]
    house.caller.says[URL] = CallResult(CallOutcome.FAILED, 429, "STATUS_429", retry_after=1e9)
    await house.tell(house.door())
    await house.settle()
    house.caller.says.clear()
    await house.later(hours=1, seconds=1)  # not for ever
    assert await house.statuses() == ["DELIVERED"] * 2


async def test_gone_disables_at_once_and_others_of_the_registrant_hear_of_it(house: WebhookHarness) -> None:
    await house.registered("other", url=URL + "/other")
    await house.registered()
    house.caller.says[URL] = CallResult(CallOutcome.GONE, 410, "STATUS_410")
    await house.tell(house.door())
    await house.settle()
    webhook, _ = await house.api.found(ME, "mine")
    assert webhook.state.value == "DISABLED"
    assert house.announced == [("mine", "GONE")]
    told = [body for body in sent(house) if body["type"] == "webhook.disabled"]
    assert [(each["data"]["webhookId"], each["data"]["reason"]) for each in told] == [("mine", "GONE")]
    with pytest.raises(WebhookNotActiveError):
        await house.api.replay(ME, "mine", "r-1", after="", since=house.clock.now())


async def test_it_is_disabled_by_failures_over_time_and_revived_with_a_replay(house: WebhookHarness) -> None:
    await house.registered()
    began = house.clock.now()
    house.caller.says[URL] = DOWN
    await house.tell(house.door())
    await house.settle()
    for _ in range(30):
        await house.later(hours=1)
    webhook, _ = await house.api.found(ME, "mine")
    assert (webhook.state.value, house.announced) == ("DISABLED", [("mine", "FAILING")])
    await house.tell(house.command("cmd-1", "SUCCESS"))
    before = len(house.caller.calls)
    await house.later(hours=1)
    assert len(house.caller.calls) == before
    assert (await house.statuses())[0] == "HELD"

    house.caller.says.clear()
    await house.api.enable(ME, "mine")
    await house.settle()
    replayed = await house.api.replay(ME, "mine", "r-1", after="", since=began)
    assert (replayed.replayed, replayed.has_more) == (2, False)
    await house.settle()
    assert await house.statuses() == ["DELIVERED"] * 2
    assert await house.api.replay(ME, "mine", "r-1", after="", since=began) == replayed
    assert await house.statuses() == ["DELIVERED"] * 2  # the same request again sends nothing again


async def test_a_replay_begins_after_an_event_of_its_own(house: WebhookHarness) -> None:
    await house.registered()
    for number in range(3):
        await house.tell(house.command(f"cmd-{number}", "SUCCESS"))
    await house.settle()
    first = house.caller.calls[0].message_id
    house.caller.calls.clear()
    replayed = await house.api.replay(ME, "mine", "r-1", after=first, since=None)
    await house.settle()
    assert replayed.replayed == 2
    assert [body["data"]["data"]["commandId"] for body in sent(house)] == ["cmd-1", "cmd-2"]
    assert house.caller.calls[-1].message_id == replayed.last_event_id
    with pytest.raises(WebhookEventUnknownError):
        await house.api.replay(ME, "mine", "r-2", after="nothing", since=None)
    house.rights.end()
    await house.api.replay(ME, "mine", "r-3", after=first, since=None)
    await house.settle()
    assert await house.statuses() == ["DELIVERED"] * 3  # and nothing was sent again
    house.clock.advance(1)
    house.rights.let()  # a new right: what was before it is not replayed
    assert (await house.api.replay(ME, "mine", "r-4", after=first, since=None)).replayed == 0


async def test_one_that_hangs_keeps_nobody_from_theirs(house: WebhookHarness) -> None:
    slow = [f"https://slow-{number}.example/hook" for number in range(3)]
    for number, url in enumerate(slow):
        await house.registered(f"slow-{number}", url=url)
    sharer = Registrant(SHARER)
    house.rights.let(sharer)
    await house.registered(by=sharer)
    house.caller.hangs |= set(slow)
    await house.tell(*(house.command(f"cmd-{number}", "SUCCESS") for number in range(8)))
    for _ in range(60):
        await house.sending.step()
        await asyncio.sleep(0.02)
        if (await house.statuses(by=sharer)).count("DELIVERED") == 8:
            break
    await house.sending.finish()
    assert await house.statuses(by=sharer) == ["DELIVERED"] * 8


async def test_the_first_answer_is_given_again_and_another_body_is_refused(house: WebhookHarness) -> None:
    first = await house.api.register(ME, "mine", WebhookWish(URL), "c-1")
    assert (await house.api.register(ME, "mine", WebhookWish(URL), "c-1"))[2] == first[2]
    with pytest.raises(OtherWebhookBodyError):
        await house.api.register(ME, "mine", WebhookWish(URL + "/other"), "c-1")
    assert (await house.api.register(ME, "mine", WebhookWish(URL), "c-2"))[2] == ""
    rotated = await house.api.rotate(ME, "mine", "c-3")
    assert rotated[2] not in {"", first[2]}
    assert (await house.api.rotate(ME, "mine", "c-3"))[2] == rotated[2]
    # By now it is another one, and stays so.
    assert (await house.api.register(ME, "mine", WebhookWish(URL), "c-1"))[2] == ""
    house.clock.advance(timedelta(days=2).total_seconds())
    assert (await house.api.register(ME, "mine", WebhookWish(URL), "c-1"))[2] == ""


async def test_the_secret_before_signs_for_a_day(house: WebhookHarness) -> None:
    await house.registered()
    await house.api.rotate(ME, "mine", "c-3")
    await house.tell(house.door())
    await house.settle()
    assert len(house.caller.calls[-1].secrets) == 2
    await house.later(hours=25)
    await house.tell(house.door())
    await house.settle()
    assert len(house.caller.calls[-1].secrets) == 1


async def test_a_test_is_sent_once_for_each_correlation_id(house: WebhookHarness) -> None:
    await house.registered()
    first = await house.api.test(ME, "mine", "t-1")
    assert await house.api.test(ME, "mine", "t-1") == first
    await house.api.test(ME, "mine", "t-2")
    await house.settle()
    assert [body["type"] for body in sent(house)] == ["webhook.test"] * 2


async def test_heartbeats_say_what_waits(database_url: str) -> None:
    async with webhook_harness(database_url, heartbeat=timedelta(minutes=5)) as house:
        await house.registered()
        house.caller.says[URL] = DOWN
        await house.tell(house.door(), house.command("cmd-1", "SUCCESS"))
        await house.settle()
        house.caller.says.clear()
        house.caller.calls.clear()
        house.clock.advance(301)
        await house.sending.look()
        await house.sending.finish()
        (beat,) = (json.loads(call.body) for call in house.caller.calls)
        assert beat["type"] == "webhook.heartbeat"
        assert beat["data"] == {
            "webhookId": "mine",
            "waiting": 2,
            "oldestWaitingSeconds": 301,
            "intervalSeconds": 300,
        }
        await house.settle()  # it was taken: the rest follows
        assert await house.statuses() == ["DELIVERED"] * 2


async def test_too_much_that_waits_disables_it(house: WebhookHarness) -> None:
    await house.registered()
    house.caller.says[URL] = DOWN
    house.sending._most_waiting = 3
    await house.tell(*(house.command(f"cmd-{number}", "SUCCESS") for number in range(4)))
    await house.later(minutes=1)  # so often it is counted
    assert house.announced == [("mine", "BACKLOG")]


async def test_what_is_deleted_or_stopped_is_sent_nothing(house: WebhookHarness) -> None:
    await house.registered()
    await house.operation.stop(WebhookPlace(OWNER, "", "mine"), "posts to a stranger")
    await house.tell(house.door())
    await house.settle()
    assert (sent(house), await house.statuses()) == ([], ["HELD"])
    with pytest.raises(WebhookStoppedError):
        await house.api.enable(ME, "mine")
    assert await house.api.delete(ME, "mine") == []
    with pytest.raises(WebhookUnknownError):
        await house.api.found(ME, "mine")
    await house.api.delete(ME, "mine")
    await house.tell(house.door())
    await house.settle()
    assert sent(house) == []


async def test_there_are_so_many_for_each_and_no_more(house: WebhookHarness) -> None:
    made = await asyncio.gather(
        *(house.api.register(ME, f"w-{n}", WebhookWish(URL), f"c-{n}") for n in range(5)),
        return_exceptions=True,
    )
    assert sum(isinstance(each, TooManyWebhooksError) for each in made) == 2
    await house.api.register(KEY, "w", WebhookWish(URL), "c")
    house.caller.refuses.add("https://10.0.0.1/")
    with pytest.raises(UrlRefusedError):
        await house.api.register(KEY, "x", WebhookWish("https://10.0.0.1/"), "c")


async def test_deliveries_are_listed_by_status_in_pages(house: WebhookHarness) -> None:
    await house.registered()
    await house.tell(*(house.command(f"cmd-{number}", "SUCCESS") for number in range(5)))
    found, total = await house.api.deliveries(ME, "mine", DeliveryStatus.PENDING, 2, 1)
    assert (len(found), total) == (2, 5)
    assert await house.api.deliveries(ME, "mine", DeliveryStatus.FAILED, 2, 0) == ([], 0)


async def test_a_person_is_handed_what_is_kept_of_their_webhooks_and_erased(house: WebhookHarness) -> None:
    sharer = Registrant(SHARER)
    house.rights.let(sharer)
    await house.registered(by=sharer)
    await house.registered(description="mine")
    house.caller.says[URL] = DOWN
    await house.tell(house.door())
    await house.settle()
    lines = kept_tables(timedelta(days=30), timedelta(days=270))

    async def scrubbed() -> None:
        """There is no file to look at here."""

    data = SubjectData(house.database, lines, holds, scrubbed)
    rows = [row async for row in data.rows(OWNER)]
    assert {table for table, _ in rows} == {
        "webhook",
        "webhook_person",
        "webhook_vehicle",
        "webhook_delivery",
    }
    assert not any('"secret"' in row for _, row in rows)
    await data.erase(OWNER, "er-1")
    assert [row async for row in data.rows(OWNER)] == []
    assert await house.api.listed(ME) == []
    house.caller.says.clear()
    await house.later(minutes=10)
    assert await house.statuses(by=sharer) == ["DELIVERED"]


async def test_of_somebody_who_is_erased_nothing_is_kept_anew(house: WebhookHarness) -> None:
    sharer = Registrant(SHARER)
    house.rights.let(sharer)
    await house.registered(by=sharer)
    await house.registered(vins=(VIN,))

    async def scrubbed() -> None:
        """There is no file to look at here."""

    lines = kept_tables(timedelta(days=30), timedelta(days=270))
    data = SubjectData(
        house.database, lines, holds, scrubbed, besides=lambda c, person, _: webhooks_erased(c, person)
    )
    await data.erase(OWNER, "er-1")
    await house.tell(house.door())  # before this replica knows of it
    assert [row async for row in data.rows(OWNER)] == []
    await house.index.refresh()
    event = WebhookEvent("key", "shown", "door.status.updated", VIN, house.clock.now(), 1, "{}")
    assert [each.registrant for each in house.index.targets(event)] == [sharer]
    await house.settle()
    assert await house.statuses(by=sharer) == ["DELIVERED"]


async def test_events_and_deliveries_go_after_a_week(house: WebhookHarness) -> None:
    await house.registered()
    await house.tell(house.door())
    await house.settle()
    lines = kept_tables(timedelta(days=30), timedelta(days=270), timedelta(days=7))
    retention = Retention(house.database, lines, holds, house.clock.now)

    async def kept() -> list[int]:
        return [
            await house.database.read(lambda c, t=table: len(c.execute(select(t)).all()))
            for table in (webhook_deliveries, webhook_events)
        ]

    await house.later(days=6)
    await retention.run_once()
    assert await kept() == [1, 1]
    house.clock.advance(timedelta(days=1, seconds=1).total_seconds())
    await retention.run_once()
    assert await kept() == [0, 0]
    await house.api.found(ME, "mine")


async def test_what_becomes_of_a_webhook_is_audited(house: WebhookHarness) -> None:
    acts: list[tuple[str, Any]] = []

    def noted(_connection: Any, act: Any) -> None:
        acts.append((act.kind, act.detail))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("services.notification.adapters.store.webhook_rows.note_act", noted)
        await house.registered()
        await house.api.register(ME, "mine", WebhookWish(URL, description="x"), "c-2")
        await house.api.rotate(ME, "mine", "c-3")
        await house.api.replay(ME, "mine", "c-4", after="", since=house.clock.now())
        await house.api.delete(ME, "mine")
        await house.api.delete(ME, "mine")
    assert [kind for kind, _ in acts] == [
        "WEBHOOK_REGISTERED",
        "WEBHOOK_CHANGED",
        "WEBHOOK_SECRET_ROTATED",
        "WEBHOOK_REPLAYED",
        "WEBHOOK_DELETED",
    ]
    assert all("hook" not in detail["host"] for _, detail in acts)

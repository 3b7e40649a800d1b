"""What people are told, and what they are not, on both databases."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import func, select, update

from services.notification.adapters.store.tables import (
    notices,
    pushes,
)
from services.notification.domain.messages import PushKind, PushOutcome, PushResult
from services.notification.domain.preferences import Preferences
from services.platform.storage import StorageUnavailableError
from tests.support.notification_harness import (
    MOST_PER_HOST,
    MOST_UNDER_WAY,
    OWNER,
    SHARER,
    VALET,
    VIN,
    NotificationHarness,
    notification_harness,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy import Table

OTHER_VIN = "KMHSH81C7LU654321"


@pytest.fixture
async def house(database_url: str) -> AsyncIterator[NotificationHarness]:
    async with notification_harness(database_url) as harness:
        yield harness


async def count(house: NotificationHarness, table: Table) -> int:
    query = select(func.count()).select_from(table)
    return await house.database.read(lambda connection: connection.execute(query).scalar_one())


async def test_who_gave_a_command_is_told_how_it_ended_and_nobody_else(house: NotificationHarness) -> None:
    await house.phone(OWNER, "owners")
    await house.phone(SHARER, "sharers")
    for status in ("PENDING", "IN_PROGRESS", "SUCCESS"):
        await house.command("cmd-1", status, person=SHARER)
    await house.settle()

    ((token, message),) = house.fcm.shown
    assert (token, message.title, message.body) == ("sharers", "Unlocked", "Your car is unlocked.")
    assert message.data == {"kind": "DOOR_RESULT", "event": "UNLOCK.SUCCESS", "commandId": "cmd-1"}
    assert message.expires_at == house.clock.now() + timedelta(minutes=10)
    assert await count(house, pushes) == 0


async def test_who_has_no_device_is_asked_about_no_further(house: NotificationHarness) -> None:
    await house.phone(OWNER, "owners")
    for number in range(5):
        await house.command(f"cmd-{number}", "SUCCESS", person=SHARER)
    await house.settle()
    assert house.people.asked_who_gave == [{f"cmd-{number}" for number in range(5)}], "one question for all"
    assert house.people.asked == 0
    assert await count(house, pushes) == 0
    await house.command("cmd-5", "SUCCESS", person=OWNER)
    await house.settle()
    assert house.fcm.titles("owners") == ["Unlocked"]


async def test_one_event_is_one_push_however_often_it_comes(house: NotificationHarness) -> None:
    await house.phones(OWNER, "one", "apple")
    delivery = await house.command("cmd-1", "SUCCESS")
    await house.handler.handle([delivery, delivery])
    await house.settle()
    house.restart()
    await house.handler.handle([delivery])
    await house.later(hours=1)

    assert house.fcm.titles("one") == ["Unlocked"]
    assert house.apns.titles("apple") == ["Unlocked"]
    assert house.fcm.shown[0][1].id != house.apns.shown[0][1].id


async def test_two_replicas_send_nothing_twice(house: NotificationHarness) -> None:
    for number in range(20):
        await house.phone(f"user-{number}", f"phone-{number}")
        house.people.let(f"user-{number}", owner=True)
    await house.alert("ACCESS_BEGUN", "access")
    other = NotificationHarness(house.database, house.clock, house.people, house.fcm, house.apns)

    await asyncio.gather(house.settle(), other.settle())
    await asyncio.gather(house.settle(), other.settle())

    assert sorted(house.fcm.attempts) == sorted(f"phone-{number}" for number in range(20))


@pytest.mark.parametrize(
    ("said", "title", "words"),
    [
        ({"status": "FAILED", "failure_reason": 2}, "Not unlocked", "A door stood open. Close all doors"),
        ({"status": "FAILED", "failure_reason": 999}, "Not unlocked", "could not do it"),
        ({"status": "TIMEOUT", "may_have_succeeded": True}, "No answer from your car", "may have unlocked"),
        ({"status": "TIMEOUT", "may_have_succeeded": False}, "Not unlocked", "nothing was sent"),
        ({"status": "CANCELLED", "failure_reason": 12}, "Unlocking cancelled", "was not unlocked"),
        (
            {
                "status": "FAILED",
                "failure_reason": 6,
                "door_results": [{"door_id": "driver", "success": True}, {"door_id": "rearLeft"}],
            },
            "Unlocked in part",
            "Unlocked: driver's door. Not unlocked: rear left door.",
        ),
    ],
)
async def test_a_failure_says_why_and_what_to_do(
    house: NotificationHarness, said: dict[str, Any], title: str, words: str
) -> None:
    await house.phone(OWNER, "phone")
    await house.command("cmd-1", **said)
    await house.settle()
    ((_, message),) = house.fcm.shown
    assert message.title == title
    assert words in message.body


async def test_a_late_answer_takes_the_place_of_the_timeout(house: NotificationHarness) -> None:
    await house.phone(OWNER, "phone")
    await house.command("cmd-1", "TIMEOUT", may_have_succeeded=True)
    await house.settle()
    await house.command("cmd-1", "TIMEOUT", late=True, door_results=[{"door_id": "trunk", "success": True}])
    await house.settle()
    (_, timeout), (_, late) = house.fcm.shown
    assert late.title == "Your car has answered"
    assert "Unlocked: trunk." in late.body
    assert timeout.collapse == late.collapse
    assert timeout.id != late.id


async def test_what_is_sent_late_says_from_when_it_is_or_is_not_sent(house: NotificationHarness) -> None:
    await house.phone(OWNER, "phone")
    await house.devices.set_preferences(OWNER, Preferences(time_zone="Asia/Seoul"), house.clock.now())
    house.people.away = True
    await house.command("cmd-1", "SUCCESS")
    await house.settle()
    house.people.away = False
    await house.later(seconds=31)
    ((_, message),) = house.fcm.shown
    assert message.body == "(From 17:00) Your car is unlocked."

    house.people.away = True
    await house.command("cmd-2", "SUCCESS")
    await house.settle()
    house.people.away = False
    await house.later(minutes=10)
    assert len(house.fcm.shown) == 1


async def test_a_right_that_ended_meanwhile_is_told_nothing(house: NotificationHarness) -> None:
    await house.phone(OWNER, "phone")
    house.fcm.says["phone"] = PushResult(PushOutcome.LATER, 5)
    await house.command("cmd-1", "SUCCESS")
    await house.settle()
    house.fcm.says.clear()
    house.people.end(OWNER)
    await house.later(seconds=10)
    assert (house.fcm.shown, await count(house, pushes)) == ([], 0)

    await house.command("cmd-2", "SUCCESS")
    await house.later(seconds=10)
    assert house.fcm.attempts == ["phone"]


async def test_owners_alone_are_told_of_access_and_readers_of_what_is_contradicted(
    house: NotificationHarness,
) -> None:
    for person in (OWNER, SHARER, VALET):
        await house.phone(person, person)
    await house.alert("ACCESS_BEGUN", "access", message="user-9 has a digital key")
    await house.alert("COMMAND_CONTRADICTED", "status")
    await house.settle()
    assert house.fcm.titles(OWNER) == ["Access to your car", "Check your car's doors"]
    assert house.fcm.titles(SHARER) == ["Check your car's doors"]
    assert house.fcm.titles(VALET) == []
    for _, message in house.fcm.shown:
        shown = f"{message.title} {message.body} {dict(message.data)} {message.collapse}"
        assert VIN not in shown
        assert "user-" not in shown


async def test_no_service_tells_what_is_anothers(house: NotificationHarness) -> None:
    await house.phone(OWNER, "phone")
    await house.alert("ACCESS_LOCKED", "diagnostics")
    await house.alert("ACCESS_LOCKED", "status")
    await house.alert("B1A01", "access")
    delivery = await house.command("cmd-1", "PENDING")
    forged = delivery._replace(
        subject=delivery.subject.replace("command", "status"), data=delivery.data, headers={}
    )
    await house.handler.handle([forged])
    await house.settle()
    assert (house.fcm.shown, await count(house, notices)) == ([], 0)


async def test_what_is_no_update_is_poison_and_stops_nothing(house: NotificationHarness) -> None:
    await house.phone(OWNER, "phone")
    good = await house.command("cmd-1", "PENDING")
    bad = [
        good._replace(data=b"\xff\xff"),
        good._replace(subject=good.subject.replace(VIN, OTHER_VIN)),
        good._replace(subject="door.command"),
    ]
    poison = await house.handler.handle(bad)
    assert [each.delivery for each in poison] == bad
    await house.command("cmd-1", "SUCCESS")
    await house.settle()
    assert house.fcm.titles("phone") == ["Unlocked"]


async def test_a_dead_token_is_removed_and_one_that_was_renewed_is_not(house: NotificationHarness) -> None:
    await house.phones(OWNER, "dead", "alive")
    house.fcm.says["dead"] = PushResult(PushOutcome.GONE, reason="UNREGISTERED")
    await house.command("cmd-1", "SUCCESS")
    await house.settle()
    assert [each.device_id for each in await house.devices.listed(OWNER)] == ["alive"]
    assert await count(house, pushes) == 0

    (device,) = await house.devices.listed(OWNER)
    await house.phone(OWNER, "new", device_id="alive")
    await house.notices.device_gone(device.push)  # heard of the old token only now
    assert [each.push.token for each in await house.devices.listed(OWNER)] == ["new"]


async def test_what_cannot_be_sent_is_sent_again_later_and_later(house: NotificationHarness) -> None:
    await house.phone(OWNER, "phone")
    house.fcm.says["phone"] = PushResult(PushOutcome.LATER)
    await house.alert("ACCESS_BEGUN", "access")
    await house.settle()
    pauses = []
    for _ in range(6):
        began = house.clock.now()
        tries = len(house.fcm.attempts)
        while len(house.fcm.attempts) == tries:
            await house.later(seconds=1)
        pauses.append((house.clock.now() - began).total_seconds())
    assert pauses == [2, 4, 8, 16, 32, 64]

    house.fcm.says["phone"] = PushResult(PushOutcome.LATER, retry_after=500)
    await house.later(seconds=128)
    tries = len(house.fcm.attempts)
    await house.later(seconds=499)
    assert len(house.fcm.attempts) == tries
    house.fcm.says.clear()
    await house.later(seconds=1)
    assert house.fcm.titles("phone") == ["Access to your car"]


async def test_a_device_that_breaks_or_is_refused_stops_no_other(house: NotificationHarness) -> None:
    await house.phones(OWNER, "breaks", "refused", "good")
    house.fcm.says["breaks"] = RuntimeError("a sender that is broken")
    house.fcm.says["refused"] = PushResult(PushOutcome.REFUSED, reason="INVALID_ARGUMENT")
    await house.command("cmd-1", "SUCCESS")
    await house.settle()
    assert house.fcm.titles("good") == ["Unlocked"]
    house.fcm.says.clear()
    await house.later(seconds=5)
    assert house.fcm.titles("breaks") == ["Unlocked"]
    await house.later(hours=1)
    assert house.fcm.attempts.count("refused") == 1


async def test_a_push_service_that_hangs_holds_up_no_other(house: NotificationHarness) -> None:
    hang = [f"hangs-{number}" for number in range(MOST_UNDER_WAY + 2)]
    await house.phones(OWNER, "apple")
    for token in hang:
        house.people.let(token)
        await house.phone(token, token)
    house.fcm.hangs.update(hang)
    await house.alert("COMMAND_CONTRADICTED", "status")
    while await house.addressing.step():
        pass
    while not house.apns.shown or len(house.fcm.attempts) < MOST_UNDER_WAY:
        await house.sending.step()
        await asyncio.sleep(0)
    await house.sending.step()
    assert len(house.fcm.attempts) == MOST_UNDER_WAY
    await house.sending.finish()


async def test_a_host_of_web_push_that_hangs_holds_up_no_other(house: NotificationHarness) -> None:
    """However much waits for it, and before what: it has its own places."""
    hang = [f"https://hangs.example/{number}" for number in range(MOST_UNDER_WAY + 8)]
    good = "https://good.example/1"
    for token in (*hang, good):
        person = "z" if token == good else token[-8:]
        house.people.let(person)
        await house.phone(person, token, PushKind.WEB_PUSH, device_id="browser")
    house.web_push.hangs.update(hang)
    await house.alert("COMMAND_CONTRADICTED", "status")
    while await house.addressing.step():
        pass
    behind = update(pushes).where(pushes.c.host == "good.example")
    house.clock.advance(1)
    await house.database.write(lambda c: c.execute(behind.values(due_at=house.clock.now())))
    while not house.web_push.shown:
        await house.sending.step()
        await asyncio.sleep(0)
    await house.sending.step()
    assert house.web_push.titles(good)
    assert len(house.web_push.attempts) == MOST_PER_HOST + 1
    await house.sending.finish()


async def test_what_waits_for_a_host_is_sent_when_it_has_room(house: NotificationHarness) -> None:
    """And so is what an older version left, which does not say of which host it is."""
    freed = asyncio.Event()
    house.sending.freed = freed.set
    tokens = [f"https://busy.example/{number:02}" for number in range(3 * MOST_PER_HOST)]
    for token in tokens:
        house.people.let(token[-2:])
        await house.phone(token[-2:], token, PushKind.WEB_PUSH, device_id="browser")
    await house.alert("COMMAND_CONTRADICTED", "status")
    while await house.addressing.step():
        pass
    old = update(pushes).where(pushes.c.person.in_([token[-2:] for token in tokens[:MOST_PER_HOST]]))
    await house.database.write(lambda c: c.execute(old.values(host=None)))
    async with asyncio.timeout(60):
        while len(house.web_push.shown) < len(tokens):
            await house.sending.step()
            await asyncio.sleep(0)
    assert freed.is_set()
    assert sorted(house.web_push.attempts) == tokens


async def test_a_row_that_says_nothing_stops_nobody(house: NotificationHarness) -> None:
    await house.phone(OWNER, "phone")
    await house.command("cmd-1", "SUCCESS")
    await house.database.write(lambda c: c.execute(update(notices).values(facts="[", kind="NONSENSE")))
    await house.command("cmd-2", "SUCCESS", action="LOCK")
    await house.settle()
    assert house.fcm.titles("phone") == ["Locked"]


async def test_a_store_that_is_away_loses_nothing(
    house: NotificationHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.phone(OWNER, "phone")
    await house.command("cmd-1", "SUCCESS")
    while await house.addressing.step():
        pass

    async def away(_push: object, _at: object) -> None:
        raise StorageUnavailableError("away")

    with monkeypatch.context() as patched:
        patched.setattr(house.notices, "delivered", away)
        await house.sending.step()
        await house.sending.finish()
        with pytest.raises(StorageUnavailableError):
            await house.sending.step()
    await house.later(minutes=1)
    first, second = house.fcm.shown
    assert first[1].id == second[1].id  # sent twice, shown once


async def test_many_hosts_of_web_push_that_hang_leave_places_for_others(house: NotificationHarness) -> None:
    """Four of them used to fill all: a quarter of the places each."""
    hosts = MOST_UNDER_WAY // MOST_PER_HOST
    hang = [
        f"https://hangs-{host}.example/{number}" for host in range(hosts) for number in range(MOST_PER_HOST)
    ]
    good = "https://good.example/1"
    for number, token in enumerate((*hang, good)):
        house.people.let(f"person-{number}")
        await house.phone(f"person-{number}", token, PushKind.WEB_PUSH, device_id="browser")
    house.web_push.says = {token: PushResult(PushOutcome.LATER, reason="TIMEOUT") for token in hang}
    await house.alert("COMMAND_CONTRADICTED", "status")
    await house.settle()  # by now they are known to hang
    house.web_push.says.clear()
    house.web_push.hangs.update(hang)
    house.web_push.shown.clear()
    house.clock.advance(60)
    await house.alert("COMMAND_CONTRADICTED", "status")
    while await house.addressing.step():
        pass
    async with asyncio.timeout(30):
        while not house.web_push.titles(good):  # it is no event here
            await house.sending.step()
            await asyncio.sleep(0.01)
    await house.sending.finish()

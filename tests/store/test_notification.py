"""What people are told, and what they are not, on both databases."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import func, select, update

from services.notification.adapters.kept import kept_tables
from services.notification.adapters.store.tables import (
    conditions,
    devices,
    holds,
    notices,
    places,
    pushes,
    reminders,
)
from services.notification.domain.devices import CheckedDevice, TooManyDevicesError
from services.notification.domain.messages import PushKind, PushOutcome, PushResult
from services.notification.domain.notices import NoticeKind
from services.notification.domain.preferences import IgnoredPlace, Preferences, QuietHours
from services.notification.usecases import sending as sending_module
from services.platform.retention import Retention
from services.platform.storage import StorageUnavailableError
from services.platform.subject_data import SubjectData
from tests.support.notification_harness import (
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
        ({"status": "FAILED", "failure_reason": 2}, "Not unlocked", "A door stands open"),
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
    await house.devices.set_preferences(OWNER, Preferences(time_zone="Asia/Seoul"))
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


async def test_a_push_service_that_hangs_holds_up_no_other(
    house: NotificationHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending_module, "MOST_UNDER_WAY", 2)
    hang = [f"hangs-{number}" for number in range(4)]
    await house.phones(OWNER, *hang, "apple")
    house.fcm.hangs.update(hang)
    await house.command("cmd-1", "SUCCESS")
    while await house.addressing.step():
        pass
    await house.sending.step()
    while not house.apns.shown:
        await house.sending.step()
        await asyncio.sleep(0)
    assert len(house.fcm.attempts) == 2
    await house.sending.finish()


async def test_a_row_that_says_nothing_stops_nobody(house: NotificationHarness) -> None:
    await house.phone(OWNER, "phone")
    await house.command("cmd-1", "SUCCESS")
    await house.database.write(lambda c: c.execute(update(notices).values(facts="[", kind="NONSENSE")))
    await house.command("cmd-2", "SUCCESS", action="LOCK")
    await house.settle()
    assert house.fcm.titles("phone") == ["Locked"]


async def test_quiet_hours_hold_back_what_can_wait(house: NotificationHarness) -> None:
    await house.phone(OWNER, "phone")
    quiet = QuietHours(22 * 60, 7 * 60)
    await house.devices.set_preferences(OWNER, Preferences(quiet=quiet, time_zone="Asia/Seoul"))
    house.clock.at = datetime(2027, 1, 15, 15, 30, tzinfo=UTC)  # half past midnight in Seoul
    await house.alert("B1A05", "diagnostics", component_id="trunk_actuator_01")
    await house.alert("COMPONENT_ERROR", "diagnostics", component_id="another")
    await house.alert("ACCESS_BEGUN", "access")
    await house.command("cmd-1", "SUCCESS")
    await house.settle()
    assert sorted(house.fcm.titles("phone")) == ["Access to your car", "Unlocked"]

    # One is over before they end: neither it nor its end is shown.
    await house.alert("B1A05", "diagnostics", component_id="trunk_actuator_01", cleared=True)
    await house.later(hours=6, minutes=29)
    assert len(house.fcm.shown) == 2
    await house.later(minutes=1)
    (_, message) = house.fcm.shown[-1]
    assert message.title == "A part of your doors has a fault"
    assert message.body.startswith("(From 00:30) ")
    await house.alert("COMPONENT_ERROR", "diagnostics", component_id="another", cleared=True)
    await house.settle()
    (_, over) = house.fcm.shown[-1]
    assert (over.title, over.collapse) == ("Resolved", message.collapse)
    assert len(house.fcm.shown) == 4


async def test_what_is_turned_off_is_not_told(house: NotificationHarness) -> None:
    await house.phone(OWNER, "phone")
    off = frozenset({NoticeKind.DOOR_RESULT, NoticeKind.DIAGNOSTICS})
    await house.devices.set_preferences(OWNER, Preferences(off=off, language="ko"))
    await house.command("cmd-1", "SUCCESS")
    await house.alert("B1A05", "diagnostics")
    await house.alert("ACCESS_BEGUN", "access")
    await house.settle()
    assert house.fcm.titles("phone") == ["차량 접근 권한"]


async def test_a_vehicle_left_open_is_told_after_the_time_that_each_wants(house: NotificationHarness) -> None:
    await house.phone(OWNER, "owners")
    await house.phone(SHARER, "sharers")
    await house.phone(VALET, "valets")
    await house.devices.set_preferences(SHARER, Preferences(reminder_minutes=2))
    await house.door("trunk", open=True, locked=True)
    await house.later(minutes=1, seconds=59)
    assert house.fcm.shown == []
    await house.later(seconds=1)
    assert (house.fcm.titles("sharers"), house.fcm.titles("owners")) == (["Your car stands open"], [])
    house.restart()
    await house.door("hood", open=True, locked=True)
    await house.later(minutes=8)
    assert house.fcm.titles("owners") == ["Your car stands open"]
    (_, message) = house.fcm.shown[-1]
    assert message.body == "Open since 08:00 UTC: hood, trunk."
    await house.later(hours=2)
    assert len(house.fcm.shown) == 2

    await house.door("trunk", open=False, locked=True)
    await house.settle()
    assert len(house.fcm.shown) == 2
    await house.door("hood", open=False, locked=True)
    await house.settle()
    assert house.fcm.titles("owners")[-1] == house.fcm.titles("sharers")[-1] == "Your car is closed"
    assert len(house.fcm.shown) == 4
    assert house.fcm.shown[-1][1].collapse in {shown.collapse for _, shown in house.fcm.shown[:2]}
    assert (await count(house, conditions), await count(house, reminders)) == (0, 0)


async def test_a_vehicle_that_is_locked_in_time_is_told_to_nobody(house: NotificationHarness) -> None:
    await house.phone(OWNER, "phone")
    await house.door("driver", open=False, locked=False)
    await house.later(minutes=9)
    await house.door("driver", open=False, locked=True)
    await house.later(hours=1)
    await house.door("driver", open=False, locked=False)
    await house.later(minutes=9)
    assert house.fcm.shown == []
    await house.later(minutes=1)
    assert house.fcm.titles("phone") == ["Your car is not locked"]


async def test_what_comes_out_of_order_and_what_is_not_known_any_more(house: NotificationHarness) -> None:
    await house.phone(OWNER, "phone")
    await house.door("driver", open=False, locked=False)
    old = house.clock.at
    house.clock.advance(60)
    await house.door("driver", open=False, locked=True)
    house.clock.at = old
    await house.door("driver", open=False, locked=False)  # from before it was locked
    await house.later(minutes=30)
    assert house.fcm.shown == []

    await house.door("driver", open=True, locked=False)
    await house.alert("UPDATES_COALESCED", "status")
    await house.later(minutes=30)
    assert house.fcm.shown == []


async def test_an_ignored_place_holds_until_the_vehicle_drives_off(house: NotificationHarness) -> None:
    await house.phone(OWNER, "phone")
    home = IgnoredPlace("Home", VIN)
    await house.devices.set_preferences(OWNER, Preferences(places=(home,)))
    await house.door("driver", open=False, locked=False)
    await house.later(hours=1)
    assert house.fcm.shown == []
    assert (await house.devices.preferences(OWNER)).places == (home,)

    await house.door("driver", open=False, locked=True, cause=3)  # SPEED_LOCK
    assert (await house.devices.preferences(OWNER)).places == ()
    await house.door("driver", open=False, locked=False)
    await house.later(minutes=10)
    assert house.fcm.titles("phone") == ["Your car is not locked"]

    until = house.clock.now() + timedelta(hours=1)
    await house.devices.set_preferences(OWNER, Preferences(places=(IgnoredPlace("Garage", VIN, until),)))
    await house.door("trunk", open=True, locked=True)
    await house.later(minutes=59)
    assert len(house.fcm.shown) == 1
    await house.later(minutes=2)
    assert house.fcm.titles("phone")[-1] == "Your car stands open"


async def test_reminders_ask_who_may_read_the_status_now(house: NotificationHarness) -> None:
    await house.phone(SHARER, "phone")
    await house.door("driver", open=True, locked=False)
    house.people.away = True
    await house.later(minutes=10)
    house.people.away = False
    house.people.end(SHARER)
    await house.later(minutes=1)
    assert house.fcm.shown == []


async def test_a_token_that_somebody_else_registers_moves_in_silence(house: NotificationHarness) -> None:
    await house.phone(OWNER, "same")
    house.fcm.says["same"] = PushResult(PushOutcome.LATER)
    await house.command("cmd-1", "SUCCESS")
    await house.settle()
    house.fcm.says.clear()
    await house.phone(SHARER, "same")
    await house.later(minutes=1)
    assert house.fcm.shown == []
    assert await house.devices.listed(OWNER) == []
    assert await count(house, devices) == 1


async def test_registering_again_changes_nothing_but_when(house: NotificationHarness) -> None:
    await house.phone(OWNER, "token", device_id="phone")
    (first,) = await house.devices.listed(OWNER)
    house.clock.advance(60)
    await house.phone(OWNER, "token", device_id="phone")
    (again,) = await house.devices.listed(OWNER)
    assert (again.push, again.registered_at) == (first.push, first.registered_at)
    assert again.confirmed_at == first.confirmed_at + timedelta(seconds=60)
    await house.phone(OWNER, "token", device_id="renamed")
    assert [each.device_id for each in await house.devices.listed(OWNER)] == ["renamed"]


async def test_other_devices_are_told_of_a_new_one(house: NotificationHarness) -> None:
    await house.phone(OWNER, "old")
    await house.phone(OWNER, "new", PushKind.APNS)
    await house.phone(OWNER, "new", PushKind.APNS)
    await house.settle()
    assert house.fcm.titles("old") == ["A new device gets notifications"]
    assert house.apns.shown == []


async def test_nobody_has_more_devices_than_one_may(house: NotificationHarness) -> None:
    async def register(number: int) -> bool:
        device = CheckedDevice(f"phone-{number}", PushKind.FCM, f"token-{number}", b"", b"", "")
        try:
            await house.devices.register(OWNER, device, 3, house.clock.now())
        except TooManyDevicesError:
            return False
        return True

    done = await asyncio.gather(*(register(number) for number in range(8)))
    assert sum(done) == len(await house.devices.listed(OWNER)) == 3
    await house.devices.delete(OWNER, (await house.devices.listed(OWNER))[0].device_id)
    assert await register(9)


async def test_what_was_kept_for_somebody_goes_with_their_access(house: NotificationHarness) -> None:
    for person in (OWNER, SHARER):
        await house.phone(person, person)
        await house.devices.set_preferences(person, Preferences(places=(IgnoredPlace("Home", VIN),)))
    await house.notices.access_ended(VIN, SHARER, everybody_else=False)
    assert (await house.devices.preferences(SHARER)).places == ()
    assert (await house.devices.preferences(OWNER)).places != ()
    await house.notices.access_ended(VIN, SHARER, everybody_else=True)
    assert await count(house, places) == 0
    assert await count(house, devices) == 2


async def test_a_store_that_is_away_loses_nothing(
    house: NotificationHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.phone(OWNER, "phone")
    await house.command("cmd-1", "SUCCESS")
    while await house.addressing.step():
        pass

    async def away(_push: object) -> None:
        raise StorageUnavailableError("away")

    with monkeypatch.context() as patched:
        patched.setattr(house.notices, "sent", away)
        await house.sending.step()
        await house.sending.finish()
        with pytest.raises(StorageUnavailableError):
            await house.sending.step()
    await house.later(minutes=1)
    first, second = house.fcm.shown
    assert first[1].id == second[1].id  # sent twice, shown once


async def test_a_person_is_handed_what_is_kept_of_them_and_erased(house: NotificationHarness) -> None:
    for person in (OWNER, SHARER):
        await house.phone(person, f"token-of-{person}", device_id="phone")
        await house.devices.set_preferences(person, Preferences(places=(IgnoredPlace("Home", OTHER_VIN),)))
    house.fcm.says[f"token-of-{OWNER}"] = PushResult(PushOutcome.LATER)
    await house.door("trunk", open=True, locked=True)
    await house.later(minutes=10)
    lines = kept_tables(timedelta(days=30), timedelta(days=270))

    async def scrubbed() -> None:
        """There is no file to look at here."""

    data = SubjectData(house.database, lines, holds, scrubbed)
    rows = [row async for row in data.rows(OWNER)]
    assert {table for table, _ in rows} == {
        "push_device",
        "preference",
        "ignored_place",
        "notice",
        "push",
        "reminder",
    }
    assert "token-of" not in "".join(row for _, row in rows)
    done = await data.erase(OWNER, "er-1")
    assert done.rows.keys() == {table for table, _ in rows}
    assert [row async for row in data.rows(OWNER)] == []
    assert len([row async for row in data.rows(SHARER)]) > 3
    await house.later(hours=1)
    assert house.fcm.titles(f"token-of-{OWNER}") == []


async def test_what_is_over_is_deleted(house: NotificationHarness) -> None:
    await house.phone(OWNER, "phone")
    await house.command("cmd-1", "SUCCESS")
    house.fcm.says["phone"] = PushResult(PushOutcome.LATER)
    await house.settle()
    lines = kept_tables(timedelta(days=30), timedelta(days=270))
    retention = Retention(house.database, lines, holds, house.clock.now)
    await retention.run_once()
    assert (await count(house, notices), await count(house, pushes)) == (1, 1)
    house.clock.advance(timedelta(minutes=11).total_seconds())
    await retention.run_once()
    assert (await count(house, notices), await count(house, pushes)) == (1, 0)
    house.clock.advance(timedelta(days=8).total_seconds())
    await retention.run_once()
    assert (await count(house, notices), await count(house, devices)) == (0, 1)
    house.clock.advance(timedelta(days=270).total_seconds())
    await retention.run_once()
    assert await count(house, devices) == 0

"""What can wait: quiet hours, what is turned off, and vehicles that are left open or unlocked, on both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import func, select

from services.notification.adapters.store.tables import (
    conditions,
    reminders,
)
from services.notification.domain.notices import NoticeKind
from services.notification.domain.preferences import IgnoredPlace, Preferences, QuietHours
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


@pytest.fixture
async def house(database_url: str) -> AsyncIterator[NotificationHarness]:
    async with notification_harness(database_url) as harness:
        yield harness


async def count(house: NotificationHarness, table: Table) -> int:
    query = select(func.count()).select_from(table)
    return await house.database.read(lambda connection: connection.execute(query).scalar_one())


async def test_quiet_hours_hold_back_what_can_wait(house: NotificationHarness) -> None:
    await house.phone(OWNER, "phone")
    quiet = QuietHours(22 * 60, 7 * 60)
    await house.devices.set_preferences(
        OWNER, Preferences(quiet=quiet, time_zone="Asia/Seoul"), house.clock.now()
    )
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
    await house.devices.set_preferences(OWNER, Preferences(off=off, language="ko"), house.clock.now())
    await house.command("cmd-1", "SUCCESS")
    await house.alert("B1A05", "diagnostics")
    await house.alert("ACCESS_BEGUN", "access")
    await house.settle()
    assert house.fcm.titles("phone") == ["차량 접근 권한"]


async def test_a_vehicle_left_open_is_told_after_the_time_that_each_wants(house: NotificationHarness) -> None:
    await house.phone(OWNER, "owners")
    await house.phone(SHARER, "sharers")
    await house.phone(VALET, "valets")
    await house.devices.set_preferences(SHARER, Preferences(reminder_minutes=2), house.clock.now())
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
    await house.devices.set_preferences(OWNER, Preferences(places=(home,)), house.clock.now())
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
    await house.devices.set_preferences(
        OWNER, Preferences(places=(IgnoredPlace("Garage", VIN, until),)), house.clock.now()
    )
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

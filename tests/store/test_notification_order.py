"""What takes the place of what: whatever is held back, sent again or comes late, the last that a device shows is so."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from ecarus.remotecontrol.access.v1 import grant_pb2
from ecarus.remotecontrol.door.v1 import door_update_pb2
from sqlalchemy import func, select

from protocol.subjects import ACCESS_CHANGED_SUBJECT
from services.notification.adapters.kept import kept_tables
from services.notification.adapters.store.tables import holds, shown
from services.notification.adapters.update_link import AccessChangeHandler
from services.notification.domain.messages import PushOutcome, PushResult
from services.notification.domain.preferences import IgnoredPlace, Preferences, QuietHours
from services.platform.consumer import Delivery
from services.platform.retention import Retention
from services.platform.times import set_time
from tests.support.notification_harness import (
    OWNER,
    SHARER,
    VIN,
    NotificationHarness,
    notification_harness,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

FAULT, RESOLVED = "Fault: trunk", "Resolved"
AT_HOME = Preferences(places=(IgnoredPlace("Home", VIN),))
TYPES = door_update_pb2.DoorUpdateType.Value
LATER = PushResult(PushOutcome.LATER, 60.0, "UNAVAILABLE")


@pytest.fixture
async def house(database_url: str) -> AsyncIterator[NotificationHarness]:
    async with notification_harness(database_url) as harness:
        yield harness


async def fault(house: NotificationHarness, *, cleared: bool = False) -> None:
    await house.alert("B1A05", "diagnostics", component_id="trunk_actuator_01", cleared=cleared)


async def shown_now(house: NotificationHarness) -> int:
    query = select(func.count()).select_from(shown)
    return await house.database.read(lambda connection: connection.execute(query).scalar_one())


async def test_a_fault_that_waits_to_be_sent_again_gives_way_to_its_end(house: NotificationHarness) -> None:
    await house.phone(OWNER, "phone")
    house.fcm.says["phone"] = LATER
    await fault(house)
    await house.settle()
    house.fcm.says.clear()
    await house.later(seconds=5)
    await fault(house, cleared=True)
    await house.settle()
    await house.later(minutes=2)
    # The push service may have shown it, whatever it answered: its end is told.
    assert house.fcm.titles("phone") == [RESOLVED]


async def test_a_timeout_that_waits_gives_way_to_the_late_answer(house: NotificationHarness) -> None:
    await house.phone(OWNER, "phone")
    house.fcm.says["phone"] = LATER
    await house.command("cmd-1", "TIMEOUT", may_have_succeeded=True)
    await house.settle()
    house.fcm.says.clear()
    await house.command("cmd-1", "TIMEOUT", late=True, door_results=[{"door_id": "trunk", "success": True}])
    await house.settle()
    await house.later(minutes=2)
    assert house.fcm.titles("phone") == ["Your car has answered"]


async def test_what_is_taken_to_be_sent_gives_way_too(house: NotificationHarness) -> None:
    """Its replica looks once more before it sends, and neither keeps it nor takes it for shown afterwards."""
    await house.phone(OWNER, "phone")
    await fault(house)
    while await house.addressing.step():
        pass
    holds_on, asked = asyncio.Event(), asyncio.Event()
    of_vehicle = house.people.of_vehicle

    async def slowly(vin: str, also: str = "") -> object:
        if not asked.is_set():
            asked.set()
            await holds_on.wait()
        return await of_vehicle(vin, also)

    house.people.of_vehicle = slowly  # type: ignore[method-assign,assignment]
    await house.sending.step()
    await asyncio.wait_for(asked.wait(), 30)
    house.clock.advance(1)
    await fault(house, cleared=True)
    while await house.addressing.step():
        pass
    holds_on.set()
    await house.sending.step()
    await house.sending.finish()
    assert house.fcm.titles("phone") == [RESOLVED]
    assert await shown_now(house) == 0


async def test_what_is_addressed_late_is_told_to_nobody(house: NotificationHarness) -> None:
    await house.phone(OWNER, "phone")
    house.people.away = True
    await fault(house)
    await house.settle()  # put off for a second
    house.people.away = False
    house.clock.advance(0.5)
    await fault(house, cleared=True)
    await house.settle()
    await house.later(minutes=1)
    assert house.fcm.titles("phone") == [RESOLVED]


async def test_what_is_shown_ends_whatever_was_held_back_meanwhile(house: NotificationHarness) -> None:
    await house.phone(OWNER, "phone")
    quiet = QuietHours(22 * 60, 7 * 60)
    await house.devices.set_preferences(OWNER, Preferences(quiet=quiet, time_zone="UTC"), house.clock.now())
    house.clock.at = datetime(2027, 1, 15, 21, 30, tzinfo=UTC)
    await fault(house)
    await house.settle()
    assert house.fcm.titles("phone") == [FAULT]
    for minutes, cleared in ((60, True), (15, False), (15, True)):
        house.clock.advance(minutes * 60)
        await fault(house, cleared=cleared)
        await house.settle()
    assert house.fcm.titles("phone") == [FAULT]
    await house.later(hours=10)
    assert house.fcm.titles("phone") == [FAULT, RESOLVED]
    assert await shown_now(house) == 0

    # From here on nothing is shown: what comes and goes while it is held back is told to nobody.
    house.clock.at = datetime(2027, 1, 16, 23, 0, tzinfo=UTC)
    for cleared in (False, True, False, True):
        await fault(house, cleared=cleared)
        await house.settle()
        house.clock.advance(60)
    await house.later(hours=10)
    assert house.fcm.titles("phone") == [FAULT, RESOLVED]


async def test_what_a_device_shows_is_forgotten_with_it_and_in_time(house: NotificationHarness) -> None:
    lines = kept_tables(timedelta(days=30), timedelta(days=270))
    retention = Retention(house.database, lines, holds, house.clock.now)
    await house.phone(OWNER, "phone")
    await fault(house)
    await house.settle()
    assert await shown_now(house) == 1
    await house.devices.delete(OWNER, "phone", house.clock.now())
    assert await shown_now(house) == 0

    await house.phone(OWNER, "phone")
    await fault(house)
    await house.settle()
    house.clock.advance(timedelta(days=89).total_seconds())
    await retention.run_once()
    assert await shown_now(house) == 1
    house.clock.advance(timedelta(days=2).total_seconds())
    await retention.run_once()
    assert await shown_now(house) == 0


async def test_what_is_heard_after_a_gap_is_followed(house: NotificationHarness) -> None:
    """A door's change in one batch with the word that more changed than is told one by one: each in its turn."""
    await house.phone(OWNER, "phone")
    await house.door("driver", locked=True, open=True)
    await house.later(minutes=11)
    house.fcm.shown.clear()
    gap = door_update_pb2.SystemAlert(
        code="UPDATES_COALESCED", severity=door_update_pb2.AlertSeverity.Value.INFO
    )
    opened = door_update_pb2.DoorStatusChange(door_id="trunk", open=True, locked=True)
    updates = [
        door_update_pb2.DoorUpdate(type=TYPES.SYSTEM_ALERT, system_alert=gap),
        door_update_pb2.DoorUpdate(type=TYPES.DOOR_STATUS_UPDATE, door_status=opened),
    ]
    batch = [house.delivery(update, "status") for update in updates]
    assert await house.handler.handle(batch) == []
    await house.later(minutes=11)
    (_, message) = house.fcm.shown[-1]
    assert (message.title, message.body.split(": ")[1]) == ("Your car stands open", "trunk.")
    # Nor does it take anything away when it comes again.
    assert await house.handler.handle(batch[:1]) == []
    await house.door("trunk", locked=True, open=False)
    await house.settle()
    assert house.fcm.titles("phone") == ["Your car stands open", "Your car is closed"]


async def test_driving_off_that_comes_again_ends_no_place_that_was_set_since(
    house: NotificationHarness,
) -> None:
    locked = door_update_pb2.DoorStatusChange(
        door_id="driver", locked=True, cause=door_update_pb2.LockChangeCause.Value.SPEED_LOCK
    )
    update = door_update_pb2.DoorUpdate(type=TYPES.DOOR_STATUS_UPDATE, door_status=locked)
    drives = house.delivery(update, "status")
    await house.devices.set_preferences(OWNER, AT_HOME, house.clock.now())
    await house.handler.handle([drives])
    assert (await house.devices.preferences(OWNER)).places == ()
    house.clock.advance(3_600)
    await house.devices.set_preferences(OWNER, AT_HOME, house.clock.now())
    await house.handler.handle([drives])
    assert (await house.devices.preferences(OWNER)) == AT_HOME
    # Nor does it where nothing is known of the door any more.
    await house.alert("UPDATES_COALESCED", "status")
    await house.handler.handle([drives])
    assert (await house.devices.preferences(OWNER)) == AT_HOME


@pytest.mark.parametrize("change", ["TRANSFERRED", "SEVERED"])
async def test_a_change_of_access_that_comes_late_takes_nothing_that_is_newer(
    house: NotificationHarness, change: str
) -> None:
    """The car was handed on twice: the first hand-over, come again, is none of the last owner's."""
    of = OWNER if change == "SEVERED" else SHARER
    told = grant_pb2.AccessChanged(
        change=grant_pb2.AccessChange.Value(f"ACCESS_CHANGE_{change}"), vin=VIN, principal=of
    )
    set_time(told.at, house.clock.now())
    late = Delivery(ACCESS_CHANGED_SUBJECT, told.SerializeToString(), {}, 1)
    access = AccessChangeHandler(house.notices, house.clock.now)

    async def live(token: str) -> None:
        await house.phone(OWNER, token)
        await house.devices.set_preferences(OWNER, AT_HOME, house.clock.now())
        house.fcm.says[token] = PushResult(PushOutcome.LATER)
        await house.alert("COMMAND_CONTRADICTED", "status")
        await house.settle()
        house.fcm.says.clear()

    await live("before")
    assert await access.handle([late]) == []
    assert (await house.devices.preferences(OWNER)).places == ()
    await house.later(minutes=1)
    assert house.fcm.shown == []

    await live("after")
    assert await access.handle([late]) == []
    assert (await house.devices.preferences(OWNER)) == AT_HOME
    await house.later(minutes=1)
    assert len(house.fcm.titles("after")) == 1

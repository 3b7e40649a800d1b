"""What takes the place of what: whatever is held back, sent again or comes late, the last that a device shows is so."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import func, select

from services.notification.adapters.kept import kept_tables
from services.notification.adapters.store.tables import holds, shown
from services.notification.domain.messages import PushOutcome, PushResult
from services.notification.domain.preferences import Preferences, QuietHours
from services.platform.retention import Retention
from tests.support.notification_harness import OWNER, NotificationHarness, notification_harness

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

FAULT, RESOLVED = "Fault: trunk", "Resolved"
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

    async def slowly(vin: str) -> object:
        if not asked.is_set():
            asked.set()
            await holds_on.wait()
        return await of_vehicle(vin)

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
    await house.devices.set_preferences(OWNER, Preferences(quiet=quiet, time_zone="UTC"))
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

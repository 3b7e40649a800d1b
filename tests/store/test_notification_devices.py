"""Whose devices they are, and what becomes of what is kept of their people, on both databases."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import func, select

from services.notification.adapters.kept import kept_tables
from services.notification.adapters.store.tables import (
    devices,
    former_devices,
    holds,
    notices,
    places,
    pushes,
)
from services.notification.domain.devices import CheckedDevice, TooManyDevicesError
from services.notification.domain.messages import PushKind, PushOutcome, PushResult
from services.notification.domain.preferences import IgnoredPlace, Preferences
from services.platform.retention import Retention
from services.platform.subject_data import SubjectData
from tests.support.notification_harness import (
    OWNER,
    SHARER,
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


async def test_a_device_that_is_replaced_or_removed_is_told_so(house: NotificationHarness) -> None:
    """Whoever takes over an account and all its devices at once does not do it in silence."""
    replaced, removed = "A device gets notifications elsewhere", "A device gets no more notifications"
    await house.phones(OWNER, "first", "second")
    await house.phone(OWNER, "thief-1", device_id="first")
    await house.phone(OWNER, "thief-2", device_id="second")
    await house.settle()
    assert replaced in house.fcm.titles("first")
    assert replaced in house.fcm.titles("second")
    assert replaced in house.fcm.titles("thief-1")
    assert {each.push.token for each in await house.devices.listed(OWNER)} == {"thief-1", "thief-2"}

    house.fcm.shown.clear()
    for name in ("first", "second"):
        await house.devices.delete(OWNER, name, house.clock.now())
    await house.devices.delete(OWNER, "no-device", house.clock.now())
    await house.phone(OWNER, "third")
    await house.settle()
    assert (house.fcm.titles("thief-1"), house.fcm.titles("thief-2")) == ([removed], [removed])
    assert house.fcm.titles("third") == []
    # It was told, and is nobody's any more: nothing else is sent there, and nothing of it is left.
    await house.command("cmd-1", "SUCCESS")
    await house.settle()
    # Each is told by itself, at the same time as the other: which comes first is nobody's promise.
    assert sorted(token for token, _ in house.fcm.shown if token != "third") == ["thief-1", "thief-2"]
    assert await count(house, former_devices) == 0


async def test_a_device_whose_keys_are_replaced_is_told_so(house: NotificationHarness) -> None:
    for auth in (b"1" * 16, b"1" * 16, b"2" * 16):
        device = CheckedDevice("phone", PushKind.FCM, "same", b"", auth, "")
        await house.devices.register(OWNER, device, 3, house.clock.now())
    await house.settle()
    assert house.fcm.titles("same") == ["A device gets notifications elsewhere"]


async def test_a_device_that_cannot_be_told_is_forgotten(house: NotificationHarness) -> None:
    await house.phone(OWNER, "dead")
    await house.phone(OWNER, "lent")
    house.fcm.says = {name: PushResult(PushOutcome.LATER) for name in ("dead", "lent")}
    for name in ("dead", "lent"):
        await house.devices.delete(OWNER, name, house.clock.now())
    await house.settle()
    assert await count(house, former_devices) == 2
    # The phone is somebody else's now, who learns nothing of who had it.
    await house.phone(SHARER, "lent")
    assert await count(house, former_devices) == 1
    lines = kept_tables(timedelta(days=30), timedelta(days=270))
    house.clock.advance(timedelta(days=1, seconds=1).total_seconds())
    await Retention(house.database, lines, holds, house.clock.now).run_once()
    assert await count(house, former_devices) == 0
    house.fcm.says.clear()
    await house.later(minutes=30)
    assert house.fcm.shown == []


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
    await house.devices.delete(OWNER, (await house.devices.listed(OWNER))[0].device_id, house.clock.now())
    assert await register(9)


async def test_what_was_kept_for_somebody_goes_with_their_access(house: NotificationHarness) -> None:
    for person in (OWNER, SHARER):
        await house.phone(person, person)
        await house.devices.set_preferences(
            person, Preferences(places=(IgnoredPlace("Home", VIN),)), house.clock.now()
        )
    await house.notices.access_ended(VIN, SHARER, house.clock.now(), everybody_else=False)
    assert (await house.devices.preferences(SHARER)).places == ()
    assert (await house.devices.preferences(OWNER)).places != ()
    await house.notices.access_ended(VIN, SHARER, house.clock.now(), everybody_else=True)
    assert await count(house, places) == 0
    assert await count(house, devices) == 2


async def test_a_person_is_handed_what_is_kept_of_them_and_erased(house: NotificationHarness) -> None:
    for person in (OWNER, SHARER):
        await house.phone(person, f"token-of-{person}", device_id="phone")
        await house.devices.set_preferences(
            person, Preferences(places=(IgnoredPlace("Home", OTHER_VIN),)), house.clock.now()
        )
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

"""Rows of a newer replica: a word that this version does not know stops nobody, on both databases."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import insert, select, update

from services.notification.adapters.store.tables import conditions, devices, preferences, standing_doors
from services.notification.domain.notices import NoticeKind
from services.notification.domain.preferences import Preferences
from tests.support.notification_harness import OWNER, SHARER, VIN, NotificationHarness, notification_harness

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy import Connection, Executable


@pytest.fixture
async def house(database_url: str) -> AsyncIterator[NotificationHarness]:
    async with notification_harness(database_url) as harness:
        yield harness


async def write(house: NotificationHarness, *statements: Executable) -> None:
    def work(connection: Connection) -> None:
        for statement in statements:
            connection.execute(statement)

    await house.database.write(work)


NEWER_WORDS = [
    {"off": "NEWER_KIND DIAGNOSTICS"},
    {"language": "xx"},
    {"time_zone": "Mars/Olympus", "quiet_begins": 0, "quiet_until": 1},
]


@pytest.mark.parametrize("newer", NEWER_WORDS, ids=["kind", "language", "zone"])
@pytest.mark.parametrize("is_addressed", [False, True], ids=["before", "after"])
async def test_what_one_person_wants_stops_nobody(
    house: NotificationHarness, newer: dict[str, Any], is_addressed: bool
) -> None:
    await house.phones(OWNER, "owners")
    await house.phones(SHARER, "sharers")
    change = update(preferences).where(preferences.c.person == OWNER).values(newer)
    if not is_addressed:
        await write(house, change)
    await house.alert("COMMAND_CONTRADICTED", "status")
    while await house.addressing.step():
        pass
    if is_addressed:
        await write(house, change)
    await house.settle()
    assert len(house.fcm.titles("sharers")) == 1
    assert house.fcm.titles("owners") == house.fcm.titles("sharers")


async def test_what_is_known_of_it_still_holds(house: NotificationHarness) -> None:
    await house.phones(OWNER, "owners")
    await write(house, update(preferences).values(NEWER_WORDS[0]))
    assert await house.devices.preferences(OWNER) == Preferences(off=frozenset({NoticeKind.DIAGNOSTICS}))
    await house.alert("B1A05", "diagnostics")
    await house.settle()
    assert house.fcm.shown == []


async def test_a_device_of_another_kind_stops_nobody(house: NotificationHarness) -> None:
    await house.phones(OWNER, "owners", "others")
    await house.alert("COMMAND_CONTRADICTED", "status")
    while await house.addressing.step():
        pass
    await write(house, update(devices).where(devices.c.token == "others").values(kind="PIGEON"))
    await house.settle()
    await house.command("cmd-1", "SUCCESS")
    await house.settle()
    assert len(house.fcm.titles("owners")) == 2
    assert house.fcm.titles("others") == []
    assert [each.push.token for each in await house.devices.listed(OWNER)] == ["owners"]


async def test_a_condition_that_is_not_known_stops_no_reminder(house: NotificationHarness) -> None:
    await house.phones(OWNER, "owners")
    await house.door("trunk", open=True, locked=True)
    row = {"vin": VIN, "condition": "LEFT_RUNNING", "since": house.clock.now()}
    await write(house, insert(conditions).values(**row, next_look_at=house.clock.now()))
    query = select(standing_doors.c.doors)
    text = await house.database.read(lambda connection: connection.execute(query).scalar_one())
    wider = {name: [*values, "newer"] for name, values in json.loads(text).items()}
    await write(house, update(standing_doors).values(doors=json.dumps(wider)))
    await house.later(minutes=11)
    assert house.fcm.titles("owners") == ["Your car stands open"]
    house.clock.advance(1)
    await house.door("trunk", open=False, locked=True)
    await house.settle()
    assert house.fcm.titles("owners")[-1] == "Your car is closed"

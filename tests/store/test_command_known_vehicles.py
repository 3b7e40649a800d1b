"""Who was ever heard of: told by the record once, and remembered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest_asyncio

from services.command.adapters.known_vehicles import SessionsKnown
from tests.support.command_store_harness import VIN, open_room

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy import Connection

    from tests.support.command_store_harness import CommandStoreHarness

OTHER, THIRD = "KMHSH81C7LU654321", "KMHSH81C7LU123458"


@pytest_asyncio.fixture
async def service(database_url: str) -> AsyncIterator[CommandStoreHarness]:
    async with open_room(database_url) as opened:
        yield opened


def greet(*vins: str):  # noqa: ANN201  # the work of a transaction
    """Return what keeps a session of each."""

    def work(connection: Connection) -> None:
        for vin in vins:
            connection.exec_driver_sql(f"INSERT INTO vehicle_session (vin, record) VALUES ('{vin}', '{{}}')")  # noqa: S608  # a test's own words

    return work


async def test_who_has_a_session_is_known_and_nobody_else(service: CommandStoreHarness) -> None:
    await service.database.write(greet(VIN))
    known = SessionsKnown(service.commands.vehicles_with_session, service.commands.has_session)
    await known.load()
    assert [await known.has(vin) for vin in (VIN, OTHER)] == [True, False]
    await service.database.write(greet(OTHER))  # at another replica
    assert await known.has(OTHER)


async def test_who_is_known_is_not_asked_about_again_and_no_more_are_remembered_than_that(
    service: CommandStoreHarness,
) -> None:
    asked: list[str] = []

    async def has_session(vin: str) -> bool:
        asked.append(vin)
        return await service.commands.has_session(vin)

    await service.database.write(greet(VIN, OTHER))
    known = SessionsKnown(service.commands.vehicles_with_session, has_session, limit=1)
    await known.load()
    remembered = (await service.commands.vehicles_with_session(1))[0]
    assert await known.has(remembered)
    assert not asked
    forgotten = OTHER if remembered == VIN else VIN
    assert await known.has(forgotten)
    assert await known.has(forgotten)
    assert asked == [forgotten]
    known.add(THIRD)
    assert await known.has(THIRD)
    assert asked == [forgotten]

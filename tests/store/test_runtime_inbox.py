"""What came in once, and what could not be understood, on both databases."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import MetaData, func, select

from services.runtime.database import Database, open_database
from services.runtime.inbox import DeadLetter, DeadLetters, Inbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from sqlalchemy import Connection

METADATA = MetaData()
INBOX = Inbox(METADATA)
DEAD_LETTERS = DeadLetters(METADATA)
START = datetime(2031, 1, 1, tzinfo=UTC)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = await open_database(database_url)
    await opened.write(METADATA.create_all)
    yield opened
    await opened.close()


async def test_the_inbox_recognises_a_second_delivery_until_it_forgets(database: Database) -> None:
    def take(at: datetime) -> Callable[[Connection], bool]:
        return lambda connection: INBOX.first_time(connection, "message-1", at)

    assert await database.write(take(START)) is True
    assert await database.write(take(START)) is False
    once = await asyncio.gather(
        *(database.write(lambda c: INBOX.first_time(c, "message-2", START)) for _ in range(8))
    )
    assert sorted(once) == [False] * 7 + [True]
    await database.write(lambda c: INBOX.forget(c, START + timedelta(seconds=1)))
    assert await database.write(take(START)) is True


async def test_anything_can_be_buried(database: Database) -> None:
    letters = [
        DeadLetter("vehicle.x.evt.hello", b"\x00\xff", "plain", START),
        DeadLetter("s" * 5_000, b"", "NUL \0, a lone \ud800, and much" + "x" * 100_000, START),
    ]
    await DEAD_LETTERS.bury(database, letters)
    await DEAD_LETTERS.bury(database, [])
    table = DEAD_LETTERS.table
    assert await database.read(lambda c: c.execute(select(func.count()).select_from(table)).scalar_one()) == 2
    reason = await database.read(
        lambda c: c.execute(select(table.c.reason).order_by(table.c.id.desc()).limit(1)).scalar_one()
    )
    assert reason.startswith("NUL \\0, a lone \\ud800")

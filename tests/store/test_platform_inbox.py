"""What came in once, and what could not be understood, on both databases."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import MetaData, false, func, select

from services.platform.database import Database, open_database
from services.platform.inbox import DeadLetter, DeadLetters, Inbox, KeptLetter
from services.platform.kept_data import purge
from services.platform.kept_tables import inbox_line
from services.telematics.senders import sender_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from sqlalchemy import Connection

METADATA = MetaData()
INBOX = Inbox(METADATA)
DEAD_LETTERS = DeadLetters(METADATA, sender_of)
START = datetime(2031, 1, 1, tzinfo=UTC)


@pytest.fixture
async def database(empty_database_url: str) -> AsyncIterator[Database]:
    opened = await open_database(empty_database_url)
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
    line = inbox_line(INBOX, timedelta(days=1), "a day")
    await database.write(lambda c: purge(c, line, START + timedelta(days=1, seconds=1), false()))
    assert await database.write(take(START)) is True


async def test_anything_can_be_buried(database: Database) -> None:
    letters = [
        DeadLetter("vehicle.x.evt.hello", b"\x00\xff", "plain", START),
        DeadLetter("s" * 5_000, b"", "NUL \0, a lone \ud800, and much" + "x" * 100_000, START),
    ]
    await DEAD_LETTERS.dead_letter(database, letters)
    await DEAD_LETTERS.dead_letter(database, [])
    table = DEAD_LETTERS.table
    assert await database.read(lambda c: c.execute(select(func.count()).select_from(table)).scalar_one()) == 2
    reason = await database.read(
        lambda c: c.execute(select(table.c.reason).order_by(table.c.id.desc()).limit(1)).scalar_one()
    )
    assert reason.startswith("NUL \\0, a lone \\ud800")


def letters(count: int) -> list[DeadLetter]:
    return [DeadLetter(f"room.{n}", b"\x00" * n, f"reason {n}", START) for n in range(1, count + 1)]


def ids(found: list[KeptLetter]) -> list[int]:
    return [letter.letter_id for letter in found]


async def test_the_newest_letters_come_first_and_the_older_ones_page_by_page(database: Database) -> None:
    assert await DEAD_LETTERS.newest(database, 10) == []
    await DEAD_LETTERS.dead_letter(database, letters(5))
    newest = await DEAD_LETTERS.newest(database, 2)
    assert newest == [
        KeptLetter(5, "room.5", "reason 5", START, 5, None),
        KeptLetter(4, "room.4", "reason 4", START, 4, None),
    ]
    assert ids(await DEAD_LETTERS.newest(database, 2, before=4)) == [3, 2]
    assert ids(await DEAD_LETTERS.newest(database, 2, before=1)) == []


async def test_a_letter_is_found_by_its_id_with_what_it_says(database: Database) -> None:
    await DEAD_LETTERS.dead_letter(database, letters(3))
    assert await DEAD_LETTERS.find(database, 3) == KeptLetter(3, "room.3", "reason 3", START, 3, None)
    assert await DEAD_LETTERS.payload(database, 3) == b"\x00\x00\x00"
    assert await DEAD_LETTERS.find(database, 4) is None


async def test_a_replayed_letter_stays_but_waits_no_more_and_keeps_its_first_time(database: Database) -> None:
    await DEAD_LETTERS.dead_letter(database, letters(4))
    assert ids(await DEAD_LETTERS.waiting(database, 10, after=0)) == [1, 2, 3, 4]
    times = await asyncio.gather(
        *(DEAD_LETTERS.mark_replayed(database, 2, START + timedelta(hours=n)) for n in range(1, 5))
    )
    assert len(set(times)) == 1
    assert await DEAD_LETTERS.mark_replayed(database, 2, START + timedelta(days=1)) == times[0]
    assert ids(await DEAD_LETTERS.waiting(database, 10, after=0)) == [1, 3, 4]
    assert ids(await DEAD_LETTERS.waiting(database, 1, after=1)) == [3]
    kept = await DEAD_LETTERS.find(database, 2)
    assert kept == KeptLetter(2, "room.2", "reason 2", START, 2, times[0])
    assert await DEAD_LETTERS.payload(database, 2) == b"\x00\x00"

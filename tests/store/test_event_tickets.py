"""Tickets as they are kept, on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select

import services.access
from services.access.adapters import store
from services.access.adapters.store.tables import tickets
from services.access.domain.accounts import Source, key_id_of
from services.access.domain.tickets import TICKET_SECONDS, EventTicketUnknownError, new_ticket
from services.platform.database import Database, open_database
from tests.support.databases import migrated

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MIGRATIONS = Path(services.access.__file__).with_name("migrations")
NOW = datetime(2026, 1, 12, 14, 30, tzinfo=UTC)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    await asyncio.to_thread(migrated, database_url, MIGRATIONS, store.HEAD)
    opened = await open_database(database_url)
    yield opened
    await opened.close()


async def test_a_ticket_is_good_once_and_only_what_was_given_is_one(database: Database) -> None:
    sessions, ticket = store.SqlSessions(database), new_ticket()
    await sessions.keep(ticket, "session-1", at=NOW)
    await sessions.keep(new_ticket(), "session-2", at=NOW)
    for wrong in ("", "x", "A" * 43, ticket[:-1], ticket + "A", "\u00e4" * 43):
        with pytest.raises(EventTicketUnknownError):
            await sessions.use(wrong, at=NOW)
    assert await sessions.use(ticket, at=NOW + timedelta(seconds=TICKET_SECONDS - 1)) == "session-1"
    with pytest.raises(EventTicketUnknownError):
        await sessions.use(ticket, at=NOW)


async def test_one_for_a_vehicle_s_stream_is_good_for_that_alone(database: Database) -> None:
    sessions, ticket, socket = store.SqlSessions(database), new_ticket(), new_ticket()
    await sessions.keep(ticket, "session-1", at=NOW, vin="KMHSH81C7LU123456")
    await sessions.keep(socket, "session-1", at=NOW)
    for which, vin in ((ticket, ""), (ticket, "KMHSH81C7LU123457"), (socket, "KMHSH81C7LU123456")):
        with pytest.raises(EventTicketUnknownError):
            await sessions.use(which, at=NOW, vin=vin)
    assert await sessions.use(ticket, at=NOW, vin="KMHSH81C7LU123456") == "session-1"
    assert await sessions.use(socket, at=NOW) == "session-1"


@pytest.mark.parametrize("vin", ["", "KMHSH81C7LU123456"])
async def test_of_many_that_use_one_at_once_one_gets_in(database: Database, vin: str) -> None:
    replicas, ticket = [store.SqlSessions(database) for _ in range(2)], new_ticket()
    await replicas[0].keep(ticket, "session-1", at=NOW, vin=vin)
    uses = [replicas[n % 2].use(ticket, at=NOW, vin=vin) for n in range(8)]
    found = await asyncio.gather(*uses, return_exceptions=True)
    assert [each for each in found if isinstance(each, str)] == ["session-1"]
    assert all(isinstance(each, EventTicketUnknownError) for each in found if not isinstance(each, str))


async def test_one_that_is_too_old_is_none_and_is_not_kept(database: Database) -> None:
    sessions, ticket = store.SqlSessions(database), new_ticket()
    await sessions.keep(ticket, "session-1", at=NOW)
    late = NOW + timedelta(seconds=TICKET_SECONDS)
    with pytest.raises(EventTicketUnknownError):
        await sessions.use(ticket, at=late)
    await sessions.keep(new_ticket(), "session-1", at=NOW)
    await sessions.keep(new_ticket(), "session-2", at=late)
    kept = await database.read(lambda c: c.execute(select(tickets.c.session, tickets.c.digest)).all())
    assert [row.session for row in kept] == ["session-2"]
    assert ticket.encode() not in bytes(kept[0].digest)


async def test_an_api_key_that_has_ended_is_withdrawn(database: Database) -> None:
    sessions = store.SqlSessions(database)
    digest = bytes(range(32))
    ends = NOW + timedelta(hours=1)
    await database.write(
        lambda c: store.add_key(c, digest, "user-1", Source.MOBILE_APP, NOW, expires_at=ends)
    )
    assert not await sessions.is_withdrawn(key_id_of(digest), at=NOW)
    assert await sessions.is_withdrawn(key_id_of(digest), at=ends)
    assert await sessions.is_withdrawn(key_id_of(bytes(32)), at=NOW)
    assert not await sessions.is_withdrawn("jwk_of-the-issuer", at=NOW)

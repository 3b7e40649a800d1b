"""What was dead-lettered before letters could be replayed is kept, and waits, on both databases."""

from __future__ import annotations

import asyncio
import importlib
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import insert

from services.platform.database import open_database
from services.platform.inbox import KeptLetter
from services.platform.migration import migrate
from tests.support.service_modules import adapter

AT = datetime(2031, 1, 1, tzinfo=UTC)
FIRST_REVISIONS = {
    "command": "0001_commands",
    "status": "0001_status",
    "config": "0001_config",
    "diagnostics": "0001_diagnostics",
}


@pytest.mark.parametrize("service", FIRST_REVISIONS)
async def test_the_letters_of_before_wait_to_be_replayed(empty_database_url: str, service: str) -> None:
    store = adapter(service, "store")
    revisions = Path(importlib.import_module(f"services.{service}").__file__ or "").with_name("migrations")
    old = {"subject": "a.b", "payload": b"\x00\xff", "reason": "no", "received_at": AT}
    await asyncio.to_thread(migrate, empty_database_url, revisions, FIRST_REVISIONS[service])
    database = await open_database(empty_database_url)
    try:
        await database.write(lambda c: c.execute(insert(store.dead_letters.table).values(**old)) and None)
    finally:
        await database.close()

    await asyncio.to_thread(migrate, empty_database_url, revisions, store.HEAD)

    database = await open_database(empty_database_url)
    try:
        waiting = await store.dead_letters.waiting(database, limit=10, after=0)
        assert waiting == [KeptLetter(1, "a.b", "no", AT, 2, None)]
        assert await store.dead_letters.payload(database, 1) == b"\x00\xff"
    finally:
        await database.close()

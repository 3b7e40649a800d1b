"""Abnormal cases and restrictions as they are kept, on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

import services.access
from services.access.adapters import store
from services.access.adapters.outbox_messages import AccessMessages
from services.access.adapters.store import abnormal
from services.access.adapters.store.tables import audit
from services.access.domain.abnormal import AbnormalKind, Consequence, Finding
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


@pytest.fixture
def record(database: Database) -> store.SqlAbnormalAccess:
    sent: list[Any] = []
    return store.SqlAbnormalAccess(database, AccessMessages(), sent.extend)


async def test_cases_are_counted_up_bounded_and_listed_by_weight(
    record: store.SqlAbnormalAccess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(abnormal, "_MOST_OF_NOBODY", 3)
    enumeration = Finding(AbnormalKind.VIN_ENUMERATION, "anna", "many", Consequence.RESTRICT)
    for n in range(2):
        await record.keep(enumeration, by="watch", at=NOW + timedelta(seconds=n))
    for n in range(10):
        failed = Finding(AbnormalKind.FAILED_SIGN_INS, "", f"many (192.0.2.{n // 2})", Consequence.ALERT)
        await record.keep(failed, by="watch", at=NOW + timedelta(seconds=10 + n))
    listed = [(case.finding.evidence, case.times) for case in await record.cases(open_only=True)]
    assert listed == [("many", 2), ("many (192.0.2.4)", 2), ("many (192.0.2.3)", 2), ("many (192.0.2.2)", 2)]


async def test_of_operators_at_once_one_lifts_a_restriction(
    database: Database, record: store.SqlAbnormalAccess
) -> None:
    await record.restrict("anna", "reported", by="carol", at=NOW)
    asked = (record.restore_as_second("anna", by=who, at=NOW) for who in ("alice", "bob", "dave"))
    await asyncio.gather(*asked)
    acts = await database.read(
        lambda c: list(c.execute(select(audit.c.act).order_by(audit.c.sequence)).scalars())
    )
    assert acts == ["ACCOUNT_RESTRICTED", "RESTORE_REQUESTED", "ACCOUNT_RESTORED"]

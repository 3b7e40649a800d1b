"""Pages of the ledger: what one costs does not grow with what is in it, and many refusals hide nothing."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

import services.audit
from services.audit.adapters.store import LedgerInspection, SqlLedger, SqlLedgerReading
from services.audit.domain.entries import AuditDecision
from services.audit.domain.reading import OWNER, AuditReader
from services.audit.usecases.reading import MOST_LOOKED_AT, list_audit
from services.platform.database import open_database
from tests.store.query_plans import Watch
from tests.support.audit_entries import HOUSE_KEY, T0, VIN, entry, migrated_audit
from tests.support.databases import migrated

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from services.platform.database import Database


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    await migrated_audit(database_url)
    database = await open_database(database_url)
    yield database
    await database.close()


def places(found: Any) -> list[int]:
    return [each.leaf_index for each in found]


async def test_one_unlock_is_found_under_more_refusals_than_are_looked_at(database: Database) -> None:
    ledger = SqlLedger(database, HOUSE_KEY, lambda: T0)
    refused = {"kind": "ACCESS_REFUSED", "decision": AuditDecision.REFUSED, "subject": "user-9", "actor": ""}
    await ledger.append([entry(1)])
    await ledger.append([entry(10 + n, **refused) for n in range(MOST_LOOKED_AT + 100)])
    reader = AuditReader("user-123", "user-123", OWNER, T0)
    page = await list_audit(
        SqlLedgerReading(database, HOUSE_KEY),
        reader,
        VIN,
        since=T0,
        before=None,
        limit=50,
        decision=AuditDecision.ALLOWED,
    )
    assert (places(page.entries), page.next_before) == ([0], None)


async def test_a_page_has_what_was_asked_for_and_no_other(database: Database) -> None:
    ledger, reading = SqlLedger(database, HOUSE_KEY, lambda: T0), SqlLedgerReading(database, HOUSE_KEY)
    await ledger.append([entry(n) for n in range(4)])
    await ledger.append([entry(4, subject="agent-7", actor=""), entry(5, vin="KMHSH81C7LU654321")])
    await ledger.append([entry(6, subject="user-9", actor="")])

    async def of_vehicle(**more: Any) -> list[int]:
        asked = {"before": None, "limit": 3, "since": None, "of_person": None, **more}
        return places(await reading.entries_of_vehicle(VIN, **asked))

    assert await of_vehicle() == [6, 4, 3]
    assert await of_vehicle(before=3) == [2, 1, 0]
    assert await of_vehicle(since=T0 + timedelta(seconds=4)) == [6, 4]
    assert await of_vehicle(of_person="agent-7") == [4, 3, 2]
    assert await of_vehicle(of_person="nobody") == []
    assert places(await reading.entries_of_person("agent-7", before=5, limit=2)) == [4, 3]
    assert places(await ledger.entries_of_person("user-123", limit=2)) == [5, 3]
    assert await ledger.destroy_key("user-123") == 1
    await ledger.append([entry(7, at=T0 + timedelta(days=2))])
    # Their entries under both keys, the newest first.
    assert places(await ledger.entries_of_person("user-123", limit=3)) == [7, 5, 3]


async def test_a_row_of_an_earlier_version_is_found_too(database: Database) -> None:
    ledger, reading = SqlLedger(database, HOUSE_KEY, lambda: T0), SqlLedgerReading(database, HOUSE_KEY)
    await ledger.append([entry(1), entry(2)])
    await database.write(
        lambda c: c.execute(text("UPDATE ledger_entry SET decision = NULL WHERE leaf_index = 0")) and None
    )
    asked: dict[str, Any] = {"before": None, "limit": 5, "since": None, "of_person": None}
    found = await reading.entries_of_vehicle(VIN, **asked, decision=AuditDecision.ALLOWED)
    assert places(found) == [1, 0]
    rows = await LedgerInspection(database, HOUSE_KEY).rows(0, 2)
    assert [row.problems for row in rows] == [(), ()]


async def test_a_decision_that_was_changed_is_found(database: Database) -> None:
    await SqlLedger(database, HOUSE_KEY, lambda: T0).append([entry(1)])
    await database.write(lambda c: c.execute(text("UPDATE ledger_entry SET decision = 'NONE'")) and None)
    [row] = await LedgerInspection(database, HOUSE_KEY).rows(0, 1)
    assert row.problems == ("its decision is not that of its leaf",)


async def test_rows_from_before_get_their_decision(database_url: str) -> None:
    """What is there of the version before: the same rows without the column."""
    revisions = Path(services.audit.__file__).with_name("migrations")
    await migrated_audit(database_url)
    database = await open_database(database_url)
    refused = entry(2, decision=AuditDecision.REFUSED)
    await SqlLedger(database, HOUSE_KEY, lambda: T0).append([entry(1), refused])
    await database.write(_taken_back)
    await database.close()
    await asyncio.to_thread(migrated, database_url, revisions, "0004_pages")
    database = await open_database(database_url)
    query = text("SELECT decision FROM ledger_entry ORDER BY leaf_index")
    found = await database.read(lambda c: list(c.execute(query).scalars()))
    await database.close()
    assert found == ["ALLOWED", "REFUSED"]


def _taken_back(connection: Any) -> None:
    for name in ("of_vehicle", "of_vehicle_decided", "of_subject", "of_actor", "of_vehicle_since"):
        connection.execute(text(f"DROP INDEX ledger_entry_{name}"))
    connection.execute(text("ALTER TABLE ledger_entry DROP COLUMN decision"))
    for column in ("vehicle", "subject", "actor"):
        connection.execute(text(f"CREATE INDEX ix_ledger_entry_{column} ON ledger_entry ({column})"))
    connection.execute(text("UPDATE alembic_version SET version_num = '0003_row_macs'"))


async def plans_of(database: Database, ran: dict[str, Any]) -> list[str]:
    """How SQLite looks for pages: a line for each step of each statement."""
    paging = {said: values for said, values in ran.items() if "LIMIT" in said}
    return await database.read(
        lambda c: [
            row[-1]
            for said, values in paging.items()
            for row in c.exec_driver_sql(f"EXPLAIN QUERY PLAN {said}", values)
        ]
    )


@pytest.fixture
async def ledger_on_sqlite(tmp_path: Path) -> AsyncIterator[Database]:
    url = f"sqlite:///{tmp_path}/ledger.sqlite3"
    await migrated_audit(url)
    database = await open_database(url)
    await SqlLedger(database, HOUSE_KEY, lambda: T0).append([entry(1)])
    yield database
    await database.close()


async def test_no_page_is_sorted_nor_walks_through_the_ledger(ledger_on_sqlite: Database) -> None:
    reading = SqlLedgerReading(ledger_on_sqlite, HOUSE_KEY)
    watch = Watch(ledger_on_sqlite._engine)  # type: ignore[attr-defined]  # SQLite's
    for person in (None, "user-123"):
        for decision in (None, AuditDecision.ALLOWED):
            await reading.entries_of_vehicle(
                VIN, before=9, limit=5, since=None, of_person=person, decision=decision
            )
    await reading.entries_of_person("user-123", before=None, limit=5)
    await SqlLedger(ledger_on_sqlite, HOUSE_KEY, lambda: T0).entries_of_person("user-123", before=5)
    plans = await plans_of(ledger_on_sqlite, watch.ran)
    assert len(plans) >= 8
    assert [plan for plan in plans if "SCAN" in plan or "TEMP B-TREE" in plan] == []


async def test_of_what_is_older_than_was_asked_for_nothing_is_looked_at(ledger_on_sqlite: Database) -> None:
    reading = SqlLedgerReading(ledger_on_sqlite, HOUSE_KEY)
    watch = Watch(ledger_on_sqlite._engine)  # type: ignore[attr-defined]  # SQLite's
    for person in (None, "user-123"):
        for decision in (None, AuditDecision.ALLOWED):
            await reading.entries_of_vehicle(
                VIN, before=9, limit=5, since=T0, of_person=person, decision=decision
            )
    plans = [
        plan for plan in await plans_of(ledger_on_sqlite, watch.ran) if "TEMP B-TREE FOR ORDER BY" not in plan
    ]
    by_time = "COVERING INDEX ledger_entry_of_vehicle_since (vehicle=? AND at>?)"
    assert len(plans) >= 7
    assert [plan for plan in plans if by_time not in plan] == []

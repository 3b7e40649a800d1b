"""What the tables say of a leaf, where somebody changed them, a key is lost, or a person is forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from services.audit.adapters.sealing import HouseKey
from services.audit.adapters.store import LedgerInspection, SqlLedger
from tests.support.audit_entries import HOUSE_KEY, entry
from tests.support.audit_log import AuditLog, opened_log

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def log(database_url: str, tmp_path: Path) -> AsyncIterator[AuditLog]:
    async with opened_log(database_url, tmp_path) as log:
        await log.ledger.append([entry(1), entry(2, subject="user-9", actor=""), entry(3)])
        yield log


async def problems(log: AuditLog) -> dict[int, tuple[str, ...]]:
    rows = await LedgerInspection(log.database, HOUSE_KEY).rows(0, 10)
    return {row.leaf_index: row.problems for row in rows if row.problems}


async def change(log: AuditLog, statement: str, **values: object) -> None:
    await log.database.write(lambda c: c.execute(text(statement), values) and None)


async def test_rows_agree_with_their_leaves(log: AuditLog) -> None:
    assert await problems(log) == {}
    await log.ledger.destroy_key("user-123")
    assert await problems(log) == {}


@pytest.mark.parametrize(
    "column", ["vehicle", "command", "entry_key", "content_mac", "subject_sealed", "row_mac"]
)
async def test_a_row_that_was_changed_is_found_also_of_a_person_who_was_forgotten(
    log: AuditLog, column: str
) -> None:
    await log.ledger.destroy_key("user-123")
    await change(log, f"UPDATE ledger_entry SET {column} = :new WHERE leaf_index = 0", new=b"x" * 32)  # noqa: S608
    assert (await problems(log)).keys() == {0}


async def test_a_key_that_is_lost_is_said_and_the_rest_goes_on(log: AuditLog) -> None:
    theirs = "(SELECT subject FROM ledger_entry WHERE leaf_index = 1)"
    await change(log, f"UPDATE person_key SET wrapped = :new WHERE key_id = {theirs}", new=b"x" * 60)  # noqa: S608
    entries = await log.ledger.entries_from(0, 10)
    assert [(each.lost, each.erased) for each in entries] == [
        (frozenset(), frozenset()),
        ({"subject", "actor"}, frozenset()),
        (frozenset(), frozenset()),
    ]
    assert await problems(log) == {}
    await log.ledger.append([entry(4, subject="user-9")])  # who comes again has another key
    [new] = await log.ledger.entries_from(3, 1)
    assert new.value("subject") == "user-9"
    await log.sequencer.step()
    assert log.failing() == {}


async def test_a_forgetting_that_never_was_is_no_forgetting(log: AuditLog) -> None:
    """Whoever has the database alone takes a key away and says that it was destroyed."""
    await change(log, "UPDATE person_key SET wrapped = NULL, destroyed_at = made_at")
    entries = await log.ledger.entries_from(0, 10)
    assert [(each.lost, each.erased) for each in entries] == [({"subject", "actor"}, frozenset())] * 3


async def test_under_another_house_key_everything_is_lost_and_new_entries_are_taken(log: AuditLog) -> None:
    other = SqlLedger(log.database, HouseKey(b"o" * 32), lambda: entry(1).at)
    await other.append([entry(5)])
    entries = await other.entries_from(0, 10)
    assert [bool(each.lost) for each in entries] == [True, True, True, False]

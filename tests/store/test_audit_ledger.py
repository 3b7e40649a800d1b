"""The ledger's database: places without gaps, nothing of a person in clear, and what a destroyed key leaves."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from services.audit.adapters.store import SqlLedger, SqlLedgerReading
from services.audit.domain.entries import RejectedFor
from services.platform.database import open_database
from tests.support.audit_entries import HOUSE_KEY, T0, VIN, entry, migrated_audit, opened_ledger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[SqlLedger]:
    async with opened_ledger(database_url) as ledger:
        yield ledger


@pytest.fixture
async def reading(ledger: SqlLedger, database_url: str) -> AsyncIterator[SqlLedgerReading]:  # noqa: ARG001  # it is made
    database = await open_database(database_url)
    yield SqlLedgerReading(database, HOUSE_KEY)
    await database.close()


async def test_replicas_take_turns_and_leave_no_gap(database_url: str) -> None:
    await migrated_audit(database_url)
    databases = [await open_database(database_url) for _ in range(2)]
    try:
        ledgers = [SqlLedger(each, HOUSE_KEY, lambda: T0) for each in databases]
        batches = [[entry(10 * batch + each) for each in range(10)] for batch in range(12)]
        again = [*batches[:4]]
        await asyncio.gather(
            *(ledgers[number % 2].append(batch) for number, batch in enumerate([*batches, *again]))
        )
        entries = await ledgers[0].entries_from(0, 1_000)
    finally:
        for each in databases:
            await each.close()
    assert [each.leaf_index for each in entries] == list(range(120))
    assert {each.value("entry_id") for each in entries} == {f"command-{n}" for n in range(120)}


async def test_a_leaf_commits_to_each_member_and_shows_none(ledger: SqlLedger) -> None:
    await ledger.append([entry(1)])
    [found] = await ledger.entries_from(0, 10)
    assert found.members.keys() == set(found.leaf.commitments) == set(entry(1).members())
    assert all(found.leaf.holds(each) for each in found.members.values())
    assert {name: each.value for name, each in found.members.items()} == entry(1).members()
    data = found.leaf.encode()
    assert not any(value.encode() in data for value in entry(1).members().values())


async def test_the_same_person_twice_cannot_be_seen_in_the_leaves(ledger: SqlLedger) -> None:
    await ledger.append([entry(1), entry(2)])
    one, other = await ledger.entries_from(0, 10)
    assert not set(one.leaf.commitments.values()) & set(other.leaf.commitments.values())


async def test_another_content_under_an_id_is_rejected_alone(ledger: SqlLedger) -> None:
    await ledger.append([entry(1)])
    changed = entry(1, rule="SHARED")
    rejected, size = await ledger.append([entry(2), changed, entry(3), entry(3, subject="user-456")])
    assert [(each.entry_id, each.reason) for each in rejected] == [
        ("command-1", RejectedFor.ID_REUSED),
        ("command-3", RejectedFor.ID_REUSED),
    ]
    assert size == 3


async def test_what_is_found_by_vehicle_person_and_command(
    ledger: SqlLedger, reading: SqlLedgerReading
) -> None:
    other = "KMHSH81C7LU654321"
    await ledger.append(
        [entry(1), entry(2, vin=other), entry(3, actor=""), entry(4, subject="user-9", command_id="cmd-1")]
    )

    def numbers(found: list[object]) -> list[int]:
        return [each.leaf_index for each in found]  # type: ignore[attr-defined]  # entries

    async def of_vehicle(vin: str, before: int | None = None, limit: int = 100) -> list[int]:
        asked: dict[str, Any] = {"since": None, "of_person": None}
        return numbers([*await reading.entries_of_vehicle(vin, before=before, limit=limit, **asked)])

    async def of_person(principal: str) -> list[int]:
        return numbers([*await reading.entries_of_person(principal, before=None, limit=100)])

    assert await of_vehicle(VIN) == [3, 2, 0]
    assert await of_vehicle(VIN, before=3, limit=1) == [2]
    assert await of_vehicle(other) == [1]
    assert await of_person("user-123") == [2, 1, 0]
    assert await of_person("agent-7") == [3, 1, 0]
    assert await of_person("nobody") == []
    assert numbers([*await reading.entries_of_command("cmd-1")]) == [0, 3]
    assert await ledger.entry(4) is None


async def test_a_destroyed_key_takes_what_was_sealed_and_leaves_the_leaves(ledger: SqlLedger) -> None:
    await ledger.append([entry(1), entry(2, subject="user-456")])
    before = [each.leaf.encode() for each in await ledger.entries_from(0, 10)]
    assert await ledger.destroy_key("user-123") == 1
    assert await ledger.destroy_key("user-123") == 0
    mine, others = await ledger.entries_from(0, 10)
    assert [each.leaf.encode() for each in (mine, others)] == before
    assert mine.erased == {"subject"}
    assert mine.members.keys() == {"actor"}
    assert others.value("subject") == "user-456"
    assert others.erased == frozenset()


async def test_what_comes_late_about_a_forgotten_person_is_forgotten_too(ledger: SqlLedger) -> None:
    """The clock of these tests is a day after the entries: the key is destroyed after they were decided."""
    await ledger.append([entry(1)])
    await ledger.destroy_key("user-123")
    later = entry(4, at=T0 + timedelta(days=2))
    again = [entry(1), entry(1, rule="nobody can tell any more"), entry(3), later]
    assert await ledger.append(again) == ([], 3)
    _, late, new = await ledger.entries_from(0, 10)
    assert (late.erased, late.members.keys()) == ({"subject"}, {"actor"})
    assert new.value("subject") == "user-123"


async def test_the_houses_own_key_is_nobodys_to_destroy(ledger: SqlLedger) -> None:
    await ledger.append([entry(1, subject="", actor="")])
    with pytest.raises(ValueError, match="no person"):
        await ledger.destroy_key("")
    [found] = await ledger.entries_from(0, 10)
    assert found.value("vin") == VIN


async def test_no_column_holds_a_word_of_an_entry(ledger: SqlLedger, database_url: str) -> None:
    words = [value for value in entry(1).members().values() if len(value) > 4]
    await ledger.append([entry(1)])
    database = await open_database(database_url)
    try:
        for table in ("ledger_entry", "person_key"):
            [row] = (await database.read(lambda c, t=table: c.execute(text(f"SELECT * FROM {t}")).all()))[:1]  # noqa: S608
            held = b"".join(each if isinstance(each, bytes) else str(each).encode() for each in row)
            assert not [word for word in words if word.encode() in held]
    finally:
        await database.close()

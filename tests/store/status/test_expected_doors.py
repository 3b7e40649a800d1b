"""What commands let expect of the next report, and when a doubt is a contradiction."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from ecarus.remotecontrol.door.v1.door_update_pb2 import DoorUpdate
from sqlalchemy import select

from services.platform.database import open_database
from services.platform.migration import migrate
from services.status.adapters import store, translate
from services.status.adapters.update_budget import BURST, BudgetedMessages
from services.status.domain.doors import LOCKED, LONGEST_WAIT_MICROSECONDS, PRESENT
from services.status.domain.judgement import ReportedActuation
from tests.store.query_plans import Watch, walks

if TYPE_CHECKING:
    from pathlib import Path

from tests.store.status.conftest import MIGRATIONS, NOW_US, VIN, outbox_rows, report, take_result

OTHER = "KMHSH81C7LU654321"


def moved(
    command_id: str, sequence: int, *, locked: bool = False, after: int | None = None
) -> ReportedActuation:
    """The driver's door was moved by a command that began `after` this report; None: it does not say."""
    expected_locks = bytes([PRESENT | LOCKED if locked else PRESENT, 0, 0, 0, 0, 0])
    return ReportedActuation(command_id, after, report(sequence, 0, locked=locked), expected_locks)


async def states(records: store.StatusStore) -> dict[str, str]:
    table = store.expectations.table
    rows = await records._database.read(lambda c: c.execute(select(table)).all())
    return {row.command_id: row.state for row in rows}


async def told(records: store.StatusStore) -> list[str]:
    return [
        row.subject for row in await outbox_rows(records) if row.message_id.startswith(("verdict", "contra"))
    ]


async def test_a_kept_word_is_told_with_the_report_that_keeps_it(records: store.StatusStore) -> None:
    await take_result(records, moved("c1", 2))
    assert await states(records) == {"c1": "OPEN"}
    await records.take_reports([report(3, locked=False), report(4)], [], NOW_US)
    assert await states(records) == {"c1": "CONFIRMED"}
    assert await told(records) == ["room.status.verdicts"]
    await records.take_reports([report(5)], [], NOW_US)
    await take_result(records, moved("c1", 2))
    assert await states(records) == {"c1": "CONFIRMED"}
    assert len(await told(records)) == 1


async def test_a_doubt_that_nothing_explains_is_a_contradiction_told_once(records: store.StatusStore) -> None:
    await take_result(records, moved("c1", 2))
    await records.take_reports([report(3)], [], NOW_US)
    assert await states(records) == {"c1": "DOUBTED"}
    assert await records.resolve(NOW_US, NOW_US) == 0  # not yet
    assert await told(records) == []
    resolved = await asyncio.gather(*(records.resolve(NOW_US + 1, NOW_US + 1) for _ in range(3)))
    assert sorted(resolved) == [0, 0, 1]
    assert await states(records) == {"c1": "CONTRADICTED"}
    assert await told(records) == ["room.status.verdicts", f"door.update.{VIN}"]


@pytest.mark.parametrize("after", [None, 2])
async def test_another_commands_result_explains_a_doubt(
    records: store.StatusStore, after: int | None
) -> None:
    await take_result(records, moved("c1", 2))
    await records.take_reports([report(3)], [], NOW_US)  # in the middle of the next command
    await take_result(records, moved("c2", 4, locked=True, after=after))
    await records.take_reports([report(5)], [], NOW_US)
    assert await states(records) == {"c1": "MOOT", "c2": "CONFIRMED"}
    assert await records.resolve(NOW_US + 1, NOW_US + 1) == 0


async def test_a_command_that_began_later_explains_nothing(records: store.StatusStore) -> None:
    await take_result(records, moved("c1", 2))
    await records.take_reports([report(3)], [], NOW_US)
    await take_result(records, moved("c2", 4, after=3))
    assert await states(records) == {"c1": "DOUBTED", "c2": "OPEN"}


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("after", [None, 2])
async def test_two_commands_in_a_row_are_not_held_against_each_other(
    records: store.StatusStore, after: int | None, *, swapped: bool
) -> None:
    results = [moved("c1", 2), moved("c2", 4, locked=True, after=after)]
    for each in reversed(results) if swapped else results:
        await take_result(records, each)
    await records.take_reports([report(5)], [], NOW_US)
    assert await states(records) == {"c1": "MOOT", "c2": "CONFIRMED"}


async def test_what_is_reported_long_after_says_nothing(records: store.StatusStore) -> None:
    await take_result(records, moved("c1", 2))
    await records.take_reports([report(3, at=LONGEST_WAIT_MICROSECONDS)], [], NOW_US)
    assert await states(records) == {"c1": "MOOT"}


async def test_who_wakes_is_told_from_who_was_awake(records: store.StatusStore) -> None:
    asleep = replace(report(5), asleep=True)
    assert (await records.take_reports([report(1)], [], NOW_US)).woken == frozenset()
    assert (await records.take_reports([asleep], [], NOW_US)).woken == frozenset()
    assert (await records.take_reports([report(6)], [], NOW_US)).woken == {VIN}
    assert (await records.take_reports([report(7)], [], NOW_US)).woken == frozenset()


async def test_a_doubt_that_cannot_be_told_is_given_up_and_the_others_are_told(
    records: store.StatusStore,
) -> None:
    for command, number in (("c1", 2), ("c2", 4)):
        await take_result(records, moved(command, number))
    await records.take_reports([report(30)], [], NOW_US)
    table = store.expectations.table
    both = table.update().values(state="DOUBTED", seen_at_us=1, seen_doors=bytes(6), judged_at_us=NOW_US)
    bad = table.update().where(table.c.command_id == "c1").values(seen_doors=b"short")
    for statement in (both, bad):
        await records._database.write(lambda c, s=statement: c.execute(s) and None)
    assert await records.resolve(NOW_US + 1, NOW_US + 1) == 2
    assert await states(records) == {"c1": "MOOT", "c2": "CONTRADICTED"}


async def test_a_vehicle_whose_doors_flicker_fills_nothing_and_its_watchers_are_told(
    records: store.StatusStore,
) -> None:
    made = BudgetedMessages(translate, lambda: 0.0)
    flickering = store.StatusStore(records._database, records._relay, made)
    for batch in range(40):
        reports = [report(100 * batch + n, locked=bool(n % 2)) for n in range(1, 100)]
        await flickering.take_reports(reports, [], NOW_US)
    await flickering.take_reports([report(1, vin=OTHER), report(2, vin=OTHER, locked=False)], [], NOW_US)
    payloads = await records._database.read(
        lambda c: c.execute(select(store.outbox.table.c.payload)).scalars().all()
    )
    updates = [DoorUpdate.FromString(bytes(payload)) for payload in payloads]
    flickers = [update for update in updates if update.vin == VIN]
    assert len(flickers) == BURST + 1
    assert [u.system_alert.code for u in flickers if u.HasField("system_alert")] == ["UPDATES_COALESCED"]
    assert len(updates) - len(flickers) == 1


async def test_doubts_are_found_without_a_walk_through_what_was_expected(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/room.sqlite3"
    await asyncio.to_thread(migrate, url, MIGRATIONS, store.HEAD)
    database = await open_database(url)
    watch = Watch(database._engine)  # type: ignore[attr-defined]  # SQLite's
    await database.read(lambda connection: store.expectations.unexplained(connection, NOW_US))
    await database.write(
        lambda connection: store.expectations.resolve(connection, [(VIN, "c-1"), (VIN, "c-2")])
    )
    found = await database.read(lambda connection: list(walks(connection, dict(watch.ran), {"expectation"})))
    assert found == []
    assert any("expectation" in text for text in watch.ran)
    await database.close()

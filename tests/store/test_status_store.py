"""The status room's tables, on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from ecarus.remotecontrol.door.v1.door_update_pb2 import DoorUpdate
from sqlalchemy import create_engine, select
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from services.runtime.database import open_database
from services.runtime.migration import config_for, migrate
from services.status import store, translate
from services.status.domain import LOCKED, PRESENT, Moved, Report
from services.status.translate import moment_of
from services.status.update_budget import BURST, BudgetedMessages
from services.status.usecases import Taken

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from sqlalchemy import Connection

    from services.runtime.outbox import OutgoingMessage

MIGRATIONS = Path(store.__file__).with_name("migrations")
VIN = "KMHSH81C7LU123456"
OTHER = "KMHSH81C7LU654321"
NOW_US = 1_768_228_218_000_000


class FakeRelay:
    """Holds what it was handed."""

    def __init__(self) -> None:
        self.held: list[OutgoingMessage] = []

    def hand_over(self, messages: Sequence[OutgoingMessage]) -> None:
        self.held += messages


@pytest.fixture
async def records(database_url: str) -> AsyncIterator[store.StatusStore]:
    await asyncio.to_thread(migrate, database_url, MIGRATIONS, store.HEAD)
    database = await open_database(database_url)
    yield store.StatusStore(database, FakeRelay(), translate)  # type: ignore[arg-type]  # a relay that keeps
    await database.close()


def report(at: int, sequence: int = 1, *, locked: bool = True, vin: str = VIN, boot_id: str = "b") -> Report:
    flags = bytes([PRESENT | LOCKED if locked else PRESENT, 0, 0, 0, 0, 0])
    return Report(vin, NOW_US + at, boot_id, sequence, flags, 1, 0.0, f"{at}/{sequence}".encode())


async def outbox_rows(records: store.StatusStore) -> list[Any]:
    table = store.outbox.table
    return list(
        await records._database.read(lambda c: c.execute(select(table).order_by(table.c.sequence)).all())
    )


async def test_the_migrated_schema_is_the_codes(database_url: str) -> None:
    from alembic.autogenerate import compare_metadata  # noqa: PLC0415  # half a second, for this test only
    from alembic.migration import MigrationContext  # noqa: PLC0415  # see above

    await asyncio.to_thread(migrate, database_url, MIGRATIONS, store.HEAD)
    await asyncio.to_thread(migrate, database_url, MIGRATIONS, store.HEAD)

    def differences(connection: Connection) -> list[Any]:
        assert config_for(connection, MIGRATIONS, store.RoomModel.metadata)
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, store.RoomModel.metadata))

    if database_url.startswith("sqlite"):
        engine = create_engine(database_url, poolclass=NullPool)
        with engine.connect() as connection:
            assert differences(connection) == []
    else:
        url = database_url.replace("postgresql://", "postgresql+asyncpg://", 1)
        async_engine = create_async_engine(url, poolclass=NullPool)
        async with async_engine.connect() as async_connection:
            assert await async_connection.run_sync(differences) == []


async def test_the_newest_report_is_kept_and_time_never_goes_back(records: store.StatusStore) -> None:
    await records.take_reports([report(5), report(3), report(9)], [], NOW_US)
    assert await records.last_report(VIN) == (b"9/1", NOW_US)
    assert await records.take_reports(
        [report(8), report(9), report(9, 4, boot_id="x")], [], NOW_US + 1
    ) == Taken({})
    assert await records.last_report(VIN) == (b"9/1", NOW_US)
    await records.take_reports([report(9, 2)], [], NOW_US + 2)
    assert await records.last_report(VIN) == (b"9/2", NOW_US + 2)
    assert await records.last_report("KMHSH81C7LU654321") is None


async def test_status_and_updates_are_committed_together_once(records: store.StatusStore) -> None:
    batch = [report(1), report(2, locked=False), report(3)]
    await records.take_reports(batch, [], NOW_US)
    await records.take_reports(batch, [], NOW_US)
    rows = await outbox_rows(records)
    assert [row.message_id for row in rows] == [f"door-{VIN}-{NOW_US + at}-1-0" for at in (2, 3)]
    assert [m.message_id for m in records._relay.held] == [row.message_id for row in rows]  # type: ignore[attr-defined]  # the fake
    assert rows[0].created_at == moment_of(NOW_US)


async def test_the_database_itself_refuses_to_go_back(records: store.StatusStore) -> None:
    await records.take_reports([report(9)], [], NOW_US)
    row = {
        "vin": VIN,
        "observed_at_us": NOW_US,
        "boot_id": "b",
        "sequence": 99,
        "doors": b"",
        "report": b"old",
        "received_at_us": NOW_US,
        "asleep": True,
        "awaited": True,
    }
    await records._database.write(
        lambda c: c.execute(store._UPSERTS[c.dialect.name], [row]) and None  # type: ignore[call-overload]  # a statement
    )
    assert await records.last_report(VIN) == (b"9/1", NOW_US)


async def test_two_writers_of_the_same_reports_tell_of_them_once(records: store.StatusStore) -> None:
    vins = [f"KMHSH81C7LU{n:06d}" for n in range(40)]
    await records.take_reports([report(1, vin=vin) for vin in vins], [], NOW_US)
    batch = [report(2, vin=vin, locked=False) for vin in vins]
    await asyncio.gather(*(records.take_reports(b, [], NOW_US) for b in (batch, batch[::-1], batch)))
    rows = await outbox_rows(records)
    assert len(rows) == len({row.subject for row in rows}) == 40


async def test_many_looks_at_once_get_their_own_answers(records: store.StatusStore) -> None:
    vins = [f"KMHSH81C7LU{n:06d}" for n in range(50)]
    await records.take_reports([report(n, vin=vin) for n, vin in enumerate(vins)], [], NOW_US)
    found = await asyncio.gather(*(records.last_report(vin) for vin in [*vins, *vins, VIN]))
    expected = [(f"{n}/1".encode(), NOW_US) for n in range(50)]
    assert found == [*expected, *expected, None]


SECOND = 1_000_000


def moved(command_id: str, at: int, sequence: int, *, locked: bool = False, began: int = 0) -> Moved:
    """The driver's door was moved; it took from `began` before until `at`."""
    promised = bytes([PRESENT | LOCKED if locked else PRESENT, 0, 0, 0, 0, 0])
    return Moved(command_id, NOW_US + at - began, report(at, sequence, locked=locked), promised)


async def states(records: store.StatusStore) -> dict[str, str]:
    table = store.expectations.table
    rows = await records._database.read(lambda c: c.execute(select(table)).all())
    return {row.command_id: row.state for row in rows}


async def told(records: store.StatusStore) -> list[str]:
    return [
        row.subject for row in await outbox_rows(records) if row.message_id.startswith(("verdict", "contra"))
    ]


async def take_result(records: store.StatusStore, *results: Moved) -> None:
    await records.take_reports([each.status for each in results], results, NOW_US)


async def test_a_kept_word_is_told_with_the_report_that_keeps_it(records: store.StatusStore) -> None:
    await take_result(records, moved("c1", 10, 2))
    assert await states(records) == {"c1": "OPEN"}
    await records.take_reports([report(20, 3, locked=False), report(30, 4)], [], NOW_US)
    assert await states(records) == {"c1": "CONFIRMED"}
    assert await told(records) == ["room.status.verdicts"]
    await records.take_reports([report(40, 5)], [], NOW_US)
    await take_result(records, moved("c1", 10, 2))
    assert await states(records) == {"c1": "CONFIRMED"}
    assert len(await told(records)) == 1


async def test_a_doubt_that_nothing_explains_is_a_contradiction_told_once(records: store.StatusStore) -> None:
    await take_result(records, moved("c1", 10, 2))
    await records.take_reports([report(20, 3)], [], NOW_US)
    assert await states(records) == {"c1": "DOUBTED"}
    assert await records.settle(NOW_US, NOW_US) == 0  # not yet
    assert await told(records) == []
    settled = await asyncio.gather(*(records.settle(NOW_US + 1, NOW_US + 1) for _ in range(3)))
    assert sorted(settled) == [0, 0, 1]
    assert await states(records) == {"c1": "CONTRADICTED"}
    assert await told(records) == ["room.status.verdicts", f"door.update.{VIN}"]


async def test_another_commands_result_explains_a_doubt(records: store.StatusStore) -> None:
    await take_result(records, moved("c1", 10, 2))
    await records.take_reports([report(50, 3)], [], NOW_US)  # in the middle of the next command
    await take_result(records, moved("c2", 60, 4, locked=True, began=20))
    await records.take_reports([report(70, 5)], [], NOW_US)
    assert await states(records) == {"c1": "MOOT", "c2": "CONFIRMED"}
    assert await records.settle(NOW_US + 1, NOW_US + 1) == 0


async def test_a_command_that_began_later_explains_nothing(records: store.StatusStore) -> None:
    await take_result(records, moved("c1", 10, 2))
    await records.take_reports([report(20, 3)], [], NOW_US)
    await take_result(records, moved("c2", 60, 4, began=20))
    assert await states(records) == {"c1": "DOUBTED", "c2": "OPEN"}


@pytest.mark.parametrize("swapped", [False, True])
async def test_two_commands_in_a_row_are_not_held_against_each_other(
    records: store.StatusStore, *, swapped: bool
) -> None:
    results = [moved("c1", 10, 2), moved("c2", 60, 4, locked=True, began=20)]
    for each in reversed(results) if swapped else results:
        await take_result(records, each)
    await records.take_reports([report(70, 5)], [], NOW_US)
    assert await states(records) == {"c1": "MOOT", "c2": "CONFIRMED"}


async def test_what_is_reported_long_after_says_nothing(records: store.StatusStore) -> None:
    await take_result(records, moved("c1", 10, 2))
    await records.take_reports([report(600 * SECOND + 10, 3)], [], NOW_US)
    assert await states(records) == {"c1": "MOOT"}


async def test_who_wakes_is_told_from_who_was_awake(records: store.StatusStore) -> None:
    asleep = Report(VIN, NOW_US + 5, "b", 5, report(0).doors, 1, 0.0, b"", asleep=True)
    assert (await records.take_reports([report(1)], [], NOW_US)).woken == frozenset()
    assert (await records.take_reports([asleep], [], NOW_US)).woken == frozenset()
    assert (await records.take_reports([report(6)], [], NOW_US)).woken == {VIN}
    assert (await records.take_reports([report(7)], [], NOW_US)).woken == frozenset()


async def test_a_doubt_that_cannot_be_told_is_given_up_and_the_others_are_told(
    records: store.StatusStore,
) -> None:
    for command, number in (("c1", 2), ("c2", 4)):
        await take_result(records, moved(command, 10 * number, number))
    await records.take_reports([report(200, 30)], [], NOW_US)
    table = store.expectations.table
    both = table.update().values(state="DOUBTED", seen_at_us=1, seen_doors=bytes(6), judged_at_us=NOW_US)
    bad = table.update().where(table.c.command_id == "c1").values(seen_doors=b"short")
    for statement in (both, bad):
        await records._database.write(lambda c, s=statement: c.execute(s) and None)
    assert await records.settle(NOW_US + 1, NOW_US + 1) == 2
    assert await states(records) == {"c1": "MOOT", "c2": "CONTRADICTED"}


async def test_a_vehicle_whose_doors_flicker_fills_nothing_and_its_watchers_are_told(
    records: store.StatusStore,
) -> None:
    made = BudgetedMessages(translate, lambda: 0.0)
    flickering = store.StatusStore(records._database, records._relay, made)
    for batch in range(40):
        reports = [report(100 * batch + n, 100 * batch + n, locked=bool(n % 2)) for n in range(1, 100)]
        await flickering.take_reports(reports, [], NOW_US)
    await flickering.take_reports(
        [report(1, 1, vin=OTHER), report(2, 2, vin=OTHER, locked=False)], [], NOW_US
    )
    payloads = await records._database.read(
        lambda c: c.execute(select(store.outbox.table.c.payload)).scalars().all()
    )
    updates = [DoorUpdate.FromString(bytes(payload)) for payload in payloads]
    flickers = [update for update in updates if update.vin == VIN]
    assert len(flickers) == BURST + 1
    assert [u.system_alert.code for u in flickers if u.HasField("system_alert")] == ["UPDATES_COALESCED"]
    assert len(updates) - len(flickers) == 1

"""Audit entries wait in the database that decided them, and reach the ledger once each: on both databases."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from ecarus.remotecontrol.audit.v1 import audit_entry_pb2, audit_intake_service_pb2
from sqlalchemy import BigInteger, Column, Integer, LargeBinary, MetaData, String, Table, insert, select

from services.platform.audit_entry import AuditRecord, DecisionOutcome, EntryIds, encoded
from services.platform.audit_outbox import AuditOutbox, DeliveredRows
from services.platform.audit_relay import (
    BATCH,
    LONGEST_PAUSE_SECONDS,
    AuditRelay,
    LedgerAwayError,
    LedgerFailedError,
    UnsoundRequestError,
)
from services.platform.audit_trail import LOST, AuditTrail
from services.platform.database import open_database
from services.platform.storage import StorageUnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from services.platform.database import Database

T0 = datetime(2026, 1, 12, 14, 30, tzinfo=UTC)
METADATA = MetaData()
OUTBOX = AuditOutbox(METADATA)
OWN = Table(
    "own_rows",
    METADATA,
    Column("number", Integer, primary_key=True),
    Column("what", String(20), nullable=False),
    Column("entry", LargeBinary),
    Column("delivered_at", BigInteger),
    Column("set_aside", String(200)),
)


def record(number: int, **more: Any) -> AuditRecord:
    return AuditRecord(
        "COMMAND_ACCEPTED", T0, DecisionOutcome.ALLOWED, subject="user-123", rule=f"{number}", **more
    )


class FakeLedger:
    """Keeps what it is brought, by id; it can be away, refuse entries, and refuse whole requests."""

    def __init__(self) -> None:
        self.kept: dict[str, audit_entry_pb2.AuditEntry] = {}
        self.requests = 0
        self.away = False
        self.lose_answers = 0
        self.rejects: set[str] = set()
        self.chokes_on: set[str] = set()
        self.fails_at: set[str] = set()

    async def __call__(self, request: audit_intake_service_pb2.RecordEntriesRequest) -> dict[str, str]:
        self.requests += 1
        if self.away:
            raise LedgerAwayError("UNAVAILABLE")
        if any(entry.rule in self.fails_at for entry in request.entries):
            raise LedgerFailedError("INTERNAL")
        if any(entry.rule in self.chokes_on for entry in request.entries):
            raise UnsoundRequestError("INVALID_ARGUMENT")
        rejected = {e.entry_id: "MALFORMED" for e in request.entries if e.rule in self.rejects}
        for entry in request.entries:
            if entry.entry_id not in rejected:
                assert self.kept.setdefault(entry.entry_id, entry) == entry
        if self.lose_answers:
            self.lose_answers -= 1
            raise LedgerAwayError("DEADLINE_EXCEEDED")
        return rejected

    def rules(self) -> list[str]:
        return [entry.rule for entry in self.kept.values()]


def entry_of_row(row: Any) -> bytes:
    return encoded(record(row.number), f"command-row-{row.number}")


@pytest.fixture
async def database(empty_database_url: str) -> AsyncIterator[Database]:
    database = await open_database(empty_database_url)
    await database.write(METADATA.create_all)
    yield database
    await database.close()


@pytest.fixture
def ledger() -> FakeLedger:
    return FakeLedger()


@pytest.fixture
def relay(database: Database, ledger: FakeLedger) -> AuditRelay:
    places = (OUTBOX, DeliveredRows(OWN, entry_of_row))
    return AuditRelay(database, places, ledger, lambda: T0, lambda: 0.0)


async def wait_in(database: Database, entries: Sequence[bytes]) -> None:
    await database.write(lambda connection: OUTBOX.add(connection, entries))


async def waiting(database: Database) -> int:
    return await database.read(OUTBOX.count)


async def test_what_the_ledger_has_waits_no_longer(
    database: Database, relay: AuditRelay, ledger: FakeLedger
) -> None:
    ids = EntryIds("command")
    await wait_in(database, [encoded(record(n), ids.next()) for n in range(BATCH + 10)])
    assert await relay.bring_some()
    assert not await relay.bring_some()
    assert ledger.rules() == [str(n) for n in range(BATCH + 10)]
    assert await waiting(database) == 0


async def test_an_answer_that_is_lost_brings_the_same_entry_again(
    database: Database, relay: AuditRelay, ledger: FakeLedger
) -> None:
    await wait_in(database, [encoded(record(1), "command-1")])
    ledger.lose_answers = 1
    with pytest.raises(LedgerAwayError):
        await relay.bring_some()
    assert await waiting(database) == 1
    await relay.bring_some()
    assert ledger.rules() == ["1"]
    assert await waiting(database) == 0


async def test_what_the_ledger_will_never_take_is_set_aside_alone(
    database: Database, relay: AuditRelay, ledger: FakeLedger
) -> None:
    ids = EntryIds("command")
    entries = [encoded(record(n), ids.next()) for n in range(20)]
    ledger.rejects, ledger.chokes_on = {"3"}, {"11", "12"}
    too_large = audit_entry_pb2.AuditEntry(entry_id="command-big", rule="x" * 70_000).SerializeToString()
    await wait_in(database, [*entries[:5], too_large, b"\xff\xff no entry", *entries[5:]])
    await relay.bring_some()
    assert ledger.rules() == [str(n) for n in range(20) if n not in {3, 11, 12}]
    assert await waiting(database) == 0
    reasons = await database.read(
        lambda c: (
            c.execute(select(OUTBOX.table.c.set_aside).order_by(OUTBOX.table.c.sequence)).scalars().all()
        )
    )
    assert [reason.partition(" ")[0].rstrip(":") for reason in reasons] == [
        "MALFORMED",
        "it",
        "not",
        "INVALID_ARGUMENT",
        "INVALID_ARGUMENT",
    ]


async def test_rows_of_the_services_own_are_marked_also_those_of_an_older_version(
    database: Database, relay: AuditRelay, ledger: FakeLedger
) -> None:
    rows = [
        {"number": 1, "what": "old", "entry": None},
        {"number": 2, "what": "new", "entry": encoded(record(2), "command-x-2")},
    ]
    await database.write(lambda c: c.execute(insert(OWN), rows).rowcount)
    await relay.bring_some()
    assert list(ledger.kept) == ["command-row-1", "command-x-2"]
    kept = await database.read(lambda c: c.execute(select(OWN).order_by(OWN.c.number)).all())
    us = round(T0.timestamp() * 1_000_000)
    assert [(row.what, row.entry, row.delivered_at) for row in kept] == [("old", None, us), ("new", None, us)]
    await relay.bring_some()
    assert ledger.requests == 1


async def test_a_ledger_that_is_away_is_asked_ever_less_often_and_nothing_is_lost(
    database: Database, ledger: FakeLedger
) -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 8:
            ledger.away = False
        if not ledger.away and ledger.kept:
            raise asyncio.CancelledError

    ledger.away = True
    await wait_in(database, [encoded(record(n), f"command-{n}") for n in range(3)])
    relay = AuditRelay(database, [OUTBOX], ledger, lambda: T0, lambda: 0.0, sleep=sleep)
    with pytest.raises(asyncio.CancelledError):
        await relay.run()
    assert pauses[:8] == [0.5, 1.0, 2.0, 4.0, 8.0, *[LONGEST_PAUSE_SECONDS] * 3]
    assert ledger.rules() == ["0", "1", "2"]


async def test_decisions_wait_for_a_store_that_is_away_and_those_without_room_are_counted(
    database: Database,
) -> None:
    away = True

    async def write(entries: Sequence[bytes]) -> None:
        if away:
            raise StorageUnavailableError("the disk is full")
        await wait_in(database, entries)

    trail = AuditTrail(EntryIds("access"), write, lambda: T0 + timedelta(seconds=1), "RIGHTS_REFUSED", most=3)
    for number in range(5):
        trail.note(record(number))
    with pytest.raises(StorageUnavailableError):
        await trail.flush()
    away = False
    await trail.flush()
    found = await database.read(lambda c: OUTBOX.waiting(c, 10))
    entries = [audit_entry_pb2.AuditEntry.FromString(each.entry) for each in found]
    assert [entry.rule for entry in entries] == ["0", "1", "2", ""]
    assert (entries[3].kind, dict(entries[3].detail)) == (LOST, {"count": "2"})
    assert len({entry.entry_id for entry in entries}) == 4


async def test_a_write_that_fails_for_ever_is_counted_and_the_next_ones_are_kept(database: Database) -> None:
    failures, pauses = ["a row that cannot be written"], 0

    class DoneError(Exception):
        pass

    async def write(entries: Sequence[bytes]) -> None:
        if failures:
            raise ValueError(failures.pop())
        await wait_in(database, entries)

    async def sleep(_seconds: float) -> None:
        nonlocal pauses
        pauses += 1
        if pauses == 3:  # gathering, after the pause that the failure cost
            trail.note(record(2))
            await trail.flush()
            raise DoneError

    trail = AuditTrail(EntryIds("access"), write, lambda: T0, "RIGHTS_REFUSED", sleep=sleep)
    trail.note(record(1))
    with pytest.raises(DoneError):
        await trail.run()
    found = await database.read(lambda c: OUTBOX.waiting(c, 10))
    entries = [audit_entry_pb2.AuditEntry.FromString(each.entry) for each in found]
    assert [(entry.kind, entry.detail["count"]) for entry in entries if entry.kind == LOST] == [(LOST, "1")]
    assert [entry.rule for entry in entries if entry.kind != LOST] == ["2"]


async def test_the_numbers_of_waiting_entries_are_never_used_up(database: Database) -> None:
    beyond = 2**31 + 5
    await database.write(
        lambda c: c.execute(insert(OUTBOX.table), {"sequence": beyond, "entry": b""}).rowcount
    )
    assert [each.key for each in await database.read(lambda c: OUTBOX.waiting(c, 10))] == [beyond]


async def test_an_entry_at_which_the_ledger_fails_holds_up_none_behind_it_and_is_set_aside(
    database: Database, relay: AuditRelay, ledger: FakeLedger
) -> None:
    ids = EntryIds("command")
    ledger.fails_at = {"0"}
    await wait_in(database, [encoded(record(n), ids.next()) for n in range(5)])
    for number in range(5, 7):
        with pytest.raises(LedgerAwayError):  # it is brought again, after a pause
            await relay.bring_some()
        await wait_in(database, [encoded(record(number), ids.next())])
    assert ledger.rules() == [str(n) for n in range(1, 6)]
    await relay.bring_some()
    assert ledger.rules() == [str(n) for n in range(1, 7)]
    assert await waiting(database) == 0
    kept = await database.read(lambda c: c.execute(select(OUTBOX.table.c.set_aside)).scalars().all())
    assert kept == ["INTERNAL"]


async def test_a_ledger_that_fails_at_everything_is_away_and_nothing_is_set_aside(
    database: Database, relay: AuditRelay, ledger: FakeLedger
) -> None:
    ledger.fails_at = {str(n) for n in range(5)}
    await wait_in(database, [encoded(record(n), f"command-{n}") for n in range(5)])
    for _ in range(5):
        with pytest.raises(LedgerAwayError):
            await relay.bring_some()
    ledger.fails_at = set()
    await relay.bring_some()
    assert ledger.rules() == [str(n) for n in range(5)]


async def test_a_late_word_about_a_row_concerns_no_new_one_with_its_number(database: Database) -> None:
    await wait_in(database, [b"old"])
    (old,) = await database.read(lambda c: OUTBOX.waiting(c, 10))
    await database.write(lambda c: OUTBOX.delivered(c, [old], T0))
    row = {"sequence": old.key, "entry": b"new"}  # as SQLite numbers it
    await database.write(lambda c: c.execute(insert(OUTBOX.table), row).rowcount)
    await database.write(lambda c: OUTBOX.delivered(c, [old], T0))
    await database.write(lambda c: OUTBOX.set_aside(c, old, "late"))
    assert [each.entry for each in await database.read(lambda c: OUTBOX.waiting(c, 10))] == [b"new"]

"""Every table of every service: what is over goes, what is held stays, a person is handed theirs, and is erased."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from ecarus.remotecontrol.audit.v1.audit_entry_pb2 import AuditEntry
from sqlalchemy import BigInteger, Boolean, Integer, LargeBinary, func, insert, select, update

import services
from services.config.adapters.store import erase_proofs, in_the_way_of_erasure
from services.config.adapters.store.erasure import SETTINGS_IN_FLIGHT
from services.platform.database import Instant, open_database
from services.platform.kept_data import AT_ONCE, OnErasure
from services.platform.legal_holds import HeldSubject
from services.platform.retention import Retention
from services.platform.scrub import scrub
from services.platform.storage import StorageUnavailableError
from services.platform.subject_data import LEGAL_HOLD, MESSAGES_WAITING, SubjectData
from services.platform.times import microseconds, milliseconds
from tests.support.databases import migrated
from tests.unit.project.test_kept_tables import MODELS, _metadata
from tools.kept_blocks import kept_by_service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from services.platform.database import Database
    from services.platform.kept_data import KeptTable
    from services.platform.legal_holds import LegalHolds

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
LONG_AGO = NOW - timedelta(days=4_000)
WHO, OTHER = "canary-5e1f", "bystander-77"
VIN, OTHER_VIN = "KMHSH81C7LU123456", "KMHSH81C7LU654321"


def member(who: str) -> bytes:
    """A message that has this name in it."""
    return AuditEntry(entry_id="x-1", subject=who).SerializeToString()


class Kept:
    """A service's database with a row in each table, filled by the columns' types."""

    def __init__(self, service: str, url: str, database: Database) -> None:
        self.tables: Sequence[KeptTable] = kept_by_service()[service]
        self.url = url
        self.database = database
        self.holds: LegalHolds = _holds_of(service)
        self.metadata = _metadata(service)
        self._number = 0

    def row(self, kept: KeptTable, **given: Any) -> dict[str, Any]:
        self._number += 1
        row: dict[str, Any] = {}
        for column in kept.table.columns:
            if column.name in given:
                row[column.name] = given[column.name]
            elif column.foreign_keys:
                row[column.name] = given.get("vin", VIN)
            elif isinstance(column.type, Instant):
                row[column.name] = LONG_AGO
            elif isinstance(column.type, Boolean):
                row[column.name] = False
            elif column.name.endswith("_millis"):
                row[column.name] = milliseconds(LONG_AGO)
            elif column.name.endswith("_us") and column.name != "execution_us":
                row[column.name] = microseconds(LONG_AGO)
            elif isinstance(column.type, Integer | BigInteger):
                row[column.name] = self._number
            elif isinstance(column.type, LargeBinary):
                row[column.name] = f"bytes-{self._number}".encode().ljust(32, b".")
            else:
                length = getattr(column.type, "length", None) or 40
                row[column.name] = (
                    given.get("vin", VIN) if column.name == "vin" else f"v{self._number}"[:length]
                )
        return row

    async def plant(self, who: str = WHO, vin: str = VIN) -> None:
        """A row in each table that is about somebody, or nobody."""
        by_name = {kept.name: kept for kept in self.tables}
        order = [table.name for table in self.metadata.sorted_tables]
        for name in order:
            kept = by_name[name]
            given: dict[str, Any] = dict.fromkeys((*kept.persons, *kept.mentions), who)
            given |= dict.fromkeys(kept.words, f"{who}-{self._number}"[:40])
            if "vin" in kept.table.columns:
                given["vin"] = vin
            if name == "access_grant":
                given |= {"severed_by": None, "offered_until": None, "rests": None}
            if name == "outbox":
                given |= {"payload": member(who), "sent_at": LONG_AGO}
            if name == "audit_outbox":
                given |= {"entry": member(who), "set_aside": "never taken"}
            if name == "dead_letter":
                given |= {"payload": member(who), "sender": vin}
            if name == "cancellation":
                given["idempotency_key"] = f"{vin} CANCEL c-{self._number} {who}"
            if name == "vehicle_config":
                given["capability"] = None
            if name == "legal_hold":
                continue
            row = self.row(kept, **given)
            await self.database.write(
                lambda c, kept=kept, row=row: c.execute(insert(kept.table), row) and None
            )

    async def count(self, kept: KeptTable) -> int:
        query = select(func.count()).select_from(kept.table)
        return int(await self.database.read(lambda c: c.execute(query).scalar_one()))

    def subject_data(self, **more: Any) -> SubjectData:
        async def forget() -> None:
            await scrub(self.url)

        return SubjectData(self.database, self.tables, self.holds, forget, **more)


def _holds_of(service: str) -> Any:
    return import_module(MODELS[service].partition(":")[0]).holds


@pytest.fixture
async def kept(request: pytest.FixtureRequest, database_url: str) -> AsyncIterator[Kept]:
    service: str = request.param
    module = Path(services.__path__[0]) / service / "migrations"
    head = _head_of(service)
    await asyncio.to_thread(migrated, database_url, module, head)
    database = await open_database(database_url)
    yield Kept(service, database_url, database)
    await database.close()


def _head_of(service: str) -> str:
    return str(import_module(MODELS[service].partition(":")[0]).HEAD)


every_service = pytest.mark.parametrize("kept", MODELS, indirect=True)


@every_service
async def test_what_is_over_goes_and_nothing_else(kept: Kept) -> None:
    await kept.plant()
    early = Retention(kept.database, kept.tables, kept.holds, lambda: LONG_AGO - timedelta(days=9_000))
    run = await early.run_once()
    assert {each.table: each.deleted for each in run.tables if each.deleted} == {}
    run = await Retention(kept.database, kept.tables, kept.holds, lambda: NOW).run_once()
    gone = {each.table for each in run.tables if each.deleted}
    over = {each.name for each in kept.tables if each.over is not None and each.name != "legal_hold"}
    assert gone == over
    for each in kept.tables:
        if each.name in gone:
            assert await kept.count(each) == 0


@every_service
@pytest.mark.parametrize("on", ["person", "resource"])
async def test_what_is_held_stays_until_it_is_not(kept: Kept, on: str) -> None:
    await kept.plant()
    await kept.plant(OTHER, OTHER_VIN)
    hold = HeldSubject("h-1", VIN if on == "resource" else "", WHO if on == "person" else "", NOW)
    await kept.database.write(lambda c: kept.holds.replace(c, [hold]))
    run = await Retention(kept.database, kept.tables, kept.holds, lambda: NOW).run_once()
    for each, purged in zip(kept.tables, run.tables, strict=True):
        named = bool(each.persons or each.mentions)
        if on == "resource":
            named = each.resource == "vin" or each.name in {"dead_letter", "expectation"}
        if purged.deleted and named:
            assert (purged.held, await kept.count(each)) == (1, 1), each.name
    await kept.database.write(lambda c: kept.holds.replace(c, []))
    run = await Retention(kept.database, kept.tables, kept.holds, lambda: NOW).run_once()
    assert all(each.held == 0 for each in run.tables)


@every_service
async def test_a_person_is_handed_all_of_theirs_and_nothing_of_others(kept: Kept) -> None:
    await kept.plant()
    await kept.plant(OTHER, OTHER_VIN)
    found = [(table, json.loads(row)) async for table, row in kept.subject_data().rows(WHO)]
    about = {each.name for each in kept.tables if each.persons or each.about}
    hidden = {"legal_hold"}  # of which none is planted
    assert {table for table, _ in found} == about - hidden
    assert OTHER not in json.dumps([row for _, row in found])
    for table, row in found:
        line = next(each for each in kept.tables if each.name == table)
        assert not set(line.secret) & row.keys()


@every_service
async def test_nothing_of_an_erased_person_is_left_in_the_files(kept: Kept) -> None:
    await kept.plant()
    await kept.plant(OTHER, OTHER_VIN)
    done = await kept.subject_data(outbox=None).erase(WHO, "er-1")
    assert done.in_the_way == ""
    stays = {each.name for each in kept.tables if each.on_erasure is OnErasure.STAYS}
    async for table, _ in kept.subject_data().rows(WHO):
        assert table in stays
    others = [table async for table, _ in kept.subject_data().rows(OTHER)]
    assert len(others) >= len({each.name for each in kept.tables if each.persons}) - 2
    if kept.url.startswith("sqlite"):
        if "severance" not in {each.name for each in kept.tables}:
            assert remains_of(WHO, kept.url) == []
        assert remains_of(OTHER, kept.url) != [] or not others
    assert (await kept.subject_data().erase(WHO, "er-1")).rows == {}  # again is no error


def remains_of(words: str, url: str) -> list[str]:
    """The files of a database that hold these words."""
    path = Path(url.removeprefix("sqlite:///"))
    files = [each for each in path.parent.iterdir() if each.name.startswith(path.name)]
    return [each.name for each in files if words.encode() in each.read_bytes()]


@pytest.mark.parametrize("kept", ["command"], indirect=True)
async def test_a_hold_and_what_waits_to_be_sent_stand_in_the_way(kept: Kept) -> None:
    await kept.plant()
    data = kept.subject_data(outbox=_outbox("command"))
    await kept.database.write(lambda c: kept.holds.replace(c, [HeldSubject("h-1", "", WHO, NOW)]))
    assert await data.look(WHO) == (await data.erase(WHO, "er-1")).in_the_way == LEGAL_HOLD
    await kept.database.write(lambda c: kept.holds.replace(c, []))
    outbox = next(each for each in kept.tables if each.name == "outbox")
    row = kept.row(outbox, payload=member(WHO), sent_at=None)
    await kept.database.write(lambda c: c.execute(insert(outbox.table), row) and None)
    assert (await data.erase(WHO, "er-1")).in_the_way == MESSAGES_WAITING
    assert await data.look(OTHER) == ""


@pytest.mark.parametrize("kept", ["command"], indirect=True)
async def test_somebody_whose_name_is_in_anothers_name_is_somebody_else(kept: Kept) -> None:
    """An erasure of `user-1` leaves what is about `user-12`."""
    letter = next(each for each in kept.tables if each.name == "dead_letter")
    theirs = {"member": member("user-1"), "quoted": b'{"userId": "user-1"}', "long": member("u" * 128)}
    others = [member("user-12"), member("a-user-1"), b'{"userId": "user-12"}', member("u" * 127)]
    for payload in (*theirs.values(), *others):
        row = kept.row(letter, payload=payload)
        await kept.database.write(lambda c, row=row: c.execute(insert(letter.table), row) and None)
    for who in ("user-1", "u" * 128):
        await kept.subject_data(outbox=None).erase(who, "er-1")
    left = await kept.database.read(lambda c: c.execute(select(letter.table.c.payload)).scalars().all())
    assert sorted(map(bytes, left)) == sorted(others)


@pytest.mark.parametrize("kept", ["config"], indirect=True)
@pytest.mark.parametrize(
    ("applied", "rejected", "waits"),
    [(None, None, True), (1, None, True), (2, None, False), (None, 2, False), (1, 1, True), (1, 2, False)],
)
async def test_settings_stand_in_the_way_until_the_vehicle_answered_these(
    kept: Kept, applied: int | None, rejected: int | None, waits: bool
) -> None:
    """Of two versions; one that never applied any and rejects has answered too."""
    await kept.plant()
    configs = next(each.table for each in kept.tables if each.name == "vehicle_config")
    answer = {"desired_version": 2, "applied_version": applied, "rejected_version": rejected}
    await kept.database.write(
        lambda c: c.execute(update(configs).values(capability="proof", **answer)).rowcount
    )
    data = kept.subject_data(in_the_way=in_the_way_of_erasure, besides=erase_proofs, outbox=None)
    done = await data.erase(WHO, "er-1")
    assert await data.look(OTHER) == ""
    proofs = await kept.database.read(lambda c: c.execute(select(configs.c.capability)).scalars().all())
    assert (done.in_the_way, proofs) == ((SETTINGS_IN_FLIGHT, ["proof"]) if waits else ("", [None]))


def _outbox(service: str) -> Any:
    return import_module(MODELS[service].partition(":")[0]).outbox


@pytest.mark.parametrize("kept", ["command"], indirect=True)
async def test_more_than_one_step_of_rows_go_in_one_run(kept: Kept) -> None:
    wake_ups = next(each for each in kept.tables if each.name == "wake_up")
    rows = [kept.row(wake_ups, subject=OTHER) for _ in range(AT_ONCE * 2 + 7)]
    await kept.database.write(lambda c: c.execute(insert(wake_ups.table), rows) and None)
    run = await Retention(kept.database, kept.tables, kept.holds, lambda: NOW).run_once()
    assert {each.table: each.deleted for each in run.tables}["wake_up"] == len(rows)


async def test_a_store_that_is_away_is_said_and_ends_nothing() -> None:
    class Away:
        async def write(self, _work: Any) -> Any:
            raise StorageUnavailableError("gone")

        read = write

    tables = kept_by_service()["diagnostics"]
    run = await Retention(Away(), tables, _holds_of("diagnostics"), lambda: NOW).run_once()  # type: ignore[arg-type]
    assert run.failed.count("gone") == len(tables)

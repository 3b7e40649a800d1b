"""Abnormal cases and restrictions as they are kept, on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select, update

import services.access
from services.access.adapters import store
from services.access.adapters.grant_translate import refusal_of
from services.access.adapters.outbox_messages import AccessMessages
from services.access.adapters.store import abnormal
from services.access.adapters.store.sharing import lock_for_owner
from services.access.adapters.store.tables import abnormal_cases, audit
from services.access.domain.abnormal import AbnormalKind, Consequence, Finding
from services.access.domain.grants import GrantRole, NewGrant
from services.access.domain.sharing import AccountStoppedError, GrantLimits
from services.platform.database import Database, open_database
from tests.support.databases import migrated

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MIGRATIONS = Path(services.access.__file__).with_name("migrations")
VIN = "KMHSH81C7LU123456"
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


@pytest.mark.parametrize("consequence", Consequence)
async def test_what_replicas_find_at_once_is_one_case_and_told_once(
    database_url: str, database: Database, consequence: Consequence
) -> None:
    sent: list[Any] = []
    rights = store.SqlGrantRecord(database, AccessMessages(), sent.extend)
    await rights.create(NewGrant("own", "anna", VIN, GrantRole.OWNER), by="operator", at=NOW)
    others = [database, *[await open_database(database_url) for _ in range(3)]]
    for day in range(6):
        sent.clear()
        found = Finding(AbnormalKind.VIN_ENUMERATION, "anna", f"day {day}", consequence)
        at = NOW + timedelta(days=day)
        records = [store.SqlAbnormalAccess(each, AccessMessages(), sent.extend) for each in others]
        await asyncio.gather(*(each.keep(found, by="watch", at=at) for each in records))
        (case,) = await records[0].cases(open_only=True)
        assert (case.times, len(sent)) == (4, 1)
        await records[0].acknowledge(case.case_id, by="bob", at=at)
        await records[0].restore("anna", by="anna", at=at)
    for each in others[1:]:
        await each.close()


async def test_owners_are_told_again_of_what_was_not_found_for_an_hour(database: Database) -> None:
    sent: list[Any] = []
    rights = store.SqlGrantRecord(database, AccessMessages(), sent.extend)
    record = store.SqlAbnormalAccess(database, AccessMessages(), sent.extend)
    await rights.create(NewGrant("own", "anna", VIN, GrantRole.OWNER), by="operator", at=NOW)
    found = Finding(AbnormalKind.UNLOCK_BURST, "anna", "many", Consequence.ALERT)
    told = []
    for minutes in (0, 10, 60, 120, 121):
        sent.clear()
        await record.keep(found, by="watch", at=NOW + timedelta(minutes=minutes))
        told.append(len(sent))
    assert told == [1, 0, 0, 1, 0]


async def test_a_case_that_an_older_version_acknowledged_is_not_in_the_way(
    database: Database, record: store.SqlAbnormalAccess
) -> None:
    found = Finding(AbnormalKind.UNLOCK_BURST, "anna", "many", Consequence.ALERT)
    old = await record.keep(found, by="watch", at=NOW)
    seen = update(abnormal_cases).values(acknowledged_by="bob", acknowledged_at=NOW)
    await database.write(lambda c: c.execute(seen).rowcount)
    new = await record.keep(found, by="watch", at=NOW)
    assert (new.case_id != old.case_id, new.times) == (True, 1)


async def test_of_operators_at_once_one_lifts_a_restriction(
    database: Database, record: store.SqlAbnormalAccess
) -> None:
    await record.restrict("anna", "reported", by="carol", at=NOW)
    asked = (
        record.restore_as_second("anna", by=who, at=NOW, alone=False) for who in ("alice", "bob", "dave")
    )
    await asyncio.gather(*asked)
    acts = await database.read(
        lambda c: list(c.execute(select(audit.c.act).order_by(audit.c.sequence)).scalars())
    )
    assert acts == ["ACCOUNT_RESTRICTED", "RESTORE_REQUESTED", "ACCOUNT_RESTORED"]


RESTORE = "spiffe://ecarus/team/operator"


async def test_a_request_to_restore_lapses_and_a_new_stop_clears_it(
    database: Database, record: store.SqlAbnormalAccess
) -> None:
    async def asked(who: str, hours: int) -> bool:
        """Whether the account is its person's again."""
        at = NOW + timedelta(hours=hours)
        found = await record.restore_as_second("anna", by=f"{RESTORE}/{who}", at=at, alone=False)
        return found.restricted_at is None and found.locked_at is None

    await record.restrict("anna", "odd", by="eve", at=NOW)
    assert not await asked("alice", 0)
    assert not await asked("bob", 24)  # what alice asked for has lapsed: bob is the first
    again = await record.restrict("anna", "odder", by="eve", at=NOW + timedelta(hours=25))
    assert (again.restriction_reason, again.restricted_at, again.restore_requested_by) == ("odder", NOW, "")
    assert not await asked("alice", 26)
    rights = store.SqlGrantRecord(database, AccessMessages(), lambda _: None)
    for reason, hours in (("stolen", 27), ("stolen", 28), ("and used", 30)):
        locked = await rights.lock("anna", reason, by="eve", at=NOW + timedelta(hours=hours))
        assert (locked.reason, locked.locked_at) == (reason, NOW + timedelta(hours=27))
        assert not await asked("alice", hours + 1)
    assert await asked("bob", 32)
    query = select(audit.c.act).where(audit.c.act.in_(["ACCOUNT_RESTRICTED", "ACCOUNT_LOCKED"]))
    acts = await database.read(lambda c: c.execute(query.order_by(audit.c.sequence)).scalars().all())
    assert acts == ["ACCOUNT_RESTRICTED"] * 2 + ["ACCOUNT_LOCKED"] * 3


@pytest.mark.parametrize("how", ["lock", "restrict"])
async def test_an_account_that_was_stopped_a_moment_ago_gives_nobody_a_right(
    database: Database, record: store.SqlAbnormalAccess, how: str
) -> None:
    rights = store.SqlGrantRecord(database, AccessMessages(), lambda _: None)
    shared = store.SqlSharedGrants(database, AccessMessages(), lambda _: None, GrantLimits(9, 9))
    await rights.create(NewGrant("own", "anna", VIN, GrantRole.OWNER), by="operator", at=NOW)
    stop = rights.lock if how == "lock" else record.restrict
    await stop(
        "anna", "stolen", by="eve", at=NOW
    )  # another replica's doing: nobody was asked to forget anything
    with pytest.raises(AccountStoppedError) as caught:
        await shared.transfer(VIN, "mallory", "g-2", by="anna", at=NOW)
    refusal = refusal_of(caught.value)
    assert refusal is not None
    assert refusal.reason.code == "ACCOUNT_RESTRICTED"
    await record.restore_as_second("anna", by="alice", at=NOW, alone=True)
    assert await database.write(lambda c: lock_for_owner(c, VIN, "anna", NOW)) == {"anna"}

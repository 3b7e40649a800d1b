"""Grants, keys and accounts as they are kept, on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from ecarus.remotecontrol.access.v1 import grant_pb2
from sqlalchemy import Connection, func, select, text

import services.access
from services.access.adapters import pending_grants, pending_keys, seed, store
from services.access.adapters.identity import key_hash
from services.access.adapters.outbox_messages import AccessMessages
from services.access.domain import key_scopes
from services.access.domain.accounts import ApiKeyUnknownError, Caller, NewApiKey, Source, key_id_of
from services.access.domain.customer_cases import NewCase
from services.access.domain.ended_rights import EndedKind
from services.access.domain.grants import GrantConflictError, GrantRole, GrantUnknownError, NewGrant
from services.access.domain.permissions import Allowance
from services.access.usecases.grants import GrantQuery
from services.platform.database import Database, open_database
from services.platform.migration import migrate
from tests.store.query_plans import Watch, walks
from tests.support.databases import migrated

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MIGRATIONS = Path(services.access.__file__).with_name("migrations")
VIN, OTHER = "KMHSH81C7LU123456", "KMHSH81C7LU654321"
NOW = datetime(2026, 1, 12, 14, 30, tzinfo=UTC)
PEPPER = b"pepper-of-the-store-tests"


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    await asyncio.to_thread(migrated, database_url, MIGRATIONS, store.HEAD)
    opened = await open_database(database_url)
    yield opened
    await opened.close()


class Sent(list[Any]):
    """The relay's ear."""

    def __call__(self, messages: Any) -> None:
        self.extend(messages)


def record_of(database: Database, sent: Sent) -> store.SqlGrantRecord:
    return store.SqlGrantRecord(database, AccessMessages(), sent)


def grant(grant_id: str = "g-1", **changed: Any) -> NewGrant:
    return NewGrant(
        **{"grant_id": grant_id, "principal": "user-123", "vin": VIN, "role": GrantRole.OWNER, **changed}
    )


async def count(database: Database, table: str) -> int:
    total: int = await database.read(
        lambda c: c.execute(select(func.count()).select_from(text(table))).scalar_one()
    )
    return total


async def test_the_migration_makes_the_tables_of_the_code(database: Database) -> None:
    assert {pending_grants.PendingGrantRow.__tablename__, pending_keys.PendingApiKeyRow.__tablename__} <= set(
        store.AccessModel.metadata.tables
    )

    def differences(connection: Connection) -> list[Any]:
        return compare_metadata(MigrationContext.configure(connection), store.AccessModel.metadata)

    assert await database.read(differences) == []


async def test_a_grant_is_kept_once(database: Database) -> None:
    record = record_of(database, Sent())
    made = await record.create(grant(valid_seconds=60), by="operator", at=NOW)
    again = await record.create(grant(valid_seconds=60), by="operator", at=NOW + timedelta(seconds=9))
    assert again == made
    assert made.expires_at == NOW + timedelta(seconds=60)
    assert await count(database, "audit_entry") == 1
    with pytest.raises(GrantConflictError):
        await record.create(grant(role=GrantRole.DIGITAL_KEY), by="operator", at=NOW)


async def test_a_revocation_commits_grant_audit_and_message(database: Database) -> None:
    sent = Sent()
    record = record_of(database, sent)
    await record.create(grant(), by="operator", at=NOW)
    later = NOW + timedelta(hours=1)
    revoked = await record.revoke("g-1", by="operator", at=later)
    assert revoked.revoked_at == later
    assert [message.subject for message in sent] == [
        *(f"door.update.{VIN}", "room.access.changed"),
        *("room.access.revoked", f"door.update.{VIN}", "room.access.changed"),
    ]
    assert (await count(database, "audit_entry"), await count(database, "outbox")) == (2, 5)
    assert await record.revoke("g-1", by="operator", at=later + timedelta(hours=1)) == revoked
    assert (await count(database, "audit_entry"), await count(database, "outbox"), len(sent)) == (2, 5, 5)
    revived = await record.create(grant(), by="operator", at=later)
    assert revived.revoked_at == later
    with pytest.raises(GrantUnknownError):
        await record.revoke("g-2", by="operator", at=later)


async def test_a_message_that_can_not_be_built_revokes_nothing(database: Database) -> None:
    class Failing(AccessMessages):
        def ended(self, *_: Any) -> Any:
            raise RuntimeError("no message")

    await record_of(database, Sent()).create(grant(), by="operator", at=NOW)
    with pytest.raises(RuntimeError):
        await store.SqlGrantRecord(database, Failing(), Sent()).revoke("g-1", by="operator", at=NOW)
    (kept,) = await record_of(database, Sent()).on_vehicle(VIN)
    assert kept.revoked_at is None
    assert await count(database, "audit_entry") == 1


async def test_questions_are_answered_from_the_record(database: Database) -> None:
    record = record_of(database, Sent())
    await record.create(grant("g-1"), by="operator", at=NOW)
    await record.create(
        grant(
            "g-2", principal="friend", role=GrantRole.SHARED_USER, actions=("door.lock",), valid_seconds=60
        ),
        by="operator",
        at=NOW,
    )
    await record.create(grant("g-3", principal="phone", role=GrantRole.DIGITAL_KEY), by="operator", at=NOW)
    asked = [
        GrantQuery("user-123", VIN, "door.unlock"),
        GrantQuery("friend", VIN, "door.lock"),
        GrantQuery("friend", VIN, "door.unlock"),
        GrantQuery("phone", VIN, "door.config.write"),
        GrantQuery("user-123", OTHER, "door.unlock"),
        GrantQuery("stranger", VIN, "door.unlock"),
        GrantQuery("user-123", VIN, "door.fly"),
    ]
    later = NOW + timedelta(seconds=60)
    assert await record.answer(asked, at=NOW) == [
        Allowance(GrantRole.OWNER),
        Allowance(GrantRole.SHARED_USER, ends_at=later),
        *[None] * 5,
    ]
    assert (await record.answer(asked, at=later))[:2] == [Allowance(GrantRole.OWNER), None]
    await record.revoke("g-1", by="operator", at=later)
    assert (await record.answer(asked, at=later))[0] is None
    assert len(await record.answer(asked[:1] * 512, at=later)) == 512


async def test_a_locked_account_has_no_rights(database: Database) -> None:
    record = record_of(database, Sent())
    await record.create(grant(), by="operator", at=NOW)
    locked_at = (NOW - timedelta(minutes=1)).timestamp() * 1_000_000

    def lock(connection: Connection) -> None:
        connection.execute(
            text("INSERT INTO principal (principal, locked_at, reason) VALUES ('user-123', :at, 'x')"),
            {"at": int(locked_at)},
        )

    await database.write(lock)
    assert await record.answer([GrantQuery("user-123", VIN, "door.unlock")], at=NOW) == [None]
    await record.create(grant("g-2", principal="user-456"), by="operator", at=NOW)
    by_actor = [GrantQuery("user-456", VIN, "door.unlock", actor) for actor in ("user-123", "user-456", "")]
    assert await record.answer(by_actor, at=NOW) == [None, *[Allowance(GrantRole.OWNER)] * 2]
    permissions = await database.read(lambda c: store.load_permissions(c, "user-123", "agent-7", VIN, NOW))
    assert permissions.locked == {"user-123"}


async def test_grants_add_up_and_end_by_themselves(database: Database) -> None:
    record = record_of(database, Sent())
    await record.create(grant("g-1", role=GrantRole.DIGITAL_KEY), by="operator", at=NOW)
    extra = grant("g-2", actions=("door.config.read",), valid_seconds=60)
    await record.create(extra, by="operator", at=NOW)

    async def permissions(at: datetime) -> Any:
        return await database.read(lambda c: store.load_permissions(c, "user-123", "user-123", VIN, at))

    now = await permissions(NOW)
    assert {"door.config.read", "door.unlock"} <= now.actions
    assert now.ends_at == (NOW + timedelta(seconds=60)).timestamp()
    assert "door.config.read" not in (await permissions(NOW + timedelta(seconds=60))).actions
    assert (await record.on_vehicle(VIN))[0].asked.grant_id == "g-1"


async def test_the_seed_is_planted_once_and_revives_nothing(database: Database) -> None:
    key = "sk_0123456789abcdef0123456789abcdef"
    planted = seed.Seed.model_validate(
        {
            "vehicles": [VIN, OTHER],
            "grants": [{"grantId": "g-1", "principal": "user-123", "vin": VIN, "role": "OWNER"}],
            "apiKeys": [{"key": key, "principal": "user-123", "source": "MOBILE_APP"}],
        }
    )
    for _ in range(2):
        await database.write(lambda c: seed.plant(c, planted, PEPPER, NOW))
    digest = key_hash(PEPPER, key)
    found = await database.read(lambda c: store.find_key(c, digest, NOW))
    assert found == Caller(
        "user-123",
        "user-123",
        Source.MOBILE_APP,
        credential=key_id_of(digest),
        scope=key_scopes.actions_of(key_scopes.UNLESS_NAMED),
        carries=frozenset(),
    )
    # One from before keys had scopes gets what the seed says since then, once.
    (named,) = planted.api_keys
    later = planted.model_copy(update={"api_keys": [named.model_copy(update={"scopes": ["door.unlock"]})]})
    await database.write(lambda c: seed.plant(c, later, PEPPER, NOW))
    found = await database.read(lambda c: store.find_key(c, digest, NOW))
    assert found is not None
    assert (found.scope, found.carries) == ({"door.unlock"}, {"door.unlock"})
    assert await database.read(lambda c: store.find_key(c, key_hash(b"another", key), NOW)) is None
    assert (await count(database, "vehicle"), await count(database, "api_key")) == (2, 1)
    await record_of(database, Sent()).revoke("g-1", by="operator", at=NOW)
    await database.write(lambda c: c.execute(text("UPDATE api_key SET revoked_at = 1")) and None)
    await database.write(lambda c: seed.plant(c, planted, PEPPER, NOW))
    assert await database.read(lambda c: store.find_key(c, digest, NOW)) is None
    permissions = await database.read(lambda c: store.load_permissions(c, "user-123", "user-123", VIN, NOW))
    assert not permissions.actions


async def test_a_key_is_given_an_earlier_end_and_never_a_later_one(database: Database) -> None:
    sent = Sent()
    record = record_of(database, sent)
    key = await record.issue_key(
        NewApiKey(b"\x01" * 32, "user-123", "robot", Source.WEB, 3_600), by="operator", at=NOW
    )
    sooner = NOW + timedelta(seconds=60)
    shortened = await record.expire_key(key.key_id, sooner, by="operator", at=NOW)
    assert shortened.expires_at == sooner
    assert len(sent) == 1  # what was opened with it knows the end that it had
    for ends in (sooner, sooner + timedelta(seconds=1)):
        assert await record.expire_key(key.key_id, ends, by="operator", at=NOW) == shortened
    assert (len(sent), await count(database, "audit_entry")) == (1, 2)
    assert await database.read(lambda c: store.find_key(c, b"\x01" * 32, sooner)) is None
    with pytest.raises(ApiKeyUnknownError):
        await record.expire_key("key_" + "0" * 32, sooner, by="operator", at=NOW)


async def test_the_last_use_of_a_key_never_goes_back(database: Database) -> None:
    record = record_of(database, Sent())
    keys = [
        await record.issue_key(
            NewApiKey(bytes([n]) * 32, "user-123", "robot", Source.WEB, 3_600), by="operator", at=NOW
        )
        for n in range(3)
    ]
    later, first, second = NOW + timedelta(seconds=9), keys[0].key_id, keys[1].key_id
    await database.write(
        lambda c: store.note_key_uses(c, {first: later, second: NOW, "key_" + "f" * 32: NOW})
    )
    await database.write(lambda c: store.note_key_uses(c, {first: NOW, second: later}))
    assert [key.last_used_at for key in await record.keys_of("user-123")] == [later, later, None]


async def test_two_same_creations_at_once_make_one_grant(database: Database) -> None:
    record = record_of(database, Sent())
    made = await asyncio.gather(*(record.create(grant(), by="operator", at=NOW) for _ in range(8)))
    assert len(set(made)) == 1
    assert (await count(database, "access_grant"), await count(database, "audit_entry")) == (1, 1)


async def test_cases_are_listed_in_the_same_order_by_every_database(database: Database) -> None:
    cases = store.SqlCustomerCases(database, AccessMessages(), Sent(), lambda: 0.0)
    for minute, number in enumerate(("case-1", "case-2")):
        at = NOW + timedelta(minutes=minute)
        await cases.open(NewCase(number, "user-123", ""), by="call-center", at=at)
    await cases.close("case-0", by="call-center", at=NOW)  # never opened here
    listed = await cases.listed(open_only=False, customer="")
    assert [each.asked.case_number for each in listed] == ["case-2", "case-1", "case-0"]


async def test_a_key_ends_by_itself(database: Database) -> None:
    digest = key_hash(PEPPER, "sk_0123456789abcdef0123456789abcdef")
    end = NOW + timedelta(minutes=5)
    await database.write(lambda c: store.add_key(c, digest, "user-123", Source.WEB, NOW, end))
    found = await database.read(lambda c: store.find_key(c, digest, NOW))
    assert found is not None
    assert (found.ends_at, found.expires_at) == (end.timestamp(), end.timestamp())
    assert await database.read(lambda c: store.find_key(c, digest, end)) is None
    question = GrantQuery("user-123", VIN, "door.lock", credential=key_id_of(digest))
    await record_of(database, Sent()).create(grant(), by="operator", at=NOW)
    assert await record_of(database, Sent()).answer([question], at=NOW) == [Allowance(GrantRole.OWNER)]
    assert await record_of(database, Sent()).answer([question], at=end) == [None]


async def test_two_grants_that_end_at_once_do_not_count_on_each_other(database: Database) -> None:
    told: list[Any] = []

    class Noted(AccessMessages):
        def ended(self, ended: Any, /) -> Any:
            told.append(ended)
            return super().ended(ended)

    record = store.SqlGrantRecord(database, Noted(), Sent())
    for name in ("g-1", "g-2"):
        await record.create(grant(name), by="operator", at=NOW)
    await asyncio.gather(*(record.revoke(name, by="operator", at=NOW) for name in ("g-1", "g-2")))
    assert [ended.kind for ended in told] == [EndedKind.GRANT] * 2
    assert sorted("door.updates.read" in ended.remaining for ended in told) == [False, True]
    assert not told[-1].remaining


async def test_lock_unlock_and_key_revocation_commit_audit_and_message(database: Database) -> None:
    sent = Sent()
    record = record_of(database, sent)
    digest = key_hash(PEPPER, "sk_0123456789abcdef0123456789abcdef")
    await database.write(lambda c: store.add_key(c, digest, "user-123", Source.WEB, NOW))
    for _ in range(2):
        assert (await record.lock("user-123", "stolen", by="operator", at=NOW)).locked_at == NOW
        await record.revoke_key(key_id_of(digest), by="operator", at=NOW)
    assert (await count(database, "audit_entry"), await count(database, "outbox"), len(sent)) == (2, 2, 2)
    restoring = store.SqlAbnormalAccess(database, AccessMessages(), sent)
    for _ in range(2):
        unlocked = await restoring.restore_as_second("user-123", by="operator", at=NOW, alone=True)
        assert unlocked.locked_at is None
    assert (await record.lock("user-123", "again", by="operator", at=NOW)).reason == "again"
    acts = await database.read(
        lambda c: c.execute(text("SELECT act FROM audit_entry ORDER BY sequence")).scalars().all()
    )
    assert acts == ["ACCOUNT_LOCKED", "API_KEY_REVOKED", "ACCOUNT_UNLOCKED", "ACCOUNT_LOCKED"]
    assert len(sent) == 3


async def test_an_issuers_key_that_is_missing_is_told_once(database: Database) -> None:
    sent = Sent()
    record = record_of(database, sent)
    await record.note_issuer_keys(["iss_a", "iss_b"], at=NOW)
    await record.note_issuer_keys(["iss_b", "iss_c"], at=NOW)
    await record.note_issuer_keys(["iss_b", "iss_c"], at=NOW)
    (message,) = sent
    assert grant_pb2.GrantRevoked.FromString(message.payload).credential == "iss_a"


async def test_what_the_signer_asks_walks_through_no_table(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/room.sqlite3"
    await asyncio.to_thread(migrate, url, MIGRATIONS, store.HEAD)
    database = await open_database(url)
    watch = Watch(database._engine)  # type: ignore[attr-defined]  # SQLite's
    vins = [f"KMHSH81C7LU12345{n}" for n in range(5)]
    asked = [
        GrantQuery("user-123", vin, "door.unlock", "agent-7", f"key_{n:032x}") for n, vin in enumerate(vins)
    ]
    assert await record_of(database, Sent()).answer(asked, at=NOW) == [None] * 5
    assert len(watch.ran) == 3
    grown = set(store.AccessModel.metadata.tables)
    assert await database.read(lambda connection: list(walks(connection, dict(watch.ran), grown))) == []
    await database.close()

"""API keys that operators issue, and accounts side by side, on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
import secrets
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from services.access.adapters import store
from services.access.adapters.outbox_messages import AccessMessages
from services.access.adapters.pending_keys import SqlPendingApiKeys
from services.access.domain.accounts import ApiKeyNotPendingError, ApiKeyUnknownError, NewApiKey, Source
from services.access.domain.approvals import APPROVAL_TIME, SameOperatorError
from services.access.domain.grants import GrantRole
from services.access.domain.sharing import GrantLimits, GrantOffer, TooManyGrantsError
from tests.store.test_access_store import NOW, VIN, Sent, count, database, grant, record_of

if TYPE_CHECKING:
    from datetime import datetime

    from services.platform.database import Database

__all__ = ["database"]  # the fixture


def new_key(principal: str = "user-123", **changed: Any) -> NewApiKey:
    form = {"key_hash": secrets.token_bytes(32), "name": "robot", "source": Source.WEB, "valid_seconds": 60}
    return NewApiKey(principal=principal, **{**form, **changed})


async def opens(database: Database, key: NewApiKey, seconds: float = 0) -> bool:
    at = NOW + timedelta(seconds=seconds)
    return await database.read(lambda c: store.find_key(c, key.key_hash, at)) is not None


async def test_a_key_is_issued_for_its_time(database: Database) -> None:
    record, key = record_of(database, Sent()), new_key()
    issued = await record.issue_key(key, by="alice", at=NOW)
    assert (issued.key_id, issued.name, issued.source) == (key.key_id, "robot", Source.WEB)
    assert await record.keys_of("user-123") == [issued]
    assert [await opens(database, key, seconds) for seconds in (0, 59, 60)] == [True, True, False]
    assert await count(database, "audit_entry") == 1


async def test_a_pending_key_is_one_once_and_of_two_who_approve_at_once(database: Database) -> None:
    pending, key = SqlPendingApiKeys(database), new_key()
    await pending.request(key, by="alice", at=NOW)
    assert not await opens(database, key)
    with pytest.raises(SameOperatorError):
        await pending.approve(key.key_id, by="alice", at=NOW)
    later = NOW + timedelta(seconds=30)
    both = await asyncio.gather(
        *(pending.approve(key.key_id, by=name, at=later) for name in ("bob", "carol"))
    )
    assert both[0] == both[1]
    assert both[0][0].expires_at == later + timedelta(seconds=60)
    assert await opens(database, key, 89)
    assert await count(database, "audit_entry") == 3
    assert await pending.cancel(key.key_id, by="alice", at=later) is None
    revoked = await record_of(database, Sent()).revoke_key(key.key_id, by="alice", at=later)
    assert revoked.revoked_at == later
    assert (await pending.approve(key.key_id, by="bob", at=later))[0] == revoked
    assert not await opens(database, key, 31)


async def test_a_pending_key_lapses_and_is_withdrawn(database: Database) -> None:
    pending, lapsed, cancelled = SqlPendingApiKeys(database), new_key(), new_key()
    for key in (lapsed, cancelled):
        await pending.request(key, by="alice", at=NOW)
    ended = await pending.cancel(cancelled.key_id, by="bob", at=NOW)
    assert ended is not None
    assert ended.ended_at == NOW
    assert await pending.cancel(cancelled.key_id, by="bob", at=NOW + timedelta(seconds=1)) == ended
    for key, at in ((lapsed, NOW + APPROVAL_TIME), (cancelled, NOW), (new_key(), NOW)):
        with pytest.raises(ApiKeyNotPendingError):
            await pending.approve(key.key_id, by="bob", at=at)
    assert {each.asked.key_id for each in await pending.of("user-123")} == {lapsed.key_id, cancelled.key_id}
    with pytest.raises(ApiKeyUnknownError):
        await record_of(database, Sent()).revoke_key(lapsed.key_id, by="bob", at=NOW)


async def test_accounts_are_listed_in_pages_that_hold(database: Database) -> None:
    record = record_of(database, Sent())
    for number in range(5):
        await record.create(grant(f"g-{number}", principal=f"user-{number}"), by="operator", at=NOW)
    await record.create(grant("g-9", principal="user-0", valid_seconds=1), by="operator", at=NOW)
    await record.issue_key(new_key("user-3", valid_seconds=90), by="alice", at=NOW)
    await record.issue_key(new_key("only-a-key"), by="alice", at=NOW)
    await record.lock("user-4", "stolen", by="operator", at=NOW)
    await record.lock("a-stranger", "threats", by="operator", at=NOW)
    at = NOW + timedelta(seconds=60)
    seen: list[tuple[str, int, int, str]] = []
    while page := await record.summaries(
        after=seen[-1][0] if seen else "", limit=3, locked_only=False, at=at
    ):
        seen += [(each.account.principal, each.grants, each.api_keys, each.account.reason) for each in page]
    assert seen == [
        ("a-stranger", 0, 0, "threats"),
        ("only-a-key", 0, 0, ""),
        ("user-0", 1, 0, ""),
        ("user-1", 1, 0, ""),
        ("user-2", 1, 0, ""),
        ("user-3", 1, 1, ""),
        ("user-4", 1, 0, "stolen"),
    ]
    locked = await record.summaries(after="", limit=9, locked_only=True, at=at)
    assert [each.account.principal for each in locked] == ["a-stranger", "user-4"]
    shown = await record.overview("user-0", at=at)
    assert ([each.asked.grant_id for each in shown.grants], list(shown.api_keys)) == (["g-0"], [])
    known = {
        name: (await record.overview(name, at=at)).known
        for name in ("user-0", "only-a-key", "a-stranger", "nobody")
    }
    assert known == {"user-0": True, "only-a-key": True, "a-stranger": True, "nobody": False}


async def test_a_right_that_rests_counts_until_it_runs_out(database: Database) -> None:
    record, at = record_of(database, Sent()), NOW + timedelta(seconds=30)
    sharing = store.SqlSharedGrants(database, AccessMessages(), Sent(), GrantLimits(4, 4))
    await record.create(grant("own", principal="owner"), by="operator", at=NOW)

    async def offer(name: str, digest: str, when: datetime) -> None:
        new = grant(name, principal="friend", role=GrantRole.DIGITAL_KEY, valid_seconds=60)
        await sharing.offer(GrantOffer(new, "owner", digest), at=when)

    for name in ("offered", "suspended"):
        await offer(name, name, NOW)
    await sharing.accept(VIN, "suspended", by="friend", at=NOW)
    await sharing.suspend(VIN, "suspended", by="owner", at=NOW)

    async def friends(when: datetime) -> tuple[set[str], int]:
        listed = await sharing.listed(VIN, "owner", is_owner=True, at=when)
        (summary,) = await record.summaries(after="", limit=1, locked_only=False, at=when)
        return {each.grant.asked.grant_id for each in listed} - {"own"}, summary.grants

    assert await friends(at) == ({"offered", "suspended"}, 2)
    assert await friends(NOW + timedelta(minutes=2)) == ({"offered", "suspended"}, 1)
    assert await friends(NOW + timedelta(days=60)) == (set(), 0)
    later = NOW + timedelta(days=60)
    for number in range(3):  # what has run out leaves room
        await offer(f"later-{number}", "later", later)
    with pytest.raises(TooManyGrantsError):
        await offer("later-3", "later", later)

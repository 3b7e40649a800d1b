"""Changes of rights that come at the same moment, on SQLite and on PostgreSQL: none undoes another."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import services.access
from services.access.adapters import pending_grants, store
from services.access.adapters.outbox_messages import AccessMessages, agent_alert
from services.access.domain.agents import EmergencyApproval
from services.access.domain.grants import GrantRole, NewGrant
from services.access.domain.severance import NewSeverance
from services.access.domain.sharing import GrantEndedError, GrantLimits, GrantNotPossibleError
from services.platform.database import Database, open_database
from tests.support.databases import migrated

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MIGRATIONS = Path(services.access.__file__).with_name("migrations")
VIN = "KMHSH81C7LU123456"
NOW = datetime(2026, 1, 12, 14, 30, tzinfo=UTC)
TIMES = 12
"""So often: what goes wrong at the same moment does not do so each time."""


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    await asyncio.to_thread(migrated, database_url, MIGRATIONS, store.HEAD)
    opened = await open_database(database_url)
    yield opened
    await opened.close()


def nobody(_: Any) -> None:
    """Hear of messages, and do nothing."""


def grant(grant_id: str, principal: str, role: GrantRole = GrantRole.DIGITAL_KEY, vin: str = VIN) -> NewGrant:
    return NewGrant(grant_id, principal, vin, role)


async def at_once(*work: Any, may_raise: type[Exception]) -> None:
    """Do all of it at the same time. One may come too late, and say so."""
    for each in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(each, BaseException) and not isinstance(each, may_raise):
            raise each


async def test_a_revocation_outlasts_what_an_owner_changes_meanwhile(database: Database) -> None:
    record = store.SqlGrantRecord(database, AccessMessages(), nobody)
    sharing = store.SqlSharedGrants(database, AccessMessages(), nobody, GrantLimits(99, 99))
    await record.create(grant("own", "owner", GrantRole.OWNER), by="operator", at=NOW)
    for name in (f"g-{n}" for n in range(TIMES)):
        await record.create(grant(name, "friend"), by="operator", at=NOW)
        await at_once(
            sharing.suspend(VIN, name, by="owner", at=NOW),
            record.revoke(name, by="operator", at=NOW),
            sharing.resume(VIN, name, by="owner", at=NOW),
            may_raise=GrantEndedError,
        )
    kept = await record.on_vehicle(VIN)
    assert {each.asked.grant_id for each in kept if each.revoked_at is None} == {"own"}


@pytest.mark.parametrize("asked", ["created", "approved"])
async def test_no_operators_grant_slips_past_a_severance(database: Database, asked: str) -> None:
    record = store.SqlGrantRecord(database, AccessMessages(), nobody)
    pending = pending_grants.SqlPendingGrants(database, AccessMessages(), nobody)
    severances = store.SqlSeverances(database, AccessMessages(), nobody)
    for number in range(TIMES):
        vin = f"KMHSH81C7LU1000{number:02}"  # nobody knows the vehicle before
        new = grant(f"g-{number}", "person", vin=vin)
        if asked == "approved":
            await pending.request(new, by="alice", at=NOW)
            given: Any = pending.approve(new.grant_id, by="bob", at=NOW)
        else:
            given = record.create(new, by="alice", at=NOW)
        severance = NewSeverance(f"s-{number}", vin, "person", "file 1", "alice", "file 2")
        await at_once(given, severances.sever(severance, at=NOW), may_raise=GrantNotPossibleError)
        assert [each for each in await record.on_vehicle(vin) if each.revoked_at is None] == []


async def test_two_agents_approve_the_same_emergency_at_once(database: Database) -> None:
    agents = store.SqlAgentRecord(database, agent_alert, nobody)
    for case in (f"case-{n}" for n in range(TIMES)):
        both = [EmergencyApproval(VIN, "person", "agent-1", case, by, NOW) for by in ("agent-2", "agent-3")]
        await asyncio.gather(*map(agents.approve, both))
        assert await agents.is_approved(VIN, "person", "agent-1", case, at=NOW)

"""Audit entries as services bring them, and a ledger to keep them in."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import services.audit
from services.audit.adapters.sealing import HouseKey
from services.audit.adapters.store import HEAD, SqlLedger
from services.audit.domain.entries import AuditDecision, AuditEntry
from services.platform.database import open_database
from tests.support.databases import migrated

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

VIN = "KMHSH81C7LU123456"
T0 = datetime(2026, 1, 12, 14, 30, tzinfo=UTC)
HOUSE_KEY = HouseKey(b"h" * 32)


def entry(number: int = 1, **more: Any) -> AuditEntry:
    """The entry of this number: an agent's unlock for a customer."""
    made = AuditEntry(
        entry_id=f"command-{number}",
        at=T0 + timedelta(seconds=number),
        service="command",
        kind="COMMAND_ACCEPTED",
        decision=AuditDecision.ALLOWED,
        vin=VIN,
        subject="user-123",
        actor="agent-7",
        source="CALL_CENTER",
        factors=("pwd", "otp", "acr:2"),
        rule="OWNER",
        action="door.unlock",
        correlation_id=f"corr-{number}",
        command_id=f"cmd-{number}",
        order_sha256=bytes([number % 256]) * 32,
        detail={"doors": "all"},
    )
    return replace(made, **more)


async def migrated_audit(url: str) -> None:
    """Make the ledger's database."""
    revisions = Path(services.audit.__file__).with_name("migrations")
    await asyncio.to_thread(migrated, url, revisions, HEAD)


@asynccontextmanager
async def opened_ledger(url: str) -> AsyncIterator[SqlLedger]:
    """A ledger on the database of this URL, which is made."""
    await migrated_audit(url)
    database = await open_database(url)
    try:
        yield SqlLedger(database, HOUSE_KEY, lambda: T0 + timedelta(days=1))
    finally:
        await database.close()

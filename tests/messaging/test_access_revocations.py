"""A right that one replica ends is forgotten by the others as soon as the broker tells them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import services.access
from protocol.streams import ROOM_EVENTS, STREAMS
from services.access.adapters import store, translate
from services.access.adapters.outbox_messages import AccessMessages
from services.access.adapters.revocations import follow_revocations
from services.access.domain.grants import GrantRole, NewGrant
from services.platform.database import open_database
from services.platform.outbox import OutboxRelay
from services.telematics.broker import connect_broker
from tests.support.databases import migrated

VIN = "KMHSH81C7LU123456"


def utc_now() -> datetime:
    return datetime.now(UTC)


async def test_a_revocation_reaches_the_other_replicas(nats_server: Any, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/access.sqlite3"
    await asyncio.to_thread(migrated, url, Path(services.access.__file__).with_name("migrations"), store.HEAD)
    database = await open_database(url)
    mine, theirs = [await connect_broker(nats_server.settings(), name=n) for n in ("mine", "theirs")]
    await mine.ensure_streams(STREAMS[ROOM_EVENTS])
    forgotten = asyncio.Event()
    concerned: list[tuple[str, str]] = []

    def invalidate(*, principal: str = "", credential: str = "") -> None:
        concerned.append((principal, credential))
        forgotten.set()

    await follow_revocations(theirs.client, invalidate)
    await theirs.client.flush()
    relay = OutboxRelay(database, store.outbox, translate.OUTBOX_QUEUE, mine.publish_all, utc_now)
    running = asyncio.create_task(relay.run())
    try:
        record = store.SqlGrantRecord(database, AccessMessages(), relay.hand_over)
        await record.create(NewGrant("g-1", "user-123", VIN, GrantRole.OWNER), by="operator", at=utc_now())
        assert not forgotten.is_set()
        await record.revoke("g-1", by="operator", at=utc_now())
        await asyncio.wait_for(forgotten.wait(), 30)
        assert concerned == [("user-123", "")]
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        for broker in (mine, theirs):
            await broker.close()
        await database.close()

"""The config service's store on both databases, and cars to sign for."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import func, select

import services.config
from services.config.adapters import dispatch, store, translate
from services.config.domain.config import ChangeRequest, News
from services.config.domain.settings import SettingsChange
from services.config.usecases import VerifiedConfigMessage
from services.platform.database import Database, open_database
from services.platform.outbox import OutboxRelay, OutgoingMessage
from services.telematics.order_mac import OrderMac
from tests.support.databases import migrated
from tests.support.protocol_harness import VIN

MAC = OrderMac(b"only in tests, and long enough for a key")


T0 = datetime(2026, 1, 12, 10, 0, tzinfo=UTC)


MIGRATIONS = Path(services.config.__file__).with_name("migrations")


async def send_nothing(messages: object) -> list[bool]:
    raise AssertionError(f"no relay runs here: {messages}")


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    await asyncio.to_thread(migrated, database_url, MIGRATIONS, store.HEAD)
    opened = await open_database(database_url)
    yield opened
    await opened.close()


@pytest.fixture
def record(database: Database) -> store.ConfigStore:
    relay = OutboxRelay(database, store.outbox, dispatch.QUEUE, send_nothing, lambda: T0)
    return store.ConfigStore(
        database, relay, dispatch.outgoing, partial(translate.stamp, MAC), translate.weakened
    )


def wish(
    correlation_id: str = "c-1", actor: str = "user-123", subject: str = "user-123", **settings: object
) -> ChangeRequest:
    change = SettingsChange(**settings)  # type: ignore[arg-type]  # the tests name real settings
    return ChangeRequest(
        VIN, change, subject, actor, "MOBILE_APP", correlation_id, "secret token", may_weaken=True
    )


def received(news: News) -> VerifiedConfigMessage:
    """Believed: the session is another test's matter."""
    return VerifiedConfigMessage(news.vin, news.message_id, lambda _replay_guard: news)


async def count(database: Database, table: str) -> int:
    query = select(func.count()).select_from(store.ConfigModel.metadata.tables[table])
    return int(await database.read(lambda connection: connection.execute(query).scalar_one()))


async def sent(database: Database) -> list[OutgoingMessage]:
    query = select(store.outbox.table).order_by(store.outbox.table.c.sequence)
    rows = await database.read(lambda connection: connection.execute(query).all())
    return [
        OutgoingMessage(r.message_id, r.queue, r.subject, bytes(r.payload), r.created_at, r.ttl_seconds)
        for r in rows
    ]

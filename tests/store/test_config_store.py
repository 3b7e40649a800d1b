import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, func, select

import services.config
from services.config import store, vehicle_link
from services.config.domain import (
    Answer,
    ApplicationState,
    ChangeRequest,
    CorrelationIdReused,
    DoorSettings,
    Hello,
    SettingsChange,
    UnlockMode,
)
from services.runtime.database import Database, open_database
from services.runtime.migration import config_for, migrate
from services.runtime.outbox import OutboxRelay, OutgoingMessage

VIN = "KMHSH81C7LU123456"
T0 = datetime(2026, 1, 12, 10, 0, tzinfo=UTC)
MIGRATIONS = Path(services.config.__file__).with_name("migrations")


async def send_nothing(messages: object) -> list[bool]:
    raise AssertionError(f"no relay runs here: {messages}")


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    await asyncio.to_thread(migrate, database_url, MIGRATIONS, store.HEAD)
    opened = await open_database(database_url)
    yield opened
    await opened.close()


@pytest.fixture
def record(database: Database) -> store.ConfigStore:
    relay = OutboxRelay(database, store.outbox, vehicle_link.QUEUE, send_nothing, lambda: T0)
    return store.ConfigStore(database, relay, vehicle_link.outgoing)


def wish(correlation_id: str = "c-1", actor: str = "user-123", **settings: object) -> ChangeRequest:
    change = SettingsChange(**settings)  # type: ignore[arg-type]  # the tests name real settings
    return ChangeRequest(VIN, change, "user-123", actor, "MOBILE_APP", correlation_id)


async def count(database: Database, table: str) -> int:
    query = select(func.count()).select_from(store.RoomModel.metadata.tables[table])
    return int(await database.read(lambda connection: connection.execute(query).scalar_one()))


async def sent(database: Database) -> list[OutgoingMessage]:
    query = select(store.outbox.table).order_by(store.outbox.table.c.sequence)
    rows = await database.read(lambda connection: connection.execute(query).all())
    return [
        OutgoingMessage(r.message_id, r.queue, r.subject, bytes(r.payload), r.created_at, r.ttl_seconds)
        for r in rows
    ]


async def test_tables_and_migrations_agree_both_ways(database: Database) -> None:
    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection)
        found: list[object] = compare_metadata(context, store.RoomModel.metadata)
        return found

    def down(connection: Connection) -> None:
        command.downgrade(config_for(connection, MIGRATIONS), "base")

    assert await database.read(differences) == []
    await database.write(down)
    assert len(await database.read(differences)) > 0


async def test_a_vehicle_is_known_from_its_first_sight(record: store.ConfigStore) -> None:
    assert await record.find(VIN) is None
    first = await record.first_sight(VIN, T0)
    again = await record.first_sight(VIN, T0 + timedelta(days=1))

    assert first == again == await record.find(VIN)
    assert (first.settings, first.updated_at, first.desired_version) == (DoorSettings(), T0, 0)


async def test_one_commit_keeps_settings_answer_audit_and_message(
    record: store.ConfigStore, database: Database
) -> None:
    answer = await record.change(wish(unlock_mode=UnlockMode.DRIVER_ONLY), T0)

    assert answer == await record.find(VIN)
    assert (answer.desired_version, answer.settings.unlock_mode) == (1, UnlockMode.DRIVER_ONLY)
    (message,) = await sent(database)
    assert (message.queue, message.subject, message.ttl_seconds) == (
        "vehicle",
        f"vehicle.{VIN}.cmd.config",
        60,
    )
    assert await count(database, "config_audit") == await count(database, "first_answer") == 1


async def test_a_failed_change_keeps_nothing(database: Database) -> None:
    def defect(*_: object) -> OutgoingMessage:
        raise RuntimeError("defect")

    relay = OutboxRelay(database, store.outbox, vehicle_link.QUEUE, send_nothing, lambda: T0)
    record = store.ConfigStore(database, relay, defect)

    with pytest.raises(RuntimeError):
        await record.change(wish(child_lock_enabled=True), T0)

    assert await record.find(VIN) is None
    assert await count(database, "config_audit") == await count(database, "outbox") == 0


async def test_a_repeat_gets_the_first_answer_and_changes_nothing(
    record: store.ConfigStore, database: Database
) -> None:
    first = await record.change(wish("c-1", child_lock_enabled=True), T0)
    await record.change(wish("c-2", child_lock_enabled=False), T0)

    assert await record.change(wish("c-1", child_lock_enabled=True), T0 + timedelta(hours=23)) == first
    assert await count(database, "config_audit") == len(await sent(database)) == 2


async def test_a_reused_id_is_refused_without_effect(record: store.ConfigStore) -> None:
    first = await record.change(wish(child_lock_enabled=True), T0)

    with pytest.raises(CorrelationIdReused):
        await record.change(wish(child_lock_enabled=False), T0)

    assert await record.find(VIN) == first


async def test_an_id_belongs_to_its_principal_and_for_a_day(record: store.ConfigStore) -> None:
    await record.change(wish(child_lock_enabled=True), T0)
    other = await record.change(wish(actor="agent-7", child_lock_enabled=False), T0)
    later = await record.change(wish(child_lock_enabled=True), T0 + timedelta(hours=24))

    assert (other.desired_version, later.desired_version) == (2, 3)


async def test_a_change_to_what_is_already_so_is_audited_and_sends_nothing(
    record: store.ConfigStore, database: Database
) -> None:
    answer = await record.change(wish(auto_lock_delay_seconds=30), T0)

    assert answer.desired_version == 0
    assert await count(database, "config_audit") == 1
    assert await sent(database) == []


async def test_changes_at_once_are_all_kept(record: store.ConfigStore) -> None:
    await asyncio.gather(
        record.change(wish("a", auto_lock_delay_seconds=60), T0),
        record.change(wish("b", unlock_mode=UnlockMode.SEQUENCE), T0),
        record.change(wish("c", speed_lock_threshold_kmh=20), T0),
        record.change(wish("d", child_lock_enabled=True), T0),
    )

    config = await record.find(VIN)
    assert config is not None
    assert config.settings == DoorSettings(
        auto_lock_delay_seconds=60,
        unlock_mode=UnlockMode.SEQUENCE,
        speed_lock_threshold_kmh=20,
        child_lock_enabled=True,
    )
    assert config.desired_version == 4


async def test_the_same_request_twice_at_once_is_one_change(
    record: store.ConfigStore, database: Database
) -> None:
    answers = await asyncio.gather(*(record.change(wish(child_lock_enabled=True), T0) for _ in range(5)))

    assert len(set(answers)) == 1
    assert await count(database, "config_audit") == len(await sent(database)) == 1


async def test_what_the_vehicle_says_is_kept_once(record: store.ConfigStore, database: Database) -> None:
    await record.change(wish(child_lock_enabled=True), T0)
    hello = Hello(VIN, "m-1", T0, 0)
    answer = Answer(VIN, "m-2", T0 + timedelta(seconds=1), 1, applied=True, reason="")

    await record.take_in([hello, answer], T0)
    await record.take_in([hello, answer], T0)

    config = await record.find(VIN)
    assert config is not None
    assert (config.state, config.applied_at) == (ApplicationState.APPLIED, answer.answered_at)
    assert (
        len({m.message_id for m in await sent(database)}) == 2
    )  # the change, and the hello before it arrived


async def test_forgetting_lets_go_of_what_is_old_and_of_nothing_else(
    record: store.ConfigStore, database: Database
) -> None:
    await record.change(wish("old", child_lock_enabled=True), T0)
    await record.take_in([Hello(VIN, "old", T0, 0)], T0)
    later = T0 + timedelta(days=10)
    await record.change(wish("new", child_lock_enabled=False), later)
    await record.take_in([Hello(VIN, "new", later, 0)], later)

    await record.forget(later - timedelta(hours=24), later - timedelta(days=8))

    assert await count(database, "first_answer") == await count(database, "inbox") == 1
    assert await count(database, "config_audit") == 2

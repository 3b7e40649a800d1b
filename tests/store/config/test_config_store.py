"""Settings as they are kept: wanted, answered once, and what the vehicle says of them."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from ecarus.remotecontrol.audit.v1.audit_entry_pb2 import AuditEntry
from sqlalchemy import Connection

from services.config.adapters import dispatch, store, translate
from services.config.adapters.kept import kept_tables
from services.config.domain.config import (
    ApplicationState,
    ConfigAnswer,
    ConfigCorrelationIdReusedError,
    Hello,
)
from services.config.domain.settings import DoorSettings, LeftOutSettings, UnlockMode
from services.platform.audit_entry import EntryIds
from services.platform.audited_database import AuditedDatabase
from services.platform.database import Database
from services.platform.migration import config_for
from services.platform.outbox import OutboxRelay, OutgoingMessage
from services.platform.retention import Retention
from tests.store.config.conftest import MAC, MIGRATIONS, T0, count, received, send_nothing, sent, wish
from tests.support.protocol_harness import VIN


async def test_tables_and_migrations_agree_both_ways(database: Database) -> None:
    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection)
        found: list[object] = compare_metadata(context, store.ConfigModel.metadata)
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

    relay = OutboxRelay(database, store.outbox, dispatch.QUEUE, send_nothing, lambda: T0)
    record = store.ConfigStore(database, relay, defect, partial(translate.stamp, MAC), translate.weakened)

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

    with pytest.raises(ConfigCorrelationIdReusedError):
        await record.change(wish(child_lock_enabled=False), T0)

    assert await record.find(VIN) == first


async def test_an_id_belongs_to_its_customer_and_for_a_day(record: store.ConfigStore) -> None:
    await record.change(wish(child_lock_enabled=True), T0)
    agents = [await record.change(wish(actor=a, child_lock_enabled=True), T0) for a in ("agent-7", "agent-8")]
    other = await record.change(wish(subject="user-456", actor="agent-7", child_lock_enabled=False), T0)
    later = await record.change(wish(child_lock_enabled=True), T0 + timedelta(hours=24))

    assert [each.desired_version for each in (*agents, other, later)] == [1, 1, 2, 3]


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
    answer = ConfigAnswer(VIN, "m-2", T0 + timedelta(seconds=1), 1, applied=True, reason="")

    await record.ingest([received(hello), received(answer)], T0)
    await record.ingest([received(hello), received(answer)], T0)

    config = await record.find(VIN)
    assert config is not None
    assert (config.state, config.applied_at) == (ApplicationState.APPLIED, answer.answered_at)
    assert (
        len({m.message_id for m in await sent(database)}) == 2
    )  # the change, and the hello before it arrived


async def test_what_runs_outlives_a_refused_change(record: store.ConfigStore) -> None:
    await record.change(wish(auto_lock_delay_seconds=60), T0)
    await record.ingest([received(ConfigAnswer(VIN, "m-1", T0, 1, applied=True, reason=""))], T0)
    await record.change(wish("c-2", child_lock_enabled=True), T0)
    await record.ingest([received(ConfigAnswer(VIN, "m-2", T0, 2, applied=False, reason="none fitted"))], T0)
    shown = await record.find(VIN)
    running = replace(DoorSettings(), auto_lock_delay_seconds=60)
    assert shown is not None
    assert (shown.settings, shown.running, shown.rejection) == (running, running, "none fitted")
    after = await record.change(wish("c-3", speed_lock_threshold_kmh=40), T0)
    assert after.settings == replace(running, speed_lock_threshold_kmh=40)


async def test_what_was_left_out_is_kept_and_repeats_get_the_first_answer(record: store.ConfigStore) -> None:
    await record.change(wish(child_lock_enabled=True), T0)
    lacks_it = ConfigAnswer(VIN, "m-1", T0, 1, applied=True, reason="none fitted", running=DoorSettings())
    await record.ingest([received(lacks_it)], T0)
    shown = await record.find(VIN)
    assert shown is not None
    assert shown.left_out == LeftOutSettings(("child_lock_enabled",), "none fitted")
    same = wish("c-2", child_lock_enabled=False)  # it is so already
    first, again = await record.change(same, T0), await record.change(same, T0)
    assert first.left_out == again.left_out == shown.left_out
    assert (await record.change(wish("c-3", child_lock_enabled=True), T0)).left_out is None


async def test_forgetting_lets_go_of_what_is_old_and_of_nothing_else(
    record: store.ConfigStore, database: Database
) -> None:
    await record.change(wish("old", child_lock_enabled=True), T0)
    await record.ingest([received(Hello(VIN, "old", T0, 0))], T0)
    later = T0 + timedelta(days=10)
    await record.change(wish("new", child_lock_enabled=False), later)
    await record.ingest([received(Hello(VIN, "new", later, 0))], later)

    await Retention(database, kept_tables(timedelta(days=30)), store.holds, lambda: later).run_once()

    assert await count(database, "first_answer") == await count(database, "inbox") == 1
    assert await count(database, "config_audit") == 2


async def test_a_change_is_an_entry_of_its_commit_and_what_changes_nothing_is_none(
    database: Database,
) -> None:
    audited = AuditedDatabase(database, store.audit_outbox, EntryIds("config"))
    relay = OutboxRelay(database, store.outbox, dispatch.QUEUE, send_nothing, lambda: T0)
    record = store.ConfigStore(
        audited, relay, dispatch.outgoing, partial(translate.stamp, MAC), translate.weakened
    )
    await record.change(wish("c-1", auto_lock_delay_seconds=45), T0)
    await record.change(wish("c-1", auto_lock_delay_seconds=45), T0)
    await record.change(wish("c-2", auto_lock_delay_seconds=45), T0)
    waiting = await database.read(lambda c: store.audit_outbox.waiting(c, 10))
    (entry,) = (AuditEntry.FromString(each.entry) for each in waiting)
    assert (entry.kind, entry.vin, entry.subject) == ("CONFIG_CHANGED", VIN, "user-123")
    assert dict(entry.detail) == {"auto_lock_delay_seconds": "45"}
    assert await count(database, "config_audit") == 2

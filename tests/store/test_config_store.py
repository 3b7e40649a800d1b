import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from ecarus.remotecontrol.access.v1.order_signing_service_pb2 import RequestedOrder
from ecarus.remotecontrol.vehicle.v1 import command_pb2
from sqlalchemy import Connection, func, select

import services.config
from protocol.cloud_side import AnswerReader, ReplayGuard, SessionSlot
from protocol.faults import Fault, MessageRefusedError
from protocol.keys import OpenKeys, VehicleKeys
from services.config.adapters import dispatch, store, translate
from services.config.domain import (
    RIGHT_ENDED,
    ApplicationState,
    ChangeRequest,
    ConfigAnswer,
    ConfigCorrelationIdReusedError,
    ConfigRightEnded,
    DoorSettings,
    Hello,
    LeftOutSettings,
    News,
    SettingsChange,
    UnlockMode,
)
from services.config.usecases import SignedSettings, UnsignedSettings, VerifiedConfigMessage
from services.platform.database import Database, open_database
from services.platform.migration import config_for
from services.platform.outbox import OutboxRelay, OutgoingMessage
from services.telematics.order_mac import OrderMac
from tests.support.databases import migrated
from tests.support.protocol_harness import CLOUD_SEAL, OTHER_VIN, VIN, Car, Clock

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


class Cars:
    """Two cars of a fleet, by one clock; and protocol's Enrolment of them."""

    def __init__(self) -> None:
        clock = Clock()
        self.first, self.second = Car(VIN, clock), Car(OTHER_VIN, clock)

    def find(self, vin: str) -> VehicleKeys:
        return {VIN: self.first, OTHER_VIN: self.second}[vin].keys

    def hello(self, car: Car) -> VerifiedConfigMessage:
        info = AnswerReader(OpenKeys(CLOUD_SEAL), self).hello(car.vin, car.hello())

        def admit(replay_guard: ReplayGuard) -> News:
            replay_guard.learn(info)
            return Hello(car.vin, f"hello-{car.boots}", T0, 0)

        return VerifiedConfigMessage(car.vin, f"hello-{car.boots}", admit)


@pytest.fixture
def cars() -> Cars:
    return Cars()


@pytest.fixture
def orders(database: Database) -> store.OrderStore:
    return store.OrderStore(database)


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

    await record.purge_expired(later - timedelta(hours=24), later - timedelta(days=8), later)

    assert await count(database, "first_answer") == await count(database, "inbox") == 1
    assert await count(database, "config_audit") == 2


async def test_the_proof_is_kept_for_the_signer_and_told_to_nobody_else(
    record: store.ConfigStore, database: Database
) -> None:
    answer = await record.change(wish(child_lock_enabled=True), T0)

    assert answer.proof is None
    found = await record.find(VIN)
    assert found is not None
    assert found.proof is None
    kept = store.ConfigModel.metadata.tables["first_answer"].c.answer
    assert "secret token" not in await database.read(lambda c: c.execute(select(kept)).scalar_one())
    await record.ingest([received(Hello(VIN, "days later", T0, 0))], T0 + timedelta(days=3))
    proofs = [RequestedOrder.FromString(m.payload) for m in await sent(database)]
    assert [(p.capability, p.asked_at.ToDatetime(tzinfo=UTC)) for p in proofs] == [("secret token", T0)] * 2


async def test_a_word_that_is_refused_changes_nothing_and_stops_no_other(
    record: store.ConfigStore, database: Database
) -> None:
    def refuse(_replay_guard: ReplayGuard) -> News:
        raise MessageRefusedError(Fault.WRONG_EPOCH, "not yet")

    refusals = await record.ingest(
        [
            VerifiedConfigMessage(VIN, "m-1", refuse),
            received(Hello(OTHER_VIN, "m-2", T0, 0)),
            VerifiedConfigMessage(VIN, "m-3", refuse),
        ],
        T0,
    )

    assert [refusal and refusal.fault for refusal in refusals] == [Fault.WRONG_EPOCH, None, Fault.WRONG_EPOCH]
    assert await count(database, "inbox") == 1
    other = await record.find(OTHER_VIN)
    assert other is not None
    assert other.state is ApplicationState.APPLIED
    # It was not ingested: when it comes again and is accepted, it counts.
    assert await record.ingest([received(Hello(VIN, "m-1", T0, 0))], T0) == [None]
    assert await count(database, "inbox") == 2


async def test_only_wanted_settings_of_known_sessions_get_a_place(
    record: store.ConfigStore, orders: store.OrderStore, cars: Cars
) -> None:
    await record.change(wish(child_lock_enabled=True), T0)
    assert await orders.reserve_slots({VIN: 1}, 60_000, T0) == {}

    await record.ingest([cars.hello(cars.first), cars.hello(cars.second)], T0)

    reserve_slots = await orders.reserve_slots({VIN: 1, OTHER_VIN: 1}, 60_000, T0)
    assert {vin: (place.epoch, place.counter) for vin, place in reserve_slots.items()} == {
        VIN: (cars.first.epoch, 1)
    }
    assert await orders.reserve_slots({VIN: 2}, 60_000, T0) == {}
    assert await orders.reserve_slots({}, 60_000, T0) == {}


def signed(vin: str, place: SessionSlot, envelope: bytes) -> SignedSettings:
    return SignedSettings(vin, command_pb2.ApplyConfig(version=1), place, envelope)


async def test_of_two_orders_for_one_place_one_is_issued(
    record: store.ConfigStore, orders: store.OrderStore, database: Database, cars: Cars
) -> None:
    await record.change(wish(child_lock_enabled=True), T0)
    await record.ingest([cars.hello(cars.first)], T0)
    place = (await orders.reserve_slots({VIN: 1}, 60_000, T0))[VIN]

    issued = await asyncio.gather(
        *(orders.conclude([signed(VIN, place, envelope)], [], T0) for envelope in (b"one", b"two"))
    )

    assert sorted(map(len, issued)) == [0, 1]
    assert await count(database, "issued_order") == 1
    assert (await orders.reserve_slots({VIN: 1}, 60_000, T0))[VIN].counter == 2


async def test_an_order_for_an_epoch_that_ended_is_not_issued_and_stops_no_other(
    record: store.ConfigStore, orders: store.OrderStore, cars: Cars
) -> None:
    await record.ingest([cars.hello(cars.first), cars.hello(cars.second)], T0)
    await record.change(wish(child_lock_enabled=True), T0)
    await record.change(replace(wish(child_lock_enabled=True), vin=OTHER_VIN), T0)
    place = (await orders.reserve_slots({VIN: 1}, 60_000, T0))[VIN]
    others = SessionSlot(cars.second.epoch, 1, place.expires_at_millis)
    cars.first.boot()
    await record.ingest([cars.hello(cars.first)], T0)

    assert await orders.conclude([signed(VIN, place, b"one"), signed(OTHER_VIN, others, b"two")], [], T0) == {
        OTHER_VIN
    }


async def test_settings_that_are_given_up_while_they_are_signed_are_not_issued(
    record: store.ConfigStore, orders: store.OrderStore, cars: Cars, database: Database
) -> None:
    await record.ingest([cars.hello(cars.first)], T0)
    await record.change(wish(child_lock_enabled=True), T0)
    place = (await orders.reserve_slots({VIN: 1}, 60_000, T0))[VIN]
    told: list[OutgoingMessage] = []
    settings_cancellations = store.SettingsCancellationStore(database, dispatch.cancelled, told.extend)
    concerned = [
        await settings_cancellations.unapplied(ConfigRightEnded(who, VIN)) for who in ("user-9", "user-123")
    ]
    assert [[push.version for push in pushes] for pushes in concerned] == [[], [1]]
    for _ in range(2):
        await settings_cancellations.cancel(concerned[1], T0)

    assert [message.subject for message in told] == ["room.config.withdrawn"]
    assert await orders.conclude([signed(VIN, place, b"one")], [], T0) == set()
    assert await settings_cancellations.unapplied(ConfigRightEnded("user-123", None)) == []


async def test_what_is_not_signed_is_given_up_with_its_proof(
    record: store.ConfigStore, orders: store.OrderStore, cars: Cars, database: Database
) -> None:
    await record.change(wish(child_lock_enabled=True), T0)
    await record.ingest([cars.hello(cars.first)], T0)
    before = len(await sent(database))

    assert await orders.conclude([], [UnsignedSettings(VIN, 1, RIGHT_ENDED)], T0) == set()

    config = await record.find(VIN)
    assert config is not None
    assert (config.state, config.rejection) == (ApplicationState.REJECTED, RIGHT_ENDED)
    capabilities = store.ConfigModel.metadata.tables["vehicle_config"].c.capability
    assert await database.read(lambda c: c.execute(select(capabilities)).scalar_one()) is None
    assert await orders.reserve_slots({VIN: 1}, 60_000, T0) == {}
    await record.ingest([received(Hello(VIN, "again", T0, 0))], T0)
    assert len(await sent(database)) == before


async def test_an_issued_order_is_known_for_a_day(
    record: store.ConfigStore, orders: store.OrderStore, database: Database, cars: Cars
) -> None:
    await record.change(wish(child_lock_enabled=True), T0)
    await record.ingest([cars.hello(cars.first)], T0)
    for at in (T0, T0 + timedelta(hours=20)):
        place = (await orders.reserve_slots({VIN: 1}, 60_000, at))[VIN]
        assert await orders.conclude([signed(VIN, place, at.isoformat().encode())], [], at) == {VIN}

    later = T0 + timedelta(hours=25)
    await record.purge_expired(T0, T0, later)

    assert await count(database, "issued_order") == 1

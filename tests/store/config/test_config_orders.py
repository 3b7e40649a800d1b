"""Orders of settings: proven, placed, issued once, and given up."""

import asyncio
from dataclasses import replace
from datetime import UTC, timedelta
from typing import TYPE_CHECKING

import pytest
from ecarus.remotecontrol.access.v1.order_signing_service_pb2 import RequestedOrder
from ecarus.remotecontrol.vehicle.v1 import command_pb2
from sqlalchemy import select

from protocol.cloud_side import AnswerReader, ReplayGuard, SessionSlot
from protocol.faults import Fault, MessageRefusedError
from protocol.keys import OpenKeys, VehicleKeys
from services.config.adapters import dispatch, store
from services.config.adapters.kept import kept_tables
from services.config.domain.config import RIGHT_ENDED, ApplicationState, ConfigRightEnded, Hello, News
from services.config.usecases import SignedSettings, UnsignedSettings, VerifiedConfigMessage
from services.platform.database import Database
from services.platform.retention import Retention
from tests.store.config.conftest import T0, count, received, sent, wish
from tests.support.protocol_harness import CLOUD_SEAL, OTHER_VIN, VIN, Car, Clock

if TYPE_CHECKING:
    from services.platform.outbox import OutgoingMessage


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
    await Retention(database, kept_tables(timedelta(days=30)), store.holds, lambda: later).run_once()

    assert await count(database, "issued_order") == 1

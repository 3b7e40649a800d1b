"""The enrolment service over real mTLS: which services are told the keys of vehicles, and which keys."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from ecarus.remotecontrol.access.v1 import vehicle_keys_service_pb2 as contract
from ecarus.remotecontrol.access.v1.vehicle_keys_service_pb2_grpc import VehicleKeysServiceStub

import services.enrolment
from services.enrolment.adapters import store
from services.enrolment.adapters.server import POLICY, SERVICE, VehicleKeysServer
from services.enrolment.domain import Enrolment, PublicKeys
from services.platform.database import open_database
from services.platform.server import GrpcServer
from services.platform.storage import StorageUnavailableError
from services.telematics.keys import VehicleKeyDirectory
from tests.contract.conftest import ServedRoom
from tests.support.databases import migrated
from tests.support.protocol_harness import CLOUD_SEAL, exchange_key, public, signer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from services.platform.capability import CapabilityVerifier
    from services.platform.settings import ServiceSettings

VIN, REVOKED, KEYLESS, UNKNOWN = (f"KMHSH81C7LU12345{n}" for n in range(4))
T0 = datetime(2026, 1, 12, 14, 30, tzinfo=UTC)
KEYS = PublicKeys(signer("car").public_bytes, public(exchange_key("car")))


@pytest.fixture
def served() -> ServedRoom:
    return ServedRoom("enrolment", [SERVICE], POLICY, lambda _error: None)


@pytest.fixture
async def record(tmp_path: Path) -> AsyncIterator[store.SqlEnrolmentRecord]:
    url = f"sqlite:///{tmp_path}/record.sqlite3"
    migrations = Path(services.enrolment.__file__).with_name("migrations")
    await asyncio.to_thread(migrated, url, migrations, store.HEAD)
    database = await open_database(url)
    record = store.SqlEnrolmentRecord(database)
    other = PublicKeys(signer("other").public_bytes, public(CLOUD_SEAL))
    for one in (
        Enrolment(VIN, "aa", T0, keys=KEYS),
        Enrolment(REVOKED, "bb", T0, T0, other),
        Enrolment(KEYLESS, "cc", T0),
    ):
        await record.put(one)
    yield record
    await database.close()


@pytest.fixture
def grpc_servicer(record: store.SqlEnrolmentRecord) -> VehicleKeysServer:
    return VehicleKeysServer(record)


@pytest.fixture
def grpc_add_to_server() -> Any:
    return VehicleKeysServer.register


@pytest.fixture
def enrolment(grpc_server: Any, record: store.SqlEnrolmentRecord) -> tuple[Any, store.SqlEnrolmentRecord]:
    return grpc_server, record


def ask(channel: grpc.aio.Channel, *vins: str) -> Any:
    stub = VehicleKeysServiceStub(channel)
    return stub.GetVehicleKeys(contract.GetVehicleKeysRequest(vins=vins), timeout=30)


@pytest.mark.parametrize("service", ["command", "config", "status", "diagnostics"])
async def test_a_room_that_talks_with_vehicles_is_told_the_keys_that_count(
    enrolment: Any, service: str
) -> None:
    running, _ = enrolment
    async with running.channel(f"room/{service}") as channel:
        answer = await ask(channel, VIN, REVOKED, KEYLESS, UNKNOWN)
    assert list(answer.keys) == [
        contract.VehicleKeys(vin=VIN, verify_key=KEYS.verify_key, seal_key=KEYS.seal_key)
    ]


@pytest.mark.parametrize("workload", ["edge", "room/access", "room/signer", "team/operator"])
async def test_nobody_else_is(enrolment: Any, workload: str) -> None:
    running, _ = enrolment
    async with running.channel(workload) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await ask(channel, VIN)
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.parametrize("vins", [[], ["x"], [VIN.lower()], [VIN] * 513])
async def test_what_is_no_question_is_refused(enrolment: Any, vins: list[str]) -> None:
    running, _ = enrolment
    async with running.channel("room/command") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await ask(channel, *vins)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_the_most_that_may_be_asked_at_once_is_answered(enrolment: Any) -> None:
    running, record = enrolment
    vins = [f"KMHSH81C7LA{n:06}" for n in range(512)]
    for vin in vins:
        keys = PublicKeys(signer(vin).public_bytes, public(exchange_key(vin)))
        await record.put(Enrolment(vin, vin, T0, keys=keys))
    async with running.channel("room/status") as channel:
        assert {each.vin for each in (await ask(channel, *vins)).keys} == set(vins)


async def test_the_rooms_directory_reads_it(enrolment: Any) -> None:
    running, record = enrolment
    seconds = 0.0
    async with running.channel("room/command") as channel:
        directory = VehicleKeyDirectory(channel, lambda: seconds)
        await directory.fetch([VIN, REVOKED])
        found = directory.find(VIN)
        assert found is not None
        assert found.verify_key.public_bytes_raw() == KEYS.verify_key
        assert directory.find(REVOKED) is None
        await record.put(replace(await record.find(REVOKED), revoked_at=None))
        seconds = 3.0
        await directory.fetch([VIN, REVOKED])
        assert directory.find(REVOKED) is not None


async def test_a_record_that_is_away_is_not_an_empty_one(start_room: Any) -> None:
    class Away:
        async def valid_keys(self, _vins: object) -> object:
            raise StorageUnavailableError("gone")

    def build(settings: ServiceSettings, verifier: CapabilityVerifier) -> GrpcServer:
        server = VehicleKeysServer(Away())  # type: ignore[arg-type]  # only what is asked
        return GrpcServer(settings, [SERVICE], server.register, POLICY, verifier, lambda _error: None)

    running = await start_room("enrolment", build)
    async with running.channel("room/command") as channel:
        with pytest.raises(StorageUnavailableError):
            await VehicleKeyDirectory(channel, lambda: 0.0).fetch([VIN])

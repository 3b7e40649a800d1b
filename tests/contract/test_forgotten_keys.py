"""What is forgotten of vehicles' keys while it is asked for is asked again, and is never a verdict."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import grpc
import pytest
from ecarus.remotecontrol.access.v1 import vehicle_keys_service_pb2 as contract
from ecarus.remotecontrol.access.v1.vehicle_keys_service_pb2_grpc import (
    VehicleKeysServiceServicer,
    add_VehicleKeysServiceServicer_to_server,
)

from protocol.cloud_side import AnswerReader
from protocol.keys import OpenKeys
from services.platform.storage import StorageUnavailableError
from services.telematics import keys as module
from services.telematics.keys import KeysUnknownError, VehicleKeyDirectory
from tests.support.protocol_harness import CLOUD_SEAL, VIN, Car, Clock, exchange_key, public, signer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

OTHER_VIN = VIN[:-1] + ("1" if VIN[-1] != "1" else "2")


class Message:
    def __init__(self, vin: str) -> None:
        self.data = contract.VehicleKeysChanged(vin=vin).SerializeToString()


class FakeEnrolment(VehicleKeysServiceServicer):
    """Knows whoever is `enrolled`. `meanwhile` are what happens while it answers, one for each question."""

    def __init__(self) -> None:
        self.enrolled: dict[str, contract.VehicleKeys] = {}
        self.meanwhile: list[Callable[[], Awaitable[None]]] = []
        self.asked: list[set[str]] = []

    def enrol(self, vin: str, verify_key: bytes, seal_key: bytes) -> None:
        self.enrolled[vin] = contract.VehicleKeys(vin=vin, verify_key=verify_key, seal_key=seal_key)

    async def GetVehicleKeys(  # noqa: N802  # gRPC's name
        self, request: contract.GetVehicleKeysRequest, _context: object
    ) -> contract.GetVehicleKeysResponse:
        self.asked.append(set(request.vins))
        answer = contract.GetVehicleKeysResponse(
            keys=[self.enrolled[vin] for vin in request.vins if vin in self.enrolled]
        )
        if self.meanwhile:
            await self.meanwhile.pop(0)()
        return answer


@asynccontextmanager
async def directory_of(enrolment: FakeEnrolment) -> AsyncIterator[VehicleKeyDirectory]:
    server = grpc.aio.server()
    add_VehicleKeysServiceServicer_to_server(enrolment, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield VehicleKeyDirectory(channel, lambda: 0.0)
    await server.stop(None)


@pytest.fixture
def enrolment() -> FakeEnrolment:
    enrolment = FakeEnrolment()
    for vin in (VIN, OTHER_VIN):
        enrolment.enrol(vin, signer("car").public_bytes, public(exchange_key("car")))
    return enrolment


async def test_a_hello_of_an_enrolled_vehicle_is_not_refused_for_keys_that_are_forgotten_meanwhile(
    enrolment: FakeEnrolment,
) -> None:
    car = Car(VIN, Clock())
    enrolment.enrol(VIN, car.signer.public_bytes, public(car.seal_key))
    async with directory_of(enrolment) as directory:
        reader = AnswerReader(OpenKeys(CLOUD_SEAL), directory)
        await directory.fetch([VIN])  # it is known, and a batch comes with one that is not
        enrolment.meanwhile.append(directory._clear_caches)
        await directory.fetch([VIN, OTHER_VIN])
        assert reader.hello(VIN, car.hello()).vin == VIN
        assert directory.find(OTHER_VIN) is not None
    assert enrolment.asked == [{VIN}, {OTHER_VIN}, {VIN, OTHER_VIN}]


async def test_an_answer_from_before_a_vehicle_was_enrolled_is_none(enrolment: FakeEnrolment) -> None:
    new = enrolment.enrolled.pop(VIN)
    async with directory_of(enrolment) as directory:

        async def enrolled() -> None:
            enrolment.enrolled[VIN] = new
            await directory._changed(Message(VIN))  # type: ignore[arg-type]  # only its data is read

        enrolment.meanwhile.append(enrolled)
        await directory.fetch([VIN, OTHER_VIN])
        assert directory.find(VIN) is not None
    assert enrolment.asked == [{VIN, OTHER_VIN}, {VIN}]  # who did not change is not asked for again


async def test_what_changes_whenever_it_is_asked_for_waits(enrolment: FakeEnrolment) -> None:
    async with directory_of(enrolment) as directory:
        enrolment.meanwhile += [directory._clear_caches] * 3
        with pytest.raises(StorageUnavailableError):
            await directory.fetch([VIN])
        await directory.fetch([VIN])
        assert directory.find(VIN) is not None


async def test_more_than_are_kept_at_once_wait_and_are_not_refused(
    enrolment: FakeEnrolment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_KEPT", 1)
    async with directory_of(enrolment) as directory:
        with pytest.raises(KeysUnknownError):
            await directory.fetch([VIN, OTHER_VIN])


async def test_nothing_is_said_of_whom_nobody_asked_for(enrolment: FakeEnrolment) -> None:
    async with directory_of(enrolment) as directory:
        with pytest.raises(KeysUnknownError):
            directory.find(VIN)
        assert not directory.is_enrolled(VIN)

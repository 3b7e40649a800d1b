"""The directory of vehicles' keys hears of changes, and those who follow it with it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from ecarus.remotecontrol.access.v1.vehicle_keys_service_pb2 import VehicleKeysChanged

from protocol.subjects import VEHICLE_KEYS_CHANGED_SUBJECT
from services.telematics.broker import connect_broker
from services.telematics.keys import KeysUnknownError, VehicleKeyDirectory
from tests.support.protocol_harness import VIN, Car, Clock

if TYPE_CHECKING:
    from collections.abc import Callable

WAIT_SECONDS = 20


@dataclass(slots=True)
class FakeKeyChangeListener:
    """Notes what it has to forget."""

    forgot: list[str] = field(default_factory=list)

    def invalidate(self, vin: str) -> None:
        self.forgot.append(vin)

    def clear(self) -> None:
        self.forgot.append("all")


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while not condition():  # noqa: ASYNC110  # what is waited for has no event
            await asyncio.sleep(0.01)


async def test_a_change_is_forgotten_at_once_and_everything_after_a_break(nats_server: Any) -> None:
    broker = await connect_broker(nats_server.settings(), "service-status")
    async with grpc.aio.insecure_channel("127.0.0.1:1") as channel:
        directory, listener = VehicleKeyDirectory(channel, lambda: 0.0), FakeKeyChangeListener()
        await directory.listen(broker, listener)
        keys = Car(VIN, Clock()).keys
        directory._remember(VIN, keys, 300.0)
        listener.forgot.clear()
        assert directory.find(VIN) is keys

        await broker.client.publish(VEHICLE_KEYS_CHANGED_SUBJECT, b"\xff")
        changed = VehicleKeysChanged(vin=VIN)
        await broker.client.publish(VEHICLE_KEYS_CHANGED_SUBJECT, changed.SerializeToString())
        await until(lambda: listener.forgot == [VIN])
        with pytest.raises(KeysUnknownError):  # forgotten is no verdict
            directory.find(VIN)
        assert not directory.is_enrolled(VIN)

        directory._remember(VIN, keys, 300.0)
        await asyncio.to_thread(nats_server.restart)
        await until(lambda: listener.forgot == [VIN, "all"])
        with pytest.raises(KeysUnknownError):  # forgotten is no verdict
            directory.find(VIN)
        assert not directory.is_enrolled(VIN)
    await broker.close()

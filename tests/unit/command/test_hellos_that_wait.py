"""What a hello came over is known when it comes again: what was set aside has no headers any more."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from ecarus.remotecontrol.vehicle.v1 import session_pb2

from protocol.faults import Fault, MessageRefusedError
from protocol.streams import MQTT_QOS_HEADER
from protocol.subjects import EventKind, event_subject
from services.command.adapters import vehicle_link
from services.command.adapters.vehicle_link import CommandEventHandler
from services.platform.consumer import Delivery

if TYPE_CHECKING:
    from collections.abc import Sequence

VIN, OTHER = "KMHSH81C7LU123456", "KMHSH81C7LU654321"
NOW = datetime(2026, 1, 12, 14, 30, tzinfo=UTC)
STORED_AT = int(NOW.timestamp()) * 1_000_000_000


def hello(vin: str = VIN, *, mqtt: bool = False) -> Delivery:
    """As the broker delivers it."""
    headers = {MQTT_QOS_HEADER: "1"} if mqtt else {}
    return Delivery(event_subject(vin, EventKind.HELLO), b"hello", headers, STORED_AT)


def again(vin: str = VIN) -> Delivery:
    """As it comes back to the handler from where it was set aside."""
    return Delivery(event_subject(vin, EventKind.HELLO), b"hello")


@dataclass
class Parts:
    """What stands around the handler. `known`: whose keys are there; `brought`: whose queue went into their session."""

    known: set[str] = field(default_factory=lambda: {VIN, OTHER})
    brought: list[str] = field(default_factory=list)

    async def fetch(self, _vins: set[str]) -> None:
        return

    def sort(self, deliveries: Sequence[Delivery]) -> tuple[Sequence[Delivery], list[Any]]:
        return deliveries, []

    def hello(self, vin: str, _data: bytes) -> session_pb2.SessionInfo:
        if vin not in self.known:
            raise MessageRefusedError(Fault.UNKNOWN_KEY, "no key of it is known")
        return session_pb2.SessionInfo(vin=vin)

    async def bring(self, *_: object) -> None:
        return

    async def add_consumer(self, *_: object) -> None:
        return


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> Parts:
    parts = Parts()

    async def all_taken(*_: object) -> SimpleNamespace:
        return SimpleNamespace(rejected={})

    async def forwarded(_broker: object, vin: str, _now: datetime) -> int:
        parts.brought.append(vin)
        return 1

    async def connected(*_: object) -> None:
        return

    monkeypatch.setattr(vehicle_link, "ingest_messages", all_taken)
    monkeypatch.setattr(vehicle_link, "forward_waiting", forwarded)
    monkeypatch.setattr(vehicle_link, "vehicle_connected", connected)
    return parts


@pytest.fixture
def handler(parts: Parts) -> CommandEventHandler:
    stand_in: Any = parts
    deps: Any = SimpleNamespace(now=lambda: NOW)
    broker: Any = SimpleNamespace(jetstream=parts)

    async def ask(_vin: str) -> None:
        return

    return CommandEventHandler(
        deps,
        broker,
        stand_in,
        stand_in,
        stand_in,
        lambda _vin, _at: None,
        stand_in,
        lambda: int(NOW.timestamp() * 1_000),
        ask=ask,
    )


async def test_one_over_mqtt_that_was_set_aside_comes_back_as_one_over_mqtt(
    handler: CommandEventHandler, parts: Parts
) -> None:
    """It was not accepted the first time, because nobody knew the vehicle's keys yet."""
    parts.known.clear()
    assert await handler.handle([hello(mqtt=True)])
    assert parts.brought == []
    parts.known.add(VIN)
    assert await handler.handle([again()]) == []
    assert handler.sessions.over_mqtt(VIN)
    assert parts.brought == [VIN]


async def test_one_that_was_accepted_before_it_failed_does_too(
    handler: CommandEventHandler, parts: Parts
) -> None:
    await handler.handle([hello(mqtt=True)])
    await handler.handle([again()])
    assert handler.sessions.over_mqtt(VIN)
    assert parts.brought == [VIN, VIN]


async def test_one_over_nats_stays_one_and_no_other_vehicle_is_concerned(
    handler: CommandEventHandler, parts: Parts
) -> None:
    """Its queue is not taken from under it: what is put into a session over MQTT it would never get."""
    await handler.handle([hello(OTHER, mqtt=True), hello()])
    await handler.handle([again()])
    assert not handler.sessions.over_mqtt(VIN)
    assert parts.brought == [OTHER]


async def test_the_last_one_from_the_broker_decides(handler: CommandEventHandler, parts: Parts) -> None:
    await handler.handle([hello(mqtt=True)])
    await handler.handle([hello()])  # the unit was given another link
    await handler.handle([again()])
    assert not handler.sessions.over_mqtt(VIN)
    assert parts.brought == [VIN]

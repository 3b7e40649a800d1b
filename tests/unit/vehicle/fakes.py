"""A broker in memory that behaves: it stores events, delivers again what is not settled, and can go away."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from protocol.envelope import pack, unpack
from vehicle.link import LinkDown

if TYPE_CHECKING:
    from datetime import datetime

    from google.protobuf.message import Message

    from protocol.broker import Command, Event
    from vehicle.link import Delivery

VIN = "KMHSH81C7LU123456"


class FakeDelivery:
    """One order on its way."""

    def __init__(self, kind: Command | None, data: bytes) -> None:
        self.kind = kind
        self.data = data
        self.acknowledged = False
        self.terminated = False

    async def acknowledge(self) -> None:
        self.acknowledged = True

    async def terminate(self) -> None:
        self.terminated = True


class FakeLink:
    """A VehicleLink to a broker that keeps events by deduplication id."""

    def __init__(self) -> None:
        self.is_open = True
        self.events: dict[str, tuple[Event, Any]] = {}

    async def open(self) -> None:
        if not self.is_open:
            raise LinkDown("away")

    async def publish(self, event: Event, deduplication_id: str, data: bytes) -> None:
        if not self.is_open:
            raise LinkDown("away")
        self.events.setdefault(deduplication_id, (event, unpack(data, vin=VIN).payload))

    async def receive(self) -> list[Delivery]:
        await asyncio.Event().wait()
        raise AssertionError("nothing ends this wait")

    async def close(self) -> None:
        return

    def said(self, event: Event) -> list[Any]:
        return [payload for kind, payload in self.events.values() if kind is event]


def delivery(kind: Command, payload: Message, now: datetime) -> FakeDelivery:
    return FakeDelivery(kind, pack(VIN, "from-cloud", payload, now))

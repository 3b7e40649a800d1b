"""A broker in memory that behaves: it stores events, delivers again what is not settled, and can go away."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from vehicle.link.port import LinkDownError

if TYPE_CHECKING:
    from protocol.subjects import CommandKind, EventKind
    from tests.support.signed_cloud import SignedCloud
    from vehicle.link.port import CloudDelivery


class FakeDelivery:
    """One order on its way."""

    def __init__(self, kind: CommandKind | None, data: bytes) -> None:
        self.kind = kind
        self.data = data
        self.acknowledged = False
        self.terminated = False

    @property
    def is_settled(self) -> bool:
        return self.acknowledged or self.terminated

    async def acknowledge(self) -> None:
        self.acknowledged = True

    async def terminate(self) -> None:
        self.terminated = True


class FakeLink:
    """A VehicleLink to a broker that keeps events by deduplication id, and shows them to the cloud."""

    def __init__(self, cloud: SignedCloud) -> None:
        self.is_reachable = True
        self.published: list[tuple[EventKind, bytes]] = []
        self.closed_after = 0
        self.dropped = 0
        self._cloud = cloud
        self._ids: set[str] = set()
        self._arrived: asyncio.Queue[list[CloudDelivery] | None] = asyncio.Queue()
        self._is_open = False

    @property
    def is_open(self) -> bool:
        return self._is_open and self.is_reachable

    def deliver(self, *deliveries: FakeDelivery) -> None:
        """They arrive together."""
        self._arrived.put_nowait(list(deliveries))

    def lose(self) -> None:
        """The connection is gone, and cannot be had until `find`."""
        self.is_reachable = False
        self._arrived.put_nowait(None)

    def find(self) -> None:
        self.is_reachable = True

    async def open(self) -> None:
        if not self.is_reachable:
            raise LinkDownError("away")
        self._arrived = asyncio.Queue()
        self._is_open = True

    async def publish(self, event: EventKind, deduplication_id: str, data: bytes) -> None:
        if not self.is_open:
            raise LinkDownError("away")
        self.published.append((event, data))
        if deduplication_id not in self._ids:
            self._ids.add(deduplication_id)
            self._cloud.receive(event, data)

    async def receive(self) -> list[CloudDelivery]:
        arrived = await self._arrived.get()
        if arrived is None:
            raise LinkDownError("connection lost")
        return arrived

    async def drop(self) -> None:
        self.dropped += 1
        self._is_open = False
        self._arrived.put_nowait(None)

    async def close(self) -> None:
        self._is_open = False
        self.closed_after = len(self.published)

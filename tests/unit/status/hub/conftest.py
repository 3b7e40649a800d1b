"""The hub with a clock that the test moves."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from services.status.domain.rights import WatchRight
from services.status.domain.updates import Bounds, LogPosition, Update
from services.status.usecases.hub import Hub, Watcher
from services.status.usecases.streams import Streams

VIN = "KMHSH81C7LU123456"


OTHER = "KMHSH81C7LU654321"


class Clock:
    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


@dataclass(slots=True)
class FakeLog:
    """A log that behaves: what is published is kept, `invalidate` drops the oldest, `on_read` happens in between."""

    hub: Hub
    epoch: str = "e"
    first: int = 1
    kept: list[tuple[str, Update]] = field(default_factory=list)
    publish_during_read: int = 0

    def publish(self, vin: str = VIN) -> None:
        position = LogPosition(self.epoch, len(self.kept) + 1)
        self.kept.append((vin, Update(position, b"")))
        self.hub.publish(vin, position, b"")

    async def bounds(self) -> Bounds:
        return Bounds(self.epoch, self.first, len(self.kept))

    async def next_after(self, vin: str, position: LogPosition) -> Update | None:
        if self.publish_during_read:
            self.publish_during_read -= 1
            self.publish(vin)
        for name, update in self.kept:
            if name == vin and update.position.sequence > position.sequence:
                return update
        return None


@pytest.fixture
def hub() -> Hub:
    clock = Clock()
    hub = Hub(
        clock,
        clock,
        max_watchers=3,
        max_behind_seconds=10,
        max_waiting_bytes=1_000,
        shared=Streams(50, 50, 50),
    )
    hub.start_at(LogPosition("e", 0))
    return hub


def watcher(vin: str = VIN, principal: str = "user-123", actor: str = "", **right: Any) -> Watcher:
    return Watcher(vin, WatchRight(principal, actor or principal, **right), heartbeats=True)

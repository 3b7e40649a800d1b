"""The hub: one feed of updates in, every reader's share of it out, in memory and bounded."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING

from services.status.domain import (
    Heartbeat,
    Position,
    ReaderTooSlow,
    Reset,
    RightEnded,
    ShuttingDown,
    StreamEnded,
    TooManyStreams,
    Update,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_HEARTBEAT = Heartbeat()
LONGEST_CAPABILITY_SECONDS = 60.0
"""A capability older than this is not accepted anywhere, so a revocation need not be remembered longer."""


class Watcher:
    """One reader of one vehicle's updates, with a queue of its own.

    `joined_at` is where the hub stood when it joined: its queue holds what came after.
    """

    def __init__(self, vin: str, principals: frozenset[str], *, heartbeats: bool) -> None:
        self.vin = vin
        self.principals = principals
        self.heartbeats = heartbeats
        self.joined_at = Position("0", 0)
        self._items: deque[Update | Reset | Heartbeat] = deque()
        self._arrived = asyncio.Event()
        self._ended: StreamEnded | None = None

    @property
    def waiting(self) -> int:
        """How many items its reader has not taken yet."""
        return len(self._items)

    def put(self, item: Update | Reset | Heartbeat) -> None:
        """Give it to the reader, unless that has been ended."""
        if self._ended is not None:
            return
        self._items.append(item)
        self._arrived.set()

    def end(self, reason: StreamEnded) -> None:
        """End it now; what still waits is dropped, because the reader can resume after its last id."""
        if self._ended is None:
            self._ended = reason
            self._items.clear()
            self._arrived.set()

    async def next(self) -> Update | Reset | Heartbeat:
        """The next item. Raises the StreamEnded that ended this watcher."""
        while not self._items:
            if self._ended is not None:
                raise self._ended
            self._arrived.clear()
            await self._arrived.wait()
        return self._items.popleft()


class Hub:
    """Gives every update to the watchers of its vehicle.

    `monotonic` is in seconds. `queue_limit` is how many updates may wait for one reader, `max_watchers`
    how many readers there may be.
    """

    def __init__(
        self, monotonic: Callable[[], float], queue_limit: int = 256, max_watchers: int = 5_000
    ) -> None:
        self._monotonic = monotonic
        self._queue_limit = queue_limit
        self._max_watchers = max_watchers
        self._watchers: dict[str, set[Watcher]] = {}
        self._count = 0
        self._closed = False
        self._revoked: dict[tuple[str, str], float] = {}
        self.position = Position("0", 0)

    @property
    def watcher_count(self) -> int:
        """How many readers there are."""
        return self._count

    @contextlib.contextmanager
    def watching(self, watcher: Watcher, right_age_seconds: float) -> Iterator[Watcher]:
        """Have `watcher` in the hub. `right_age_seconds` is how long ago its right may have been given.

        Raises RightEnded when the right may be older than its revocation, TooManyStreams, ShuttingDown.
        """
        if self._closed:
            raise ShuttingDown
        if self._count >= self._max_watchers:
            raise TooManyStreams
        given_at = self._monotonic() - right_age_seconds
        if any(self._revoked.get((name, watcher.vin), given_at) > given_at for name in watcher.principals):
            raise RightEnded
        watcher.joined_at = self.position
        self._watchers.setdefault(watcher.vin, set()).add(watcher)
        self._count += 1
        try:
            yield watcher
        finally:
            self._count -= 1
            others = self._watchers[watcher.vin]
            others.discard(watcher)
            if not others:
                del self._watchers[watcher.vin]

    def publish(self, vin: str, position: Position, payload: bytes) -> None:
        """An update arrived on the feed."""
        self.position = position
        watchers = self._watchers.get(vin)
        if not watchers:
            return
        update = Update(position, payload)
        for watcher in watchers:
            if watcher.waiting >= self._queue_limit:
                watcher.end(ReaderTooSlow())
            else:
                watcher.put(update)

    def start_at(self, position: Position) -> None:
        """The feed begins here, for the first time."""
        self.position = position

    def restart_at(self, position: Position) -> None:
        """The feed lost its place: every reader must read the status anew."""
        self.position = position
        for watcher in self._all():
            watcher.put(Reset(position))

    def revoke(self, principal: str, vin: str) -> None:
        """End every stream that this principal's right on this vehicle carried."""
        now = self._monotonic()
        horizon = now - LONGEST_CAPABILITY_SECONDS
        self._revoked = {key: at for key, at in self._revoked.items() if at > horizon}
        self._revoked[principal, vin] = now
        for watcher in tuple(self._watchers.get(vin, ())):
            if principal in watcher.principals:
                watcher.end(RightEnded())

    def beat(self) -> None:
        """Show idle readers that their stream lives; one that has something to read knows."""
        for watcher in self._all():
            if watcher.heartbeats and not watcher.waiting:
                watcher.put(_HEARTBEAT)

    async def beat_regularly(self, seconds: float) -> None:
        """Beat until cancelled."""
        while True:
            await asyncio.sleep(seconds)
            self.beat()

    def close(self) -> None:
        """End every stream, so that its reader comes back to another process."""
        self._closed = True
        for watcher in self._all():
            watcher.end(ShuttingDown())

    def _all(self) -> tuple[Watcher, ...]:
        return tuple(watcher for group in self._watchers.values() for watcher in group)

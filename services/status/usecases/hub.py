"""The hub: one feed of updates in, every reader's share of it out, in memory and bounded."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import math
from collections import deque
from typing import TYPE_CHECKING

from services.status.domain.rights import EndedRightCache, EndingCause, WatchRightEndedError
from services.status.domain.updates import (
    Heartbeat,
    LogPosition,
    ReaderTooSlowError,
    Reset,
    ShuttingDownError,
    StreamEndedError,
    StreamEvictedError,
    Update,
)
from services.status.usecases.streams import Streams

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from services.status.domain.rights import RightEnding, WatchRight

_HEARTBEAT = Heartbeat()
_LOOK_SECONDS = 0.2
"""How often it is looked whether a right has ended by itself: a stream outlives it by no more than this."""
_LAST_WORD_SECONDS = 0.5
"""How long a reader may take to be told why its stream ends; then it is cut."""


class Watcher:
    """One reader of one vehicle's updates, with a queue of its own.

    `joined_at` is where the hub stood when it joined: its queue holds what came after.
    """

    is_shared = False
    """Whether it is one of many of one reader: those are counted apart, and have no task of their own."""

    def __init__(self, vin: str, right: WatchRight, *, heartbeats: bool) -> None:
        self.vin = vin
        self.right = right
        self.heartbeats = heartbeats
        self.joined_at = LogPosition("0", 0)
        self._items: deque[tuple[float, Update | Reset | Heartbeat]] = deque()
        self._waiting_bytes = 0
        self._arrived = asyncio.Event()
        self._ended: StreamEndedError | None = None

    @property
    def waiting(self) -> int:
        """How many items its reader has not taken yet."""
        return len(self._items)

    @property
    def waiting_bytes(self) -> int:
        """How much its reader has not taken yet."""
        return self._waiting_bytes

    def behind(self, at: float) -> float:
        """Return for how many seconds what waits longest has been waiting; 0 when nothing waits."""
        return at - self._items[0][0] if self._items else 0.0

    def is_full(self, more_bytes: int, most_bytes: int) -> bool:
        """Return whether so much more would be too much to wait."""
        return self._waiting_bytes + more_bytes > most_bytes

    @property
    def ended(self) -> bool:
        """Whether its reader gets nothing any more but the reason."""
        return self._ended is not None

    def put(self, item: Update | Reset | Heartbeat, at: float) -> None:
        """Give it to the reader, unless that has been ended. `at` counts seconds."""
        if self._ended is not None:
            return
        self._items.append((at, item))
        self._waiting_bytes += _size_of(item)
        self._arrived.set()

    def end(self, reason: StreamEndedError) -> None:
        """End it now; what still waits is dropped, because the reader can resume after its last id."""
        if self._ended is None:
            self._ended = reason
            self._items.clear()
            self._waiting_bytes = 0
            self._arrived.set()

    def check(self) -> None:
        """Raise the StreamEndedError that ended this watcher, if one did."""
        if self._ended is not None:
            raise self._ended

    async def next(self) -> Update | Reset | Heartbeat:
        """Return the next item. Raises the StreamEndedError that ended this watcher."""
        while not self._items:
            self.check()
            self._arrived.clear()
            await self._arrived.wait()
        _, item = self._items.popleft()
        self._waiting_bytes -= _size_of(item)
        return item


def _size_of(item: Update | Reset | Heartbeat) -> int:
    return len(item.payload) if isinstance(item, Update) else 0


class Hub:
    """Gives every update to the watchers of its vehicle, for as long as their rights last.

    `monotonic` is in seconds, `now` in seconds since 1970. A reader may be `max_behind_seconds` behind its updates,
    and `max_waiting_bytes`: a burst of many, which a fast reader takes at once, ends nobody.
    The others are how many readers there may be, at all, of one user and of one vehicle; `shared` are those that are
    shared.
    """

    def __init__(
        self,
        monotonic: Callable[[], float],
        now: Callable[[], float],
        max_watchers: int = 5_000,
        max_per_user: int = 100,
        max_per_vehicle: int = 50,
        *,
        max_behind_seconds: float = 10.0,
        max_waiting_bytes: int = 1_048_576,
        shared: Streams,
    ) -> None:
        self._monotonic = monotonic
        self._now = now
        self._max_behind_seconds = max_behind_seconds
        self._max_waiting_bytes = max_waiting_bytes
        self._streams = Streams(max_watchers, max_per_user, max_per_vehicle)
        self._shared = shared
        self._ended_rights = EndedRightCache()
        self._ends: list[tuple[float, int, Watcher]] = []
        self._numbers = itertools.count()
        self._tasks: dict[Watcher, asyncio.Task[object] | None] = {}
        self._ending: deque[tuple[float, Watcher]] = deque()
        self._closed = False
        self.position = LogPosition("0", 0)

    @property
    def watcher_count(self) -> int:
        """How many readers there are."""
        return len(self._streams) + len(self._shared)

    @contextlib.contextmanager
    def watching(self, watcher: Watcher) -> Iterator[Watcher]:
        """Have `watcher` in the hub; the task that asks is the one that reads. Raises what `join` raises."""
        self.join(watcher)
        self._tasks[watcher] = asyncio.current_task()
        try:
            yield watcher
        finally:
            self.leave(watcher)
            del self._tasks[watcher]

    def join(self, watcher: Watcher) -> None:
        """Have `watcher` in the hub until it leaves.

        Raises WatchRightEndedError when its right has ended, TooManyStreamsError, ShuttingDownError.
        """
        if self._closed:
            raise ShuttingDownError
        watcher.right = self._ended_rights.left_of(watcher.right, watcher.vin)
        if watcher.right.until <= self._now():
            raise WatchRightEndedError(watcher.right.ends_with)
        streams = self._pool_of(watcher)
        while (oldest := streams.giving_way_to(watcher)) is not None:
            self._end(oldest, StreamEvictedError())
            streams.remove(oldest)
        watcher.joined_at = self.position
        streams.add(watcher)
        self._end_at(watcher)

    def leave(self, watcher: Watcher) -> None:
        """Have it in the hub no longer."""
        self._pool_of(watcher).remove(watcher)

    def _pool_of(self, watcher: Watcher) -> Streams:
        return self._shared if watcher.is_shared else self._streams

    def _all(self) -> tuple[Watcher, ...]:
        return (*self._streams.all(), *self._shared.all())

    def _of_vehicle(self, vin: str) -> tuple[Watcher, ...]:
        return (*self._streams.of_vehicle(vin), *self._shared.of_vehicle(vin))

    def publish(self, vin: str, position: LogPosition, payload: bytes, subject: str = "") -> None:
        """Give an update from the feed to its watchers. They believe none without the `subject` it is kept at."""
        self.position = position
        watchers = self._of_vehicle(vin)
        if not watchers:
            return
        update, now = Update(position, payload, subject), self._monotonic()
        for watcher in watchers:
            too_late = watcher.behind(now) > self._max_behind_seconds
            if too_late or watcher.is_full(len(payload), self._max_waiting_bytes):
                self._end(watcher, ReaderTooSlowError())
            else:
                watcher.put(update, now)

    def start_at(self, position: LogPosition) -> None:
        """Begin at this position of the feed, for the first time."""
        self.position = position

    def restart_at(self, position: LogPosition) -> None:
        """Begin anew at this position: the feed lost its place, and every reader must read the status anew."""
        self.position = position
        now = self._monotonic()
        for watcher in self._all():
            watcher.put(Reset(position), now)

    def right_ended(self, told: RightEnding) -> None:
        """End every stream that ran on what has ended, and on nothing else."""
        ending = self._ended_rights.add(told, self._now(), self._monotonic())
        for watcher in self._of_vehicle(told.vin) if told.vin else self._all():
            if not ending.concerns(watcher.right, watcher.vin):
                continue
            try:
                left = ending.left_of(watcher.right)
            except WatchRightEndedError as ended:
                self._end(watcher, ended)
                continue
            if left != watcher.right:
                watcher.right = left
                self._end_at(watcher)

    def trust(self, key_ids: frozenset[str]) -> None:
        """End every stream whose right was signed with another key than these of the access service."""
        for watcher in self._all():
            if watcher.right.signed_by and watcher.right.signed_by not in key_ids:
                self._end(watcher, WatchRightEndedError(EndingCause.CREDENTIAL))

    def end_overdue(self) -> None:
        """End the streams whose right has ended by itself, and cut those that were ended and do not read it."""
        now = self._now()
        while self._ends and self._ends[0][0] <= now:
            until, _, watcher = heapq.heappop(self._ends)
            if watcher.right.until <= until:
                self._end(watcher, WatchRightEndedError(watcher.right.ends_with))
        cut_before = self._monotonic() - _LAST_WORD_SECONDS
        while self._ending and self._ending[0][0] <= cut_before:
            _, watcher = self._ending.popleft()
            task = self._tasks.get(watcher)
            if task is not None:
                task.cancel()

    async def end_regularly(self, trusted: Callable[[], frozenset[str]]) -> None:
        """End what must end, until cancelled. `trusted` gives the access service's keys."""
        known = trusted()
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            self.end_overdue()
            if (key_ids := trusted()) != known:
                known = key_ids
                self.trust(key_ids)

    def beat(self) -> None:
        """Show idle readers that their stream lives; one that has something to read knows. What is shared has none."""
        now = self._monotonic()
        for watcher in self._streams.all():
            if watcher.heartbeats and not watcher.waiting:
                watcher.put(_HEARTBEAT, now)

    async def beat_regularly(self, seconds: float) -> None:
        """Beat until cancelled."""
        while True:
            await asyncio.sleep(seconds)
            self.beat()

    def close(self) -> None:
        """End every stream, so that its reader comes back to another process."""
        self._closed = True
        for watcher in self._all():
            watcher.end(ShuttingDownError())

    def _end(self, watcher: Watcher, reason: StreamEndedError) -> None:
        if not watcher.ended:
            watcher.end(reason)
            self._ending.append((self._monotonic(), watcher))

    def _end_at(self, watcher: Watcher) -> None:
        """See to it that this stream ends with its right."""
        if watcher.right.until == math.inf:
            return
        heapq.heappush(self._ends, (watcher.right.until, next(self._numbers), watcher))
        if len(self._ends) > 2 * self.watcher_count + 64:  # readers that left long before their end
            self._ends = [each for each in self._ends if each[2] in self._pool_of(each[2])]
            heapq.heapify(self._ends)

"""Many readers' watches over one way out: what a gateway is told, each update once for all that are told of it."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.status.domain.updates import (
    Heartbeat,
    ReaderTooSlowError,
    ShuttingDownError,
    StreamEndedError,
    TooManyStreamsError,
    Update,
)
from services.status.usecases.door_status import Resumption
from services.status.usecases.hub import Watcher

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.status.domain.rights import WatchRight
    from services.status.domain.updates import LogPosition, Reset
    from services.status.usecases.door_status import UpdateLog
    from services.status.usecases.hub import Hub

REPLAYS_AT_ONCE = 32
"""So many of the watches of one way out read what they missed at a time."""
MOST_WAITING_BYTES = 64 * 1_048_576
BATCH = 500


class SharedWatch(Watcher):
    """One reader's watch of one vehicle, called `number` on the way out that it shares."""

    is_shared = True

    def __init__(self, number: int, vin: str, right: WatchRight, out: SharedReader) -> None:
        super().__init__(vin, right, heartbeats=False)
        self.number = number
        self._out = out
        self._resumption: Resumption | None = None
        self._is_live = True

    def put(self, item: Update | Reset | Heartbeat, at: float) -> None:
        """Give it to the reader, at once or after what it missed."""
        if not self._is_live:
            super().put(item, at)
        elif not self.ended:
            self._pass_on(item, at)

    def behind(self, at: float) -> float:
        """Return for how many seconds what waits longest on the way out has been waiting."""
        return self._out.behind(at)

    def is_full(self, more_bytes: int, most_bytes: int) -> bool:  # noqa: ARG002  # the base class's signature
        """Return whether so much more would be too much to wait on the way out."""
        return self._out.waiting_bytes + self.waiting_bytes + more_bytes > MOST_WAITING_BYTES

    def end(self, reason: StreamEndedError) -> None:
        """End it now, and tell so on the way out."""
        if not self.ended:
            super().end(reason)
            self._out.watch_ended(self, reason)

    def resume(self, log: UpdateLog, after: LogPosition) -> None:
        """Keep what comes from now on until what came after that place was passed on (`catch_up`)."""
        self._resumption = Resumption(log, self, after)
        self._is_live = False

    async def catch_up(self, monotonic: Callable[[], float]) -> None:
        """Pass on what was missed, then what came meanwhile, and from then on all as it comes.

        Raises LogUnavailableError, and the StreamEndedError that ended it.
        """
        if self._resumption is not None:
            async for item in self._resumption.missed():
                self._out.add(self, item, monotonic())
        while self.waiting:
            self._pass_on(await self.next(), monotonic())
        self.check()
        self._is_live = True

    def _pass_on(self, item: Update | Reset | Heartbeat, at: float) -> None:
        if isinstance(item, Heartbeat) or (
            isinstance(item, Update) and self._resumption is not None and self._resumption.is_known(item)
        ):
            return
        self._out.add(self, item, at)


@dataclass(frozen=True, slots=True)
class BegunWatch:
    """A watch has begun, at this place."""

    number: int
    place: LogPosition


@dataclass(frozen=True, slots=True)
class EndedWatch:
    """A watch has ended, for this reason; nothing more is told of it."""

    number: int
    reason: Exception


@dataclass(frozen=True, slots=True)
class SharedItem:
    """An update, or a new beginning, for all of these."""

    vin: str
    item: Update | Reset
    watches: list[SharedWatch]

    @property
    def numbers(self) -> list[int]:
        """Those of them that have not ended since."""
        return [watch.number for watch in self.watches if not watch.ended]


class SharedReader:
    """The way out: what happens to its watches, in order, for whoever reads it.

    `is_told` says whether a watch is told of an update. Where it is read too slowly it ends as a whole: each watch can
    be begun again with its last id.
    """

    def __init__(
        self,
        hub: Hub,
        log: UpdateLog,
        monotonic: Callable[[], float],
        is_told: Callable[[SharedWatch, Update], bool],
    ) -> None:
        self._hub = hub
        self._log = log
        self._monotonic = monotonic
        self._is_told = is_told
        self._entries: deque[tuple[float, BegunWatch | EndedWatch | SharedItem]] = deque()
        self._watches: dict[int, SharedWatch] = {}
        self._replays: dict[int, asyncio.Task[None]] = {}
        self._replaying = asyncio.Semaphore(REPLAYS_AT_ONCE)
        self._arrived = asyncio.Event()
        self._ended = False
        self._reason: Exception | None = None
        self.waiting_bytes = 0

    def __len__(self) -> int:
        return len(self._watches)

    def __contains__(self, number: int) -> bool:
        return number in self._watches

    def behind(self, at: float) -> float:
        """Return for how many seconds what waits longest has been waiting."""
        return at - self._entries[0][0] if self._entries else 0.0

    def begin(self, number: int, vin: str, right: WatchRight, after: LogPosition | None) -> None:
        """Begin a watch, after this place where one is given. Where it cannot begin, that is told as its end."""
        watch = SharedWatch(number, vin, right, self)
        try:
            self._hub.join(watch)
        except (StreamEndedError, TooManyStreamsError) as refused:
            self.refuse(number, refused)
            return
        self._watches[number] = watch
        self._put(BegunWatch(number, watch.joined_at if after is None else after))
        if after is not None:
            watch.resume(self._log, after)
            self._replays[number] = asyncio.get_running_loop().create_task(self._catch_up(watch))

    def refuse(self, number: int, reason: Exception) -> None:
        """Tell that a watch cannot begin."""
        self._put(EndedWatch(number, reason))

    def end(self, number: int) -> None:
        """End a watch because its reader wants it; nothing more is told of it."""
        watch = self._watches.get(number)
        if watch is not None:
            self._forget(watch)
            Watcher.end(watch, ShuttingDownError())  # what waits for it is not told any more

    def watch_ended(self, watch: SharedWatch, reason: StreamEndedError) -> None:
        """Note that the hub has ended a watch."""
        if isinstance(reason, ReaderTooSlowError | ShuttingDownError):
            self.stop(reason)
        elif watch.number in self._watches:
            self._forget(watch)
            self._put(EndedWatch(watch.number, reason))

    def add(self, watch: SharedWatch, item: Update | Reset, at: float) -> None:
        """Have `item` told to this watch, with the others that are told of it now."""
        if self._ended or (isinstance(item, Update) and not self._is_told(watch, item)):
            return
        if self._entries:
            last = self._entries[-1][1]
            if isinstance(last, SharedItem) and last.item is item and last.vin == watch.vin:
                last.watches.append(watch)
                return
        if isinstance(item, Update):
            self.waiting_bytes += len(item.payload)
        self._entries.append((at, SharedItem(watch.vin, item, [watch])))
        self._arrived.set()

    async def next_batch(self) -> list[BegunWatch | EndedWatch | SharedItem] | None:
        """Return what has happened since, in order; None once it was stopped. Raises what it was stopped for."""
        while not self._entries:
            if self._ended:
                if self._reason is not None:
                    raise self._reason
                return None
            self._arrived.clear()
            await self._arrived.wait()
        batch = [self._entries.popleft()[1] for _ in range(min(BATCH, len(self._entries)))]
        for entry in batch:
            if isinstance(entry, SharedItem) and isinstance(entry.item, Update):
                self.waiting_bytes -= len(entry.item.payload)
        return batch

    def stop(self, reason: Exception | None = None) -> None:
        """End all of its watches, and what reads it, for this reason; what waits is dropped."""
        if self._ended:
            return
        self._ended, self._reason = True, reason
        for watch in list(self._watches.values()):
            self._forget(watch)
        self._entries.clear()
        self.waiting_bytes = 0
        self._arrived.set()

    def _put(self, entry: BegunWatch | EndedWatch) -> None:
        if not self._ended:
            self._entries.append((self._monotonic(), entry))
            self._arrived.set()

    def _forget(self, watch: SharedWatch) -> None:
        self._hub.leave(watch)
        del self._watches[watch.number]
        replay = self._replays.pop(watch.number, None)
        if replay is not None:
            replay.cancel()

    async def _catch_up(self, watch: SharedWatch) -> None:
        try:
            async with self._replaying:
                await watch.catch_up(self._monotonic)
        except StreamEndedError:
            return  # that was told
        except Exception as error:  # noqa: BLE001  # whatever is wrong with one watch is told of it, and ends no other
            if self._watches.get(watch.number) is watch:
                self._replays.pop(watch.number)
                self._forget(watch)
                self._put(EndedWatch(watch.number, error))
            return
        if self._watches.get(watch.number) is watch:
            self._replays.pop(watch.number)

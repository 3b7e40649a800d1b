"""The hub: bounds, order, resuming, and how streams end."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field

import pytest

from services.status.domain import (
    Bounds,
    Heartbeat,
    LogUnavailable,
    Position,
    ReaderTooSlow,
    Reset,
    RightEnded,
    ShuttingDown,
    TooManyStreams,
    Update,
)
from services.status.hub import Hub, Watcher
from services.status.usecases import watch_updates

VIN = "KMHSH81C7LU123456"
OTHER = "KMHSH81C7LU654321"


class Clock:
    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


@dataclass(slots=True)
class FakeLog:
    """A log that behaves: what is published is kept, `forget` drops the oldest, `on_read` happens in between."""

    hub: Hub
    epoch: str = "e"
    first: int = 1
    kept: list[tuple[str, Update]] = field(default_factory=list)
    publish_during_read: int = 0

    def publish(self, vin: str = VIN) -> None:
        position = Position(self.epoch, len(self.kept) + 1)
        self.kept.append((vin, Update(position, b"")))
        self.hub.publish(vin, position, b"")

    async def bounds(self) -> Bounds:
        return Bounds(self.epoch, self.first, len(self.kept))

    async def next_after(self, vin: str, position: Position) -> Update | None:
        if self.publish_during_read:
            self.publish_during_read -= 1
            self.publish(vin)
        for name, update in self.kept:
            if name == vin and update.position.sequence > position.sequence:
                return update
        return None


@pytest.fixture
def hub() -> Hub:
    hub = Hub(Clock(), queue_limit=4, max_watchers=3)
    hub.start_at(Position("e", 0))
    return hub


def watcher(vin: str = VIN, principal: str = "user-123") -> Watcher:
    return Watcher(vin, frozenset({principal}), heartbeats=True)


async def collect(hub: Hub, log: FakeLog, after: Position | None, count: int) -> list[str]:
    seen: list[str] = []
    with hub.watching(watcher(), 0.0) as reader:
        async with contextlib.aclosing(watch_updates(log, reader, after)) as items:
            async with asyncio.timeout(5):
                async for item in items:
                    seen.append("reset" if isinstance(item, Reset) else str(item.position.sequence))  # type: ignore[union-attr]  # nobody beats here
                    if len(seen) == count:
                        return seen
    return seen


async def test_only_the_vehicles_own_watchers_hear_of_it(hub: Hub) -> None:
    with hub.watching(watcher(), 0.0) as mine, hub.watching(watcher(OTHER), 0.0) as other:
        hub.publish(VIN, Position("e", 1), b"x")
        assert (mine.waiting, other.waiting) == (1, 0)
    assert hub.watcher_count == 0


async def test_a_reader_that_does_not_read_is_ended_and_nobody_else(hub: Hub) -> None:
    with hub.watching(watcher(), 0.0) as slow, hub.watching(watcher(), 0.0) as quick:
        for sequence in range(1, 6):
            hub.publish(VIN, Position("e", sequence), b"x")
            assert (await quick.next()).position.sequence == sequence  # type: ignore[union-attr]  # an update
        with pytest.raises(ReaderTooSlow):
            await slow.next()
        hub.publish(VIN, Position("e", 6), b"x")
        assert slow.waiting == 0


async def test_streams_are_counted(hub: Hub) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(hub.watching(watcher(), 0.0))
        with pytest.raises(TooManyStreams), hub.watching(watcher(), 0.0):
            pass
    with hub.watching(watcher(), 0.0):
        assert hub.watcher_count == 1


async def test_a_heartbeat_is_for_the_idle(hub: Hub) -> None:
    with hub.watching(watcher(), 0.0) as idle, hub.watching(watcher(OTHER), 0.0) as busy:
        hub.publish(OTHER, Position("e", 1), b"x")
        hub.beat()
        hub.beat()
        assert isinstance(await idle.next(), Heartbeat)
        assert (idle.waiting, busy.waiting) == (0, 1)


async def test_a_revocation_ends_what_it_carried_and_refuses_older_rights(hub: Hub) -> None:
    with hub.watching(watcher(), 0.0) as mine, hub.watching(watcher(principal="user-9"), 0.0) as others:
        hub.revoke("user-123", VIN)
        with pytest.raises(RightEnded):
            await mine.next()
        hub.publish(VIN, Position("e", 1), b"x")
        assert others.waiting == 1
    hub._monotonic.seconds += 10  # type: ignore[attr-defined]  # the test's clock
    with pytest.raises(RightEnded), hub.watching(watcher(), 11.0):
        pass
    with hub.watching(watcher(), 9.0):  # a right given after the revocation
        assert hub.watcher_count == 1


async def test_revocations_are_remembered_as_long_as_a_capability_lives(hub: Hub) -> None:
    hub.revoke("user-1", VIN)
    hub._monotonic.seconds += 61  # type: ignore[attr-defined]  # the test's clock
    hub.revoke("user-2", VIN)
    assert list(hub._revoked) == [("user-2", VIN)]


async def test_closing_ends_every_stream_and_takes_no_new_one(hub: Hub) -> None:
    with hub.watching(watcher(), 0.0) as reader:
        hub.close()
        with pytest.raises(ShuttingDown):
            await reader.next()
    with pytest.raises(ShuttingDown), hub.watching(watcher(), 0.0):
        pass


async def test_resuming_replays_what_was_missed_and_joins_what_happens_meanwhile(hub: Hub) -> None:
    log = FakeLog(hub, publish_during_read=2)
    for vin in (VIN, OTHER, VIN, VIN):
        log.publish(vin)
    assert await collect(hub, log, Position("e", 1), 4) == ["3", "4", "5", "6"]


async def test_resuming_at_the_end_misses_nothing(hub: Hub) -> None:
    log = FakeLog(hub)
    log.publish()
    reading = asyncio.create_task(collect(hub, log, Position("e", 1), 1))
    await asyncio.sleep(0)
    log.publish()
    assert await reading == ["2"]


async def test_what_happens_before_the_reader_begins_to_read_is_not_lost(hub: Hub) -> None:
    log = FakeLog(hub)
    log.publish()
    with hub.watching(watcher(), 0.0) as reader:
        log.publish()
        items = watch_updates(log, reader, None)
        assert str((await anext(items)).position) == "e-2"  # type: ignore[union-attr]  # an update
        await items.aclose()


async def test_a_hub_that_has_not_found_the_new_log_yet_resumes_nobody(hub: Hub) -> None:
    log = FakeLog(hub, epoch="f")
    with pytest.raises(LogUnavailable):
        await collect(hub, log, Position("f", 0), 1)


async def test_a_reader_ahead_of_this_process_gets_no_update_twice(hub: Hub) -> None:
    log = FakeLog(hub)
    log.publish()
    log.kept += [(VIN, Update(Position("e", n), b"")) for n in (2, 3)]  # kept, not seen by this hub yet
    reading = asyncio.create_task(collect(hub, log, Position("e", 2), 1))
    while not hub.watcher_count:  # noqa: ASYNC110  # a turn of the loop, not a wait
        await asyncio.sleep(0)
    for _, update in log.kept[1:]:
        hub.publish(VIN, update.position, b"")
    assert await reading == ["3"]


@pytest.mark.parametrize("after", [Position("old", 2), Position("e", 9), Position("e", 0)])
async def test_what_is_not_kept_any_more_begins_with_a_reset(hub: Hub, after: Position) -> None:
    log = FakeLog(hub)
    for _ in range(4):
        log.publish()
    log.first = 3
    assert await collect(hub, log, after, 1) == ["reset"]


async def test_a_feed_that_lost_its_place_resets_its_readers_and_goes_on(hub: Hub) -> None:
    log = FakeLog(hub)
    for _ in range(3):
        log.publish()
    reading = asyncio.create_task(collect(hub, log, None, 2))
    await asyncio.sleep(0)
    hub.restart_at(Position("f", 0))
    hub.publish(VIN, Position("f", 1), b"")
    assert await reading == ["reset", "1"]

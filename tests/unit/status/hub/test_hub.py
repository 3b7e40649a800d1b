"""Who hears what, how much waits, and how one comes back."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from services.status.domain.rights import WatchRight
from services.status.domain.updates import (
    Heartbeat,
    LogPosition,
    LogUnavailableError,
    ReaderTooSlowError,
    Reset,
    ShuttingDownError,
    StreamEvictedError,
    TooManyStreamsError,
    Update,
)
from services.status.usecases.door_status import watch_updates
from services.status.usecases.hub import Hub, Watcher
from services.status.usecases.streams import Streams
from tests.unit.status.hub.conftest import OTHER, VIN, Clock, FakeLog, watcher


async def collect(hub: Hub, log: FakeLog, after: LogPosition | None, count: int) -> list[str]:
    seen: list[str] = []
    with hub.watching(watcher()) as reader:
        async with contextlib.aclosing(watch_updates(log, reader, after)) as items:
            async with asyncio.timeout(30):
                async for item in items:
                    seen.append("reset" if isinstance(item, Reset) else str(item.position.sequence))  # type: ignore[union-attr]  # nobody beats here
                    if len(seen) == count:
                        return seen
    return seen


async def test_only_the_vehicles_own_watchers_hear_of_it(hub: Hub) -> None:
    with hub.watching(watcher()) as mine, hub.watching(watcher(OTHER)) as other:
        hub.publish(VIN, LogPosition("e", 1), b"x")
        assert (mine.waiting, other.waiting) == (1, 0)
    assert hub.watcher_count == 0


async def test_a_reader_that_does_not_read_is_ended_and_nobody_else(hub: Hub) -> None:
    with hub.watching(watcher()) as slow, hub.watching(watcher()) as quick:
        for sequence in range(1, 4):
            hub.publish(VIN, LogPosition("e", sequence), b"x")
            assert (await quick.next()).position.sequence == sequence  # type: ignore[union-attr]  # an update
            assert not slow.ended
            hub._monotonic.seconds += 4.9  # type: ignore[attr-defined]  # the test's clock
        hub.publish(VIN, LogPosition("e", 4), b"x")
        with pytest.raises(ReaderTooSlowError):
            await slow.next()
        hub.publish(VIN, LogPosition("e", 5), b"x")
        assert (slow.waiting, slow.waiting_bytes) == (0, 0)
        assert quick.waiting == 2


async def test_a_burst_ends_no_reader_that_takes_it(hub: Hub) -> None:
    with hub.watching(watcher()) as reader:
        for sequence in range(1, 1_001):
            hub.publish(VIN, LogPosition("e", sequence), b"x")
        got = [(await reader.next()).position.sequence for _ in range(1_000)]  # type: ignore[union-attr]  # updates
        assert got == list(range(1, 1_001))
        assert reader.waiting_bytes == 0


async def test_what_waits_for_a_reader_is_bounded(hub: Hub) -> None:
    with hub.watching(watcher()) as reader:
        for sequence in range(1, 11):
            hub.publish(VIN, LogPosition("e", sequence), b"x" * 100)
        assert reader.waiting_bytes == 1_000
        await reader.next()
        hub.publish(VIN, LogPosition("e", 11), b"x" * 100)
        assert not reader.ended
        hub.publish(VIN, LogPosition("e", 12), b"x")
        with pytest.raises(ReaderTooSlowError):
            await reader.next()


async def test_streams_are_counted(hub: Hub) -> None:
    with contextlib.ExitStack() as stack:
        for n in range(3):
            stack.enter_context(hub.watching(watcher(principal=f"user-{n}")))
        with pytest.raises(TooManyStreamsError), hub.watching(watcher(principal="user-9")):
            pass
    with hub.watching(watcher()):
        assert hub.watcher_count == 1


async def test_the_oldest_stream_of_the_same_user_gives_way(hub: Hub) -> None:
    with contextlib.ExitStack() as stack:
        mine = [watcher(vin) for vin in (VIN, OTHER)]
        theirs = watcher(principal="user-456")
        for each in (mine[0], theirs, mine[1]):
            stack.enter_context(hub.watching(each))
        newer = stack.enter_context(hub.watching(watcher()))
        with pytest.raises(StreamEvictedError):
            await mine[0].next()
        newest = stack.enter_context(hub.watching(watcher()))
        with pytest.raises(StreamEvictedError):
            await mine[1].next()
        assert [each.ended for each in (theirs, newer, newest)] == [False] * 3
        assert hub.watcher_count == 3
    assert hub.watcher_count == 0


async def test_one_user_keeps_nobody_out(hub: Hub) -> None:
    with contextlib.ExitStack() as stack:
        greedy = [stack.enter_context(hub.watching(watcher())) for _ in range(3)]
        stack.enter_context(hub.watching(watcher(principal="user-456")))
        assert [each.ended for each in greedy] == [True, False, False]
        assert hub.watcher_count == 3


async def test_a_user_and_a_vehicle_have_limits_of_their_own() -> None:
    clock = Clock()
    hub = Hub(clock, clock, max_watchers=100, max_per_user=3, max_per_vehicle=4, shared=Streams(50, 50, 50))
    with contextlib.ExitStack() as stack:
        guests = [stack.enter_context(hub.watching(watcher(principal="guest"))) for _ in range(4)]
        assert [each.ended for each in guests] == [True, False, False, False]
        owner = stack.enter_context(hub.watching(watcher(principal="owner")))
        again = stack.enter_context(hub.watching(watcher(principal="owner")))
        assert [each.ended for each in guests] == [True, True, False, False]
        assert [owner.ended, again.ended] == [False, False]
        for name in ("third", "fourth"):
            stack.enter_context(hub.watching(watcher(principal=name)))
        assert sorted([guests[2].ended, guests[3].ended, owner.ended, again.ended]) == [
            False,
            False,
            True,
            True,
        ]
        with pytest.raises(TooManyStreamsError), hub.watching(watcher(principal="fifth")):
            pass  # everybody who is there has one stream
        elsewhere = stack.enter_context(hub.watching(watcher(OTHER, principal="fifth")))
        assert not elsewhere.ended


async def test_an_agents_streams_push_out_none_of_the_persons() -> None:
    clock = Clock()
    hub = Hub(clock, clock, max_per_user=2, shared=Streams(50, 50, 50))
    with contextlib.ExitStack() as stack:
        mine = stack.enter_context(hub.watching(watcher()))
        agents = [stack.enter_context(hub.watching(watcher(actor="agent-7"))) for _ in range(3)]
        assert (mine.ended, [each.ended for each in agents]) == (False, [True, False, False])


async def test_a_heartbeat_is_for_the_idle(hub: Hub) -> None:
    with hub.watching(watcher()) as idle, hub.watching(watcher(OTHER)) as busy:
        hub.publish(OTHER, LogPosition("e", 1), b"x")
        hub.beat()
        hub.beat()
        assert isinstance(await idle.next(), Heartbeat)
        assert (idle.waiting, busy.waiting) == (0, 1)


class SharedWatcher(Watcher):
    is_shared = True


def shared(principal: str, vin: str = VIN) -> SharedWatcher:
    return SharedWatcher(vin, WatchRight(principal, principal), heartbeats=True)


async def test_shared_watches_have_the_limits_that_they_are_given() -> None:
    clock = Clock()
    hub = Hub(clock, clock, shared=Streams(most=3, per_user=2, per_vehicle=2))
    mine = [shared("a", vin) for vin in (VIN, OTHER, "KMHSH81C7LU999999")]
    for each in mine:
        hub.join(each)
    assert [each.ended for each in mine] == [True, False, False]
    hub.join(shared("b", OTHER))
    with pytest.raises(TooManyStreamsError):
        hub.join(shared("c", OTHER))  # both who are there have one watch of it
    assert hub.watcher_count == 3


async def test_what_is_shared_has_no_heartbeats(hub: Hub) -> None:
    watch = shared("a")
    hub.join(watch)
    with hub.watching(watcher()) as idle:
        hub.beat()
        assert (idle.waiting, watch.waiting) == (1, 0)


async def test_closing_ends_every_stream_and_takes_no_new_one(hub: Hub) -> None:
    with hub.watching(watcher()) as reader:
        hub.close()
        with pytest.raises(ShuttingDownError):
            await reader.next()
    with pytest.raises(ShuttingDownError), hub.watching(watcher()):
        pass


async def test_resuming_replays_what_was_missed_and_joins_what_happens_meanwhile(hub: Hub) -> None:
    log = FakeLog(hub, publish_during_read=2)
    for vin in (VIN, OTHER, VIN, VIN):
        log.publish(vin)
    assert await collect(hub, log, LogPosition("e", 1), 4) == ["3", "4", "5", "6"]


async def test_resuming_at_the_end_misses_nothing(hub: Hub) -> None:
    log = FakeLog(hub)
    log.publish()
    reading = asyncio.create_task(collect(hub, log, LogPosition("e", 1), 1))
    await asyncio.sleep(0)
    log.publish()
    assert await reading == ["2"]


async def test_what_happens_before_the_reader_begins_to_read_is_not_lost(hub: Hub) -> None:
    log = FakeLog(hub)
    log.publish()
    with hub.watching(watcher()) as reader:
        log.publish()
        items = watch_updates(log, reader, None)
        assert str((await anext(items)).position) == "e-2"  # type: ignore[union-attr]  # an update
        await items.aclose()


async def test_a_hub_that_has_not_found_the_new_log_yet_resumes_nobody(hub: Hub) -> None:
    log = FakeLog(hub, epoch="f")
    with pytest.raises(LogUnavailableError):
        await collect(hub, log, LogPosition("f", 0), 1)


async def test_a_reader_ahead_of_this_process_gets_no_update_twice(hub: Hub) -> None:
    log = FakeLog(hub)
    log.publish()
    log.kept += [(VIN, Update(LogPosition("e", n), b"")) for n in (2, 3)]  # kept, not seen by this hub yet
    reading = asyncio.create_task(collect(hub, log, LogPosition("e", 2), 1))
    while not hub.watcher_count:  # noqa: ASYNC110  # a turn of the loop, not a wait
        await asyncio.sleep(0)
    for _, update in log.kept[1:]:
        hub.publish(VIN, update.position, b"")
    assert await reading == ["3"]


@pytest.mark.parametrize("after", [LogPosition("old", 2), LogPosition("e", 9), LogPosition("e", 0)])
async def test_what_is_not_kept_any_more_begins_with_a_reset(hub: Hub, after: LogPosition) -> None:
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
    hub.restart_at(LogPosition("f", 0))
    hub.publish(VIN, LogPosition("f", 1), b"")
    assert await reading == ["reset", "1"]

"""The hub: bounds, order, resuming, and how streams end."""

from __future__ import annotations

import asyncio
import contextlib
import math
from dataclasses import dataclass, field
from typing import Any

import pytest

from services.status.domain.doors import (
    Bounds,
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
from services.status.domain.rights import EndingCause, RightEnding, WatchRight, WatchRightEndedError
from services.status.usecases.door_status import watch_updates
from services.status.usecases.hub import Hub, Watcher

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
    hub = Hub(clock, clock, max_watchers=3, max_behind_seconds=10, max_waiting_bytes=1_000)
    hub.start_at(LogPosition("e", 0))
    return hub


def watcher(vin: str = VIN, principal: str = "user-123", actor: str = "", **right: Any) -> Watcher:
    return Watcher(vin, WatchRight(principal, actor or principal, **right), heartbeats=True)


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
    hub = Hub(clock, clock, max_watchers=100, max_per_user=3, max_per_vehicle=4)
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
    hub = Hub(clock, clock, max_per_user=2)
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


def revoked(principal: str = "user-123", vin: str = VIN, at: float = 1_000.0, **changed: Any) -> RightEnding:
    return RightEnding(
        **{"cause": EndingCause.GRANT, "at": at, "principal": principal, "vin": vin, **changed}
    )


async def test_a_revocation_ends_what_it_carried_and_refuses_older_rights(hub: Hub) -> None:
    with hub.watching(watcher()) as mine, hub.watching(watcher(principal="user-9")) as others:
        hub.right_ended(revoked())
        with pytest.raises(WatchRightEndedError):
            await mine.next()
        hub.publish(VIN, LogPosition("e", 1), b"x")
        assert others.waiting == 1
    with pytest.raises(WatchRightEndedError), hub.watching(watcher(read_at=1_000.0)):
        pass
    with hub.watching(watcher(read_at=1_000.2)):  # a right given after the revocation
        assert hub.watcher_count == 1
    with hub.watching(watcher(OTHER)):
        assert hub.watcher_count == 1


async def test_a_right_that_was_read_before_its_end_was_committed_is_ended_too(hub: Hub) -> None:
    hub.right_ended(revoked(at=997.0))  # told at 1,000: until then the record may have said otherwise
    with pytest.raises(WatchRightEndedError), hub.watching(watcher(read_at=999.9)):
        pass
    hub.right_ended(revoked("user-9", at=900.0))  # told again, long after
    with hub.watching(watcher(principal="user-9", read_at=911.0)):
        assert hub.watcher_count == 1


async def test_a_stream_goes_on_while_another_grant_carries_it(hub: Hub) -> None:
    with hub.watching(watcher(until=5_000.0, ends_with=EndingCause.TOKEN)) as mine:
        hub.right_ended(revoked(remaining_until=math.inf))
        assert not mine.ended
        hub.right_ended(revoked(remaining_until=1_060.0))
        assert (mine.right.until, mine.right.ends_with) == (1_060.0, EndingCause.GRANT)
        hub._monotonic.seconds += 59.9  # type: ignore[attr-defined]  # the test's clock
        hub.end_overdue()
        assert not mine.ended
        hub._monotonic.seconds += 0.1  # type: ignore[attr-defined]  # the test's clock
        hub.end_overdue()
        with pytest.raises(WatchRightEndedError):
            await mine.next()
    with (
        pytest.raises(WatchRightEndedError),
        hub.watching(watcher(read_at=999.0)),
    ):  # the rest has ended meanwhile
        pass


@pytest.mark.parametrize("cause", [EndingCause.TOKEN, EndingCause.GRANT])
async def test_a_right_that_ends_by_itself_ends_its_stream(hub: Hub, cause: EndingCause) -> None:
    with hub.watching(watcher(until=1_010.0, ends_with=cause)) as mine, hub.watching(watcher()) as endless:
        hub._monotonic.seconds = 1_010.0  # type: ignore[attr-defined]  # the test's clock
        hub.end_overdue()
        with pytest.raises(WatchRightEndedError) as ended:
            await mine.next()
        assert ended.value.cause is cause
        assert not endless.ended
    with pytest.raises(WatchRightEndedError), hub.watching(watcher(until=1_010.0, ends_with=cause)):
        pass


async def test_a_locked_account_ends_what_it_watches_and_what_it_watches_for_others(hub: Hub) -> None:
    as_agent, own, others = watcher(actor="agent-7"), watcher(OTHER, "agent-7"), watcher(principal="user-9")
    with hub.watching(as_agent), hub.watching(own), hub.watching(others):
        hub.right_ended(revoked("agent-7", "", cause=EndingCause.ACCOUNT))
        for each in (as_agent, own):
            with pytest.raises(WatchRightEndedError) as ended:
                await each.next()
            assert ended.value.cause is EndingCause.ACCOUNT
        assert not others.ended
    with pytest.raises(WatchRightEndedError), hub.watching(watcher(actor="agent-7", read_at=999.0)):
        pass


async def test_an_agents_own_grant_carries_no_stream_of_somebody_elses(hub: Hub) -> None:
    with hub.watching(watcher(actor="agent-7")) as mine:
        hub.right_ended(revoked("agent-7"))
        assert not mine.ended


async def test_a_withdrawn_credential_ends_what_was_opened_with_it(hub: Hub) -> None:
    with (
        hub.watching(watcher(credential="key_a")) as mine,
        hub.watching(watcher(credential="iss_b")) as other,
    ):
        hub.right_ended(revoked("user-123", "", cause=EndingCause.CREDENTIAL, credential="key_a"))
        assert (mine.ended, other.ended) == (True, False)
        hub.right_ended(revoked("", "", cause=EndingCause.CREDENTIAL, credential="iss_b"))
        assert other.ended


async def test_what_a_withdrawn_key_of_the_access_service_signed_ends(hub: Hub) -> None:
    with hub.watching(watcher(signed_by="k1")) as old, hub.watching(watcher(signed_by="k2")) as new:
        hub.trust(frozenset({"k2"}))
        assert (old.ended, new.ended) == (True, False)


async def test_a_reader_that_does_not_read_why_is_cut(hub: Hub) -> None:
    async def read_nothing() -> None:
        with hub.watching(watcher()):
            await asyncio.Event().wait()

    reading = asyncio.create_task(read_nothing())
    await asyncio.sleep(0)
    hub.right_ended(revoked())
    hub.end_overdue()
    assert not reading.cancelling()
    hub._monotonic.seconds += 0.5  # type: ignore[attr-defined]  # the test's clock
    hub.end_overdue()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert hub.watcher_count == 0


async def test_a_right_that_ends_during_the_replay_ends_the_replay(hub: Hub) -> None:
    log = FakeLog(hub)
    for _ in range(3):
        log.publish()
    with hub.watching(watcher()) as reader:
        items = watch_updates(log, reader, LogPosition("e", 1))
        await anext(items)
        hub.right_ended(revoked())
        with pytest.raises(WatchRightEndedError):
            await anext(items)


async def test_revocations_are_remembered_as_long_as_a_capability_lives(hub: Hub) -> None:
    hub.right_ended(revoked("user-1"))
    hub._monotonic.seconds += 71  # type: ignore[attr-defined]  # the test's clock
    hub.right_ended(revoked("user-2"))
    assert len(hub._ended_rights) == 1


async def test_ends_of_readers_that_left_are_not_kept(hub: Hub) -> None:
    for _ in range(1_000):
        with hub.watching(watcher(until=9_000.0)):
            pass
    assert len(hub._ends) <= 65


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

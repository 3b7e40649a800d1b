"""The feed of watches where its call breaks, and where access is slow or says "not now"."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from ecarus.remotecontrol.access.v1 import door_watch_service_pb2 as pb2
from ecarus.remotecontrol.access.v1.access_service_pb2 import WatchAuthorization

from gateway import watches
from gateway.watches import Watch, WatchFeed
from services.platform.health import Health
from services.platform.server import SERVER_OPTIONS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

WAIT_SECONDS = 60
MOST_CAPABILITY = 16_384
VINS = [f"KMHSH81C7LU00000{n}" for n in range(5)]


class FakeCall:
    """A call that is fed and broken by the test. `begun` and `ended` are what was written, in order, in messages of
    `sizes` bytes.
    """

    def __init__(self) -> None:
        self.begun: list[tuple[str, int]] = []
        self.ended: list[int] = []
        self.sizes: list[int] = []
        self.cancelled = False
        self.written = asyncio.Event()
        self._answers: asyncio.Queue[Any] = asyncio.Queue()

    async def initial_metadata(self) -> None:
        pass

    def done(self) -> bool:
        return False

    def cancel(self) -> None:
        self.cancelled = True

    async def write(self, request: pb2.WatchVehiclesRequest) -> None:
        self.begun += [(each.vin, each.watch) for each in request.begin]
        self.ended += request.end
        self.sizes.append(request.ByteSize())
        self.written.set()

    async def read(self) -> Any:
        answer = await self._answers.get()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def end_watch(self, number: int, code: str) -> None:
        ended = pb2.WatchEnded(watch=number, cause=pb2.WatchEnded.CAUSE_OTHER, code=code)
        self._answers.put_nowait(pb2.WatchVehiclesResponse(events=[pb2.WatchEvent(ended=ended)]))

    def break_off(self) -> None:
        metadata = grpc.aio.Metadata()
        self._answers.put_nowait(grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, metadata, metadata))

    @property
    def vins(self) -> list[str]:
        return [vin for vin, _ in self.begun]

    async def until_begun(self, *vins: str) -> None:
        async with asyncio.timeout(WAIT_SECONDS):
            while not set(vins) <= set(self.vins):
                self.written.clear()
                await self.written.wait()


class FakeStub:
    """Makes calls, which are found in `calls`."""

    def __init__(self) -> None:
        self.calls: asyncio.Queue[FakeCall] = asyncio.Queue()

    def WatchVehicles(self) -> FakeCall:  # noqa: N802  # the contract's name
        call = FakeCall()
        self.calls.put_nowait(call)
        return call

    async def next(self) -> FakeCall:
        async with asyncio.timeout(WAIT_SECONDS):
            return await self.calls.get()


class FakeAuthorizer:
    """Allows all but what `codes` has; a session in `stalled` is answered when its event is set, and so many as
    `short_answers` with nothing.
    """

    def __init__(self) -> None:
        self.codes: dict[str, str] = {}
        self.stalled: dict[str, asyncio.Event] = {}
        self.asked: list[list[str]] = []
        self.short_answers = 0

    async def authorize(self, session: str, vins: Sequence[str]) -> list[WatchAuthorization]:
        self.asked.append(list(vins))
        if session in self.stalled:
            await self.stalled[session].wait()
        if self.short_answers:
            self.short_answers -= 1
            return []
        codes = self.codes.copy()
        self.codes.clear()
        return [
            WatchAuthorization(vin=vin, code=codes[vin])
            if vin in codes
            else WatchAuthorization(vin=vin, capability="c")
            for vin in vins
        ]


class FakeReader:
    def __init__(self, session: str) -> None:
        self.session = session
        self.endings: list[str] = []

    def begun(self, watch: Watch, event_id: str) -> None:
        pass

    def tell(self, frame: bytes) -> None:
        pass

    def ended(self, watch: Watch, ending: pb2.WatchEnded) -> None:
        self.endings.append(f"{watch.vin} {ending.code}")

    def session_ended(self, code: str, detail: str) -> None:
        raise AssertionError(code, detail)


class FeedHarness:
    def __init__(self) -> None:
        self.stub = FakeStub()
        self.access = FakeAuthorizer()
        channel = grpc.aio.insecure_channel("127.0.0.1:1")
        self.feed = WatchFeed(channel, self.access, Health().condition("watches"))  # type: ignore[arg-type]
        self.feed._stub = self.stub

    def begin(self, vin: str, session: str = "a", *, old: bool = False) -> Watch:
        watch = Watch(FakeReader(session), vin, frozenset(), "", None)
        self.feed.begin(watch, "" if old else "c")
        return watch


@pytest.fixture
async def harness(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FeedHarness]:
    monkeypatch.setattr(watches, "_LATER_SECONDS", 0.5)
    harness = FeedHarness()
    running = asyncio.create_task(harness.feed.run())
    yield harness
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def test_a_watch_that_waits_to_be_begun_again_is_begun_once_on_the_next_call(
    harness: FeedHarness,
) -> None:
    first = await harness.stub.next()
    watch = harness.begin(VINS[0])
    await first.until_begun(VINS[0])
    harness.feed._begin_later([watch])  # as after AWAY
    first.break_off()
    second = await harness.stub.next()
    await second.until_begun(VINS[0])
    later = asyncio.Event()
    asyncio.get_running_loop().call_later(watches._LATER_SECONDS, later.set)
    await later.wait()  # what was planned on the first call is over
    harness.begin(VINS[1])
    await second.until_begun(VINS[1])
    assert second.vins == VINS[:2]
    harness.feed.end(watch)
    harness.feed.end(watch)
    assert len(harness.feed) == 1


async def test_what_status_cannot_begin_now_is_begun_later_on_the_same_call(harness: FeedHarness) -> None:
    call = await harness.stub.next()
    watch = harness.begin(VINS[0])
    await call.until_begun(VINS[0])
    call.end_watch(call.begun[0][1], watches.AWAY)
    async with asyncio.timeout(WAIT_SECONDS):
        while call.vins != [VINS[0]] * 2:
            call.written.clear()
            await call.written.wait()
    assert watch.number == call.begun[-1][1]


async def test_one_session_that_access_does_not_answer_holds_up_nobody(harness: FeedHarness) -> None:
    call = await harness.stub.next()
    harness.access.stalled["slow"] = asyncio.Event()
    harness.begin(VINS[0], "slow", old=True)
    harness.begin(VINS[1], "other", old=True)
    fresh = harness.begin(VINS[2], "third")
    await call.until_begun(*VINS[1:3])
    harness.feed.end(fresh)
    harness.begin(VINS[3])
    await call.until_begun(VINS[3])
    assert call.ended == [fresh.number]
    assert VINS[0] not in call.vins
    harness.access.stalled["slow"].set()
    await call.until_begun(VINS[0])
    assert sorted(call.vins) == VINS[:4]


async def test_a_watch_that_ends_while_access_is_asked_is_not_begun(harness: FeedHarness) -> None:
    call = await harness.stub.next()
    answered = harness.access.stalled["slow"] = asyncio.Event()
    watch = harness.begin(VINS[0], "slow", old=True)
    harness.begin(VINS[1], "slow", old=True)
    await asyncio.sleep(0)
    harness.begin(VINS[2])
    await call.until_begun(VINS[2])
    harness.feed.end(watch)
    answered.set()
    await call.until_begun(VINS[1])
    assert VINS[0] not in call.vins


async def test_what_is_begun_at_once_fits_into_a_message_of_the_status_service(harness: FeedHarness) -> None:
    call = await harness.stub.next()
    vins = [f"KMHSH81C7LU{n:06}" for n in range(watches.BEGIN_AT_ONCE)]
    for vin in vins:
        harness.feed.begin(Watch(FakeReader("a"), vin, frozenset(), "", "e" * 128), "c" * MOST_CAPABILITY)
    await call.until_begun(*vins)
    assert call.vins == vins
    assert max(call.sizes) < dict(SERVER_OPTIONS)["grpc.max_receive_message_length"]


async def test_a_writer_that_fails_is_followed_by_a_new_call(harness: FeedHarness) -> None:
    first = await harness.stub.next()
    harness.begin(VINS[0])
    await first.until_begun(VINS[0])
    harness.access.short_answers = 1
    harness.begin(VINS[1], old=True)
    second = await harness.stub.next()
    assert first.cancelled
    await second.until_begun(*VINS[:2])
    harness.begin(VINS[2])
    await second.until_begun(VINS[2])


async def test_a_rate_limit_at_renewal_is_no_end_of_a_right(harness: FeedHarness) -> None:
    call = await harness.stub.next()
    harness.access.codes = {VINS[0]: "RATE_LIMITED", VINS[1]: "RATE_LIMITED", VINS[2]: "VEHICLE_NOT_FOUND"}
    asked = [harness.begin(vin, old=True) for vin in VINS[:3]]
    await call.until_begun(*VINS[:2])
    endings = [vin for watch in asked for vin in watch.reader.endings]  # type: ignore[attr-defined]
    assert endings == [f"{VINS[2]} VEHICLE_NOT_FOUND"]
    # What may be why the others were refused is asked about last.
    assert harness.access.asked == [VINS[:3], [VINS[1], VINS[0]]]

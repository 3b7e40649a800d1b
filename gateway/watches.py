"""The one call to the status service that feeds all readers, and what becomes of each watch.

Where it breaks, every watch is begun again after its last update, under a capability that access is asked for anew: its
reader sees a pause, and no gap.
"""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Protocol

import grpc
import structlog
from ecarus.remotecontrol.access.v1 import access_service_pb2, door_watch_service_pb2
from ecarus.remotecontrol.access.v1.access_service_pb2_grpc import AccessServiceStub
from ecarus.remotecontrol.access.v1.door_watch_service_pb2_grpc import DoorWatchServiceStub
from websockets.frames import Frame, Opcode

from gateway import messages
from services.platform.channel import ask

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ecarus.remotecontrol.access.v1.access_service_pb2 import WatchAuthorization
    from ecarus.remotecontrol.access.v1.door_watch_service_pb2 import WatchedUpdate, WatchEnded

    from services.platform.health import HealthCondition

BEGIN_AT_ONCE = 100
BEGIN_BYTES = 128 * 1_024
"""No watch is added to a request whose capabilities have so many: a service takes twice as many in one message."""
END_AT_ONCE = 1_000
AUTHORIZE_SECONDS = 4.0
_CAPABILITY_SECONDS = 20.0
"""A capability is used for so long at most: it is good for at least as long when it is given."""
_LATER_SECONDS = 1.0
_RENEWED_AT_ONCE = 16
"""So many sessions' watches are renewed at the same time."""
_LONGEST_PAUSE_SECONDS = 5.0
_TOO_OLD = frozenset({"TOKEN_EXPIRED", "TOKEN_INVALID"})
AWAY = "DEPENDENCY_UNAVAILABLE"
_NOT_NOW = frozenset({AWAY, "RATE_LIMITED"})
"""What says nothing of the right."""
_log = structlog.get_logger()


class WatchReader(Protocol):
    """Whose watches these are."""

    @property
    def session(self) -> str:
        """The session under which they were asked for."""

    def begun(self, watch: Watch, event_id: str) -> None:
        """Note that the watch has begun, for the first time, after this id."""

    def tell(self, frame: bytes) -> None:
        """Send this frame. Never waits, never fails."""

    def ended(self, watch: Watch, ending: WatchEnded) -> None:
        """Note that nothing more is told of the watch, and why."""

    def session_ended(self, code: str, detail: str) -> None:
        """Note that the session is not accepted any more."""


class Watch:
    """One reader's watch of one vehicle, told of updates of these types."""

    def __init__(
        self, reader: WatchReader, vin: str, types: frozenset[str], request_id: str, last_id: str | None
    ) -> None:
        self.reader = reader
        self.vin = vin
        self.types = types
        self.request_id = request_id
        self.last_id = last_id
        self.has_begun = False
        self.number = 0
        self.capability = ""
        self.capability_at = 0.0


class WatchAuthorizer:
    """Asks access for capabilities."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub: Any = AccessServiceStub(channel)

    async def authorize(self, session: str, vins: Sequence[str]) -> list[WatchAuthorization]:
        """Return what access says of each vehicle. Raises grpc.aio.AioRpcError."""
        request = access_service_pb2.AuthorizeWatchesRequest(session=session, vins=vins)
        answer: access_service_pb2.AuthorizeWatchesResponse = await ask(
            self._stub.AuthorizeWatches, request, seconds=AUTHORIZE_SECONDS
        )
        return list(answer.authorizations)


class WatchFeed:
    """Feeds watches from the status service. `run` must run beside it; `condition` hears whether it can."""

    def __init__(
        self, channel: grpc.aio.Channel, authorizer: WatchAuthorizer, condition: HealthCondition
    ) -> None:
        self._stub: Any = DoorWatchServiceStub(channel)
        self._authorizer = authorizer
        self._condition = condition
        self._watches: dict[Watch, None] = {}
        self._by_number: dict[int, Watch] = {}
        self._numbers = itertools.count(1)
        self._call_number = 0
        self._to_begin: dict[Watch, None] = {}
        self._to_end: list[int] = []
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._watches)

    def begin(self, watch: Watch, capability: str) -> None:
        """Begin a watch that access has just allowed."""
        watch.capability, watch.capability_at = capability, _now()
        self._watches[watch] = None
        self._to_begin[watch] = None
        self._changed.set()

    def end(self, watch: Watch) -> None:
        """End a watch; nothing more is told of it."""
        if watch in self._watches:
            self._forget(watch)
            self._changed.set()

    async def run(self) -> None:
        """Keep the call, until cancelled."""
        pause = 0.1
        while True:
            began = _now()
            try:
                await self._keep_call()
            except grpc.aio.AioRpcError as error:
                self._condition.bad(f"the status service does not feed: {error.code().name}")
                _log.warning("watch_feed_lost", code=error.code().name, detail=error.details())
            if _now() - began > _LONGEST_PAUSE_SECONDS:
                pause = 0.1
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    async def _keep_call(self) -> None:
        """Make one call, begin all watches on it, and pass on what it tells until it ends."""
        call: Any = self._stub.WatchVehicles()
        try:
            await call.initial_metadata()
            if not call.done():
                self._condition.good()
            self._call_number += 1
            self._by_number.clear()
            self._to_end.clear()
            self._to_begin = dict.fromkeys(self._watches)
            self._changed.set()
            loop = asyncio.get_running_loop()
            reading, writing = loop.create_task(self._read(call)), loop.create_task(self._write(call))
            try:
                await asyncio.wait([reading, writing], return_when=asyncio.FIRST_COMPLETED)
                if writing.done() and not call.done():
                    self._writer_failed(writing)
                else:  # who reads is told why the call is over
                    await reading
            finally:
                reading.cancel()
                writing.cancel()
                await asyncio.gather(reading, writing, return_exceptions=True)
        finally:
            call.cancel()

    async def _read(self, call: Any) -> None:
        """Pass on what the call tells, until it ends."""
        while (response := await call.read()) is not grpc.aio.EOF:
            for event in response.events:
                self._take(event)

    def _writer_failed(self, writing: asyncio.Task[None]) -> None:
        error = writing.exception()
        self._condition.bad(f"watches are not begun: {type(error).__name__}")
        _log.error("watch_writer_failed", exc_info=error)

    async def _write(self, call: Any) -> None:
        """Write what begins and ends. What must be renewed first is renewed beside it and holds up nothing."""
        at_once = asyncio.Semaphore(_RENEWED_AT_ONCE)
        async with asyncio.TaskGroup() as renewing:
            while True:
                await self._changed.wait()
                self._changed.clear()
                while self._to_begin or self._to_end:
                    request, old = self._next_request()
                    for watches in old:
                        renewing.create_task(self._renew(watches, at_once))
                    if request.begin or request.end:
                        await call.write(request)

    def _next_request(self) -> tuple[door_watch_service_pb2.WatchVehiclesRequest, list[list[Watch]]]:
        """Return what is to be written next, and the watches to be renewed, by their session."""
        request = door_watch_service_pb2.WatchVehiclesRequest(end=self._to_end[:END_AT_ONCE])
        del self._to_end[:END_AT_ONCE]
        old: dict[str, list[Watch]] = {}
        written = 0
        for watch in list(itertools.islice(self._to_begin, BEGIN_AT_ONCE)):
            if written >= BEGIN_BYTES:
                break
            del self._to_begin[watch]
            if _is_old(watch):
                old.setdefault(watch.reader.session, []).append(watch)
            else:
                self._add_begin(request, watch)
                written += len(watch.capability)
        return request, list(old.values())

    def _add_begin(self, request: door_watch_service_pb2.WatchVehiclesRequest, watch: Watch) -> None:
        watch.number = next(self._numbers)
        self._by_number[watch.number] = watch
        request.begin.add(
            watch=watch.number, vin=watch.vin, capability=watch.capability, last_event_id=watch.last_id
        )

    async def _renew(self, watches: Sequence[Watch], at_once: asyncio.Semaphore) -> None:
        """Ask access anew for these of one session; who is refused one is told of it as an end."""
        for watch in watches:
            watch.capability = ""
        async with at_once:
            watches = [each for each in watches if each in self._watches]
            if not watches:
                return
            try:
                told = await self._authorizer.authorize(
                    watches[0].reader.session, [each.vin for each in watches]
                )
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.UNAUTHENTICATED:
                    for reader in {each.reader for each in watches}:
                        reader.session_ended("TOKEN_INVALID", error.details() or "")
                else:
                    self._begin_later(watches)
                return
        self._take_answers(watches, told)

    def _take_answers(self, watches: Sequence[Watch], told: Sequence[WatchAuthorization]) -> None:
        renewed: list[Watch] = []
        not_now: list[Watch] = []
        seconds = 0
        for watch, answer in zip(watches, told, strict=True):
            if answer.capability:
                watch.capability, watch.capability_at = answer.capability, _now()
                renewed.append(watch)
            elif answer.code in _NOT_NOW:
                not_now.append(watch)
                seconds = max(seconds, answer.retry_after_seconds)
            elif watch in self._watches:
                self._forget(watch)
                cause = door_watch_service_pb2.WatchEnded.CAUSE_GRANT
                watch.reader.ended(
                    watch,
                    door_watch_service_pb2.WatchEnded(cause=cause, code=answer.code, detail=answer.detail),
                )
        self._begin_now(renewed)
        if not_now:  # the first may be why the others are refused: it is asked about last
            self._begin_later([*not_now[1:], not_now[0]], seconds)

    def _begin_later(self, watches: Sequence[Watch], seconds: float = 0.0) -> None:
        asyncio.get_running_loop().call_later(
            max(seconds, _LATER_SECONDS), self._begin_on, self._call_number, watches
        )

    def _begin_on(self, call_number: int, watches: Sequence[Watch]) -> None:
        """Begin them, unless the call for which that was planned is over: on the next one all have been begun."""
        if call_number == self._call_number:
            self._begin_now(watches)

    def _begin_now(self, watches: Sequence[Watch]) -> None:
        self._to_begin |= dict.fromkeys(each for each in watches if each in self._watches)
        self._changed.set()

    def _take(self, event: door_watch_service_pb2.WatchEvent) -> None:
        kind = event.WhichOneof("event")
        if kind == "update":
            self._pass_on(event.update)
        elif kind == "begun":
            watch = self._by_number.get(event.begun.watch)
            if watch is not None:
                watch.last_id = event.begun.event_id or watch.last_id
                if not watch.has_begun:
                    watch.has_begun = True
                    watch.reader.begun(watch, event.begun.event_id)
        elif kind == "ended":
            watch = self._by_number.pop(event.ended.watch, None)
            if watch is not None:
                self._watch_ended(watch, event.ended)

    def _pass_on(self, update: WatchedUpdate) -> None:
        frame = b""
        for number in update.watches:
            watch = self._by_number.get(number)
            if watch is None:
                continue
            watch.last_id = update.id
            if update.type in watch.types or update.is_reset:
                # A server's frames are alike for all its clients, so each is made once.
                frame = frame or text_frame(messages.event(update.id, update.document))
                watch.reader.tell(frame)

    def _watch_ended(self, watch: Watch, ending: WatchEnded) -> None:
        watch.number = 0
        if ending.cause == door_watch_service_pb2.WatchEnded.CAUSE_OTHER:
            if ending.code in _TOO_OLD:  # the capability waited too long
                watch.capability_at = 0.0
                self._begin_now([watch])
                return
            if ending.code == AWAY:
                self._begin_later([watch])
                return
        self._forget(watch)
        watch.reader.ended(watch, ending)

    def _forget(self, watch: Watch) -> None:
        self._watches.pop(watch, None)
        self._to_begin.pop(watch, None)
        if watch.number and self._by_number.pop(watch.number, None) is not None:
            self._to_end.append(watch.number)


def text_frame(payload: bytes) -> bytes:
    """Return a text message of a server, in one frame."""
    return Frame(Opcode.TEXT, payload).serialize(mask=False)


def _now() -> float:
    return asyncio.get_running_loop().time()


def _is_old(watch: Watch) -> bool:
    return not watch.capability or _now() - watch.capability_at > _CAPABILITY_SECONDS

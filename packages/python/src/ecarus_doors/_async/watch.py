"""Live updates of a vehicle: resumed without a gap when the connection breaks, until the right ends."""

from __future__ import annotations

import time
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Self

from ecarus_doors._async.runtime import INTERRUPTED, sleep
from ecarus_doors._core.events import STREAM_OPENED, StreamEnd, end_of, update_of
from ecarus_doors.errors import AuthenticationError, DoorsError, NotFoundError, PermissionDeniedError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from ecarus_doors._async.raw import AsyncRawDoors
    from ecarus_doors._core.events import Event
    from ecarus_doors._core.retries import Retries

RIGHT_OVER = frozenset({"ACTION_NOT_GRANTED", "ACCOUNT_LOCKED"})
"""Ends after which the same request is refused, too."""


class AsyncEventStream:
    """The updates of one vehicle, in their order, each once.

    `async with` opens the stream: what happens from then on is told. Without it is opened when the first update is
    asked for. It ends when the right to it ends: `ended` says why. `last_event_id` is that of the last update that
    was given out: begin with it another time. A connection that breaks, or says nothing for the heartbeat's time, is
    opened again for as long as it takes; one that was never open, for `Retries.within_seconds`. With
    `give_up_seconds` for so long at most, and then the last error is raised. A wait may be cancelled: the next one goes
    on after `last_event_id`.
    """

    def __init__(
        self,
        raw: AsyncRawDoors,
        vin: str,
        *,
        retries: Retries,
        last_event_id: str | None = None,
        give_up_seconds: float | None = None,
        on_reconnect: Callable[[DoorsError | None, float], object] | None = None,
    ) -> None:
        self._raw, self._vin, self._retries = raw, vin, retries
        self._give_up_seconds, self._on_reconnect = give_up_seconds, on_reconnect
        self.last_event_id = last_event_id
        self.ended: StreamEnd | None = None
        self.reconnects = 0
        self._is_opened = False
        self._attempt = 0
        self._heard = time.monotonic()
        self._retry: float | None = None
        self._first: Event | None = None
        self._events = self._run()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        event, self._first = self._first, None
        while event is None:
            event = await self._step()
        return event

    async def _step(self) -> Event | None:
        try:
            return await anext(self._events)
        except INTERRUPTED:
            # Whoever waited has waited long enough: the next one goes on from the last id.
            self._events = self._run()
            raise

    async def __aenter__(self) -> Self:
        with suppress(StopAsyncIteration):
            self._first = await self._step()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connection: nothing more comes."""
        self._first = None
        await self._events.aclose()

    async def _run(self) -> AsyncGenerator[Event | None, None]:
        """Yield updates, and None when the stream is open."""
        self._heard = time.monotonic()
        while self.ended is None:
            error: DoorsError | None = None
            self._retry = None
            try:
                async with aclosing(self._connection()) as events:
                    async for event in events:
                        yield event
            except (AuthenticationError, PermissionDeniedError, NotFoundError) as refused:
                if not self._is_opened:
                    raise
                self.ended = StreamEnd(refused.code, refused.detail)
            except DoorsError as caught:
                if not caught.retryable:
                    raise
                error = caught
            if self.ended is None:
                await self._pause(error)

    async def _connection(self) -> AsyncGenerator[Event | None, None]:
        is_resumed = self.last_event_id is not None
        async with self._raw.stream_door_updates(self._vin, last_event_id=self.last_event_id) as events:
            async for sent in events:
                if is_resumed or sent.event == STREAM_OPENED:
                    is_resumed = False
                    yield None
                if sent.comment is not None:
                    self._said(sent.comment)
                elif sent.retry is not None:
                    self._retry = sent.retry
                else:
                    self._note(is_update=sent.event != STREAM_OPENED)
                    self.last_event_id = sent.id or self.last_event_id
                    if sent.event != STREAM_OPENED:
                        yield update_of(sent)

    def _said(self, comment: str) -> None:
        end = end_of(comment)
        if end is None:
            self._note(is_update=True)
        elif end.code in RIGHT_OVER:
            self.ended = end

    def _note(self, *, is_update: bool) -> None:
        """Note that the stream is alive. One that opens and breaks at once is not: its pauses grow."""
        self._is_opened = True
        self._heard = time.monotonic()
        self._retry = None
        if is_update:
            self._attempt = 0

    async def _pause(self, error: DoorsError | None) -> None:
        self._attempt += 1
        self.reconnects += 1
        told = self._retry if error is None else error.retry_after
        pause = self._retries.watch_pause(self._attempt, told)
        limit = self._give_up_seconds
        if limit is None and not self._is_opened:
            limit = self._retries.within_seconds
        if limit is not None and time.monotonic() + pause > self._heard + limit:
            if error is not None:
                raise error
            self.ended = StreamEnd("GAVE_UP", "the stream ended again and again")
            return
        if self._on_reconnect is not None:
            self._on_reconnect(error, pause)
        await sleep(pause)

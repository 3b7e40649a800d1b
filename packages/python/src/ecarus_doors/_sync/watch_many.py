"""Live updates of many vehicles over one WebSocket: each resumed after its own last id, until its right ends."""
# Generated from _async by `make generate` (tools/sync_twin.py): change that one.

from __future__ import annotations

import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Self

from ecarus_doors._sync.runtime import INTERRUPTED, sleep
from ecarus_doors._core.sockets import RIGHT_OVER, SIGN_IN_OVER, SOCKET, SocketLostError, Subscriptions
from ecarus_doors.errors import AuthenticationError, DoorsError, PermissionDeniedError

if TYPE_CHECKING:
    from collections.abc import Generator, Callable, Iterable, Mapping, Sequence

    from ecarus_doors._sync.session import SyncSession
    from ecarus_doors._core.events import Event, StreamEnd
    from ecarus_doors._core.retries import Retries


class SyncEventFeed:
    """The updates of many vehicles, those of each in their order, each once.

    `with` opens the connection. `ended` says of each vehicle of which nothing more is told why; when that is
    all of them, iteration ends. `last_event_ids` is where to begin another time. A connection that breaks is opened
    again for as long as it takes; one that was never open, for `Retries.within_seconds`. A wait may be cancelled: the
    next one goes on after the last ids.
    """

    def __init__(
        self,
        session: SyncSession,
        vins: Iterable[str],
        *,
        retries: Retries,
        types: Sequence[str] | None = None,
        last_event_ids: Mapping[str, str] | None = None,
        on_reconnect: Callable[[DoorsError | None, float], object] | None = None,
    ) -> None:
        self._session, self._retries = session, retries
        self._all = Subscriptions(vins, types=types, last_event_ids=last_event_ids)
        self._on_reconnect = on_reconnect
        self._begun = time.monotonic()
        self._is_opened = False
        self._attempt = 0
        self.reconnects = 0
        self._first: Event | None = None
        self._events = self._run()

    @property
    def ended(self) -> Mapping[str, StreamEnd]:
        """The vehicles of which nothing more is told, and why."""
        return {vin: each.ended for vin, each in self._all.by_vin.items() if each.ended is not None}

    @property
    def last_event_ids(self) -> Mapping[str, str]:
        """The last id of each vehicle of which there is one."""
        return {
            vin: each.last_event_id
            for vin, each in self._all.by_vin.items()
            if each.last_event_id is not None
        }

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        event, self._first = self._first, None
        while event is None:
            event = self._step()
        return event

    def _step(self) -> Event | None:
        try:
            return next(self._events)
        except INTERRUPTED:
            # Whoever waited has waited long enough: the next one goes on from the last ids.
            self._events = self._run()
            raise

    def __enter__(self) -> Self:
        with suppress(StopIteration):
            self._first = self._step()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection: nothing more comes."""
        self._first = None
        self._events.close()

    def _run(self) -> Generator[Event | None, None]:
        """Yield updates, and None when the connection is open and all is subscribed to."""
        self._begun = time.monotonic()
        while not self._all.is_over:
            error: DoorsError | None = None
            told: float | None = None
            try:
                with closing(self._connection()) as events:
                    for event in events:
                        yield event
            except (AuthenticationError, PermissionDeniedError) as refused:
                if not self._is_opened:
                    raise
                self._all.end_all(refused.code, refused.detail)
            except SocketLostError as lost:
                if lost.code == RIGHT_OVER:
                    self._all.end_rights(lost.reason)
                    told = self._all.seconds_to_due()
            except DoorsError as caught:
                if not caught.retryable:
                    raise
                error, told = caught, caught.retry_after
            if not self._all.is_over:
                self._attempt += 1
                self.reconnects += 1
                self._pause(error, told)

    def _pause(self, error: DoorsError | None, told: float | None) -> None:
        pause = self._retries.watch_pause(self._attempt, told)
        if (
            error is not None
            and not self._is_opened
            and time.monotonic() + pause > self._begun + self._retries.within_seconds
        ):
            raise error
        if self._on_reconnect is not None:
            self._on_reconnect(error, pause)
        sleep(pause)

    def _connection(self) -> Generator[Event | None, None]:
        socket, authorization = self._session.open_socket(SOCKET)
        begun = time.monotonic()
        try:
            self._all.on_open()
            waiting = True
            while not self._all.is_over:
                for message in self._all.messages():
                    socket.send(message)
                try:
                    text = socket.receive(self._all.seconds_to_due())
                except TimeoutError:
                    continue
                event = self._all.on_message(text)
                self._is_opened = True
                if event is not None or time.monotonic() - begun > self._retries.longest_pause:
                    self._attempt = 0
                if waiting and self._all.is_subscribed:
                    waiting = False
                    yield None
                if event is not None:
                    yield event
        except SocketLostError as lost:
            if lost.code == SIGN_IN_OVER:
                self._session.renew_token(lost.reason, authorization)
            raise
        finally:
            socket.close()

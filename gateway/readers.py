"""One client of the WebSocket: what it asks for, what it is told, and why it is closed."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

import grpc
import structlog
from ecarus.remotecontrol.access.v1.door_watch_service_pb2 import WatchEnded
from websockets.protocol import State

from gateway import messages
from gateway.closings import (
    CLOSE_IDLE,
    CLOSE_RIGHT_ENDED,
    CLOSE_SIGNED_OUT,
    CLOSE_TOO_OFTEN,
    CLOSE_TOO_SLOW,
)
from gateway.limits import MessageRate
from gateway.messages import MessageError, Subscribe
from gateway.watches import AWAY, Watch, text_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from websockets.asyncio.server import ServerConnection

    from gateway.limits import OpenCount, UserRates
    from gateway.messages import Unsubscribe, WantedVehicle
    from gateway.settings import GatewaySettings
    from gateway.watches import WatchAuthorizer, WatchFeed
    from services.platform.session import Session

_NOT_OF_THE_GRANT = frozenset(
    {WatchEnded.CAUSE_ACCOUNT, WatchEnded.CAUSE_CREDENTIAL, WatchEnded.CAUSE_TOKEN, WatchEnded.CAUSE_CASE}
)
_TOO_MANY = "You have as many subscriptions as there may be; end some."
_TOO_OFTEN = "You have subscribed to too many vehicles within a minute; try again shortly."
_TOO_OFTEN_SECONDS = 10
_AWAY = "A part of the service is away; try again shortly."
_log = structlog.get_logger()


class SocketReader:
    """One connection. `now` is in seconds since 1970."""

    def __init__(
        self,
        connection: ServerConnection,
        session: Session,
        feed: WatchFeed,
        authorizer: WatchAuthorizer,
        subscriptions: OpenCount,
        vehicles: UserRates,
        settings: GatewaySettings,
        now: Callable[[], float],
    ) -> None:
        self._connection = connection
        self._session = session
        self._feed = feed
        self._authorizer = authorizer
        self._subscriptions = subscriptions
        self._vehicles = vehicles
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._watches: dict[str, Watch] = {}
        self._rate = MessageRate(settings.websocket_messages_per_minute, self._loop.time())
        self._waiting_since: float | None = None
        self._behind: asyncio.TimerHandle | None = None
        self._closing: asyncio.Task[None] | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._wait_idle()
        until = min(session.ends_at, session.expires_at)
        self._end = (
            self._loop.call_later(
                max(0.0, until - now()), self.session_ended, "TOKEN_EXPIRED", "The token has expired."
            )
            if until < math.inf
            else None
        )

    @property
    def session(self) -> str:
        """The session that the connection was opened with."""
        return self._session.token

    @property
    def certificate(self) -> str:
        """The team's certificate under which that was; empty where there was none."""
        return self._session.certificate

    async def receive(self, text: str) -> None:
        """Take a message of the client."""
        if not self._rate.take(self._loop.time()):
            self.close(CLOSE_TOO_OFTEN, "too many messages")
            return
        try:
            asked = messages.read(text)
        except MessageError as error:
            self._send(messages.not_understood(error))
            return
        if isinstance(asked, Subscribe):
            await self._subscribe(asked)
        else:
            self._unsubscribe(asked)

    async def _subscribe(self, asked: Subscribe) -> None:
        new: list[WantedVehicle] = []
        for wanted in asked.vehicles:
            known = self._watches.get(wanted.vin)
            if known is not None and wanted.last_event_id is None:  # it asks for other types
                known.types = asked.types
                self._send(messages.subscribed(asked.request_id, wanted.vin, known.last_id or ""))
                continue
            if known is not None:
                self._drop(known)
            if not self._vehicles.take(self._session.actor, self._loop.time()):
                self._refuse(asked, wanted.vin, "RATE_LIMITED", _TOO_OFTEN, _TOO_OFTEN_SECONDS)
            elif self._counted():
                new.append(wanted)
            else:
                self._refuse(asked, wanted.vin, "RATE_LIMITED", _TOO_MANY)
        if new:
            await self._begin(asked, new)

    def _counted(self) -> bool:
        """Count a subscription that is to begin; False where it is one too many."""
        if len(self._watches) >= self._settings.websocket_subscriptions:
            return False
        return self._subscriptions.add(self._session.actor, self._session.network)

    async def _begin(self, asked: Subscribe, new: Sequence[WantedVehicle]) -> None:
        """Ask access about them and begin those that it allows. Each has been counted."""
        left = len(new)
        try:
            told = await self._authorizer.authorize(self.session, [each.vin for each in new])
            for wanted, answer in zip(new, told, strict=True):
                if not answer.capability:
                    self._refuse(asked, wanted.vin, answer.code, answer.detail, answer.retry_after_seconds)
                elif len(self._watches) >= self._settings.websocket_subscriptions:
                    self._refuse(asked, wanted.vin, "RATE_LIMITED", _TOO_MANY)
                else:
                    left -= 1
                    watch = Watch(self, wanted.vin, asked.types, asked.request_id, wanted.last_event_id)
                    self._watches[wanted.vin] = watch
                    self._feed.begin(watch, answer.capability)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNAUTHENTICATED:
                self.session_ended("TOKEN_INVALID", error.details() or "")
                return
            _log.warning("access_not_asked", code=error.code().name, detail=error.details())
            for wanted in new:
                self._refuse(asked, wanted.vin, AWAY, _AWAY, 2)
        finally:
            if left:
                self._subscriptions.remove(self._session.actor, self._session.network, left)
            self._wait_idle()

    def _refuse(
        self, asked: Subscribe, vin: str, code: str, detail: str, retry_after_seconds: int = 0
    ) -> None:
        self._send(messages.refused(asked.request_id, vin, code, detail, retry_after_seconds))

    def _unsubscribe(self, asked: Unsubscribe) -> None:
        for vin in asked.vins:
            watch = self._watches.get(vin)
            if watch is not None:
                self._drop(watch)
            self._send(messages.unsubscribed(asked.request_id, vin))
        self._wait_idle()

    def _drop(self, watch: Watch) -> None:
        self._feed.end(watch)
        self._forget(watch)

    def _forget(self, watch: Watch) -> None:
        if self._watches.get(watch.vin) is watch:
            del self._watches[watch.vin]
            self._subscriptions.remove(self._session.actor, self._session.network)

    def begun(self, watch: Watch, event_id: str) -> None:
        """Tell that updates follow."""
        self._send(messages.subscribed(watch.request_id, watch.vin, event_id))

    def ended(self, watch: Watch, ending: WatchEnded) -> None:
        """Tell that nothing is told of a vehicle, or nothing more where it had begun.

        Close where that was the last right or the sign-in has ended.
        """
        if self._watches.get(watch.vin) is not watch:
            return
        self._forget(watch)
        why = (watch.vin, ending.code, ending.detail, ending.retry_after_seconds)
        self._send(messages.ended(*why) if watch.has_begun else messages.refused(watch.request_id, *why))
        if ending.cause in _NOT_OF_THE_GRANT:
            self.session_ended(ending.code, ending.detail)
        elif ending.cause == WatchEnded.CAUSE_GRANT and not self._watches:
            self.close(CLOSE_RIGHT_ENDED, ending.code)
        self._wait_idle()

    def session_ended(self, code: str, detail: str) -> None:
        """Close: what its client signed in with is not accepted any more."""
        _log.info("websocket_signed_out", code=code, reason=detail)
        self.close(CLOSE_SIGNED_OUT, code)

    def tell(self, frame: bytes) -> None:
        """Send this frame, or close where too much waits to be read."""
        if self._closing is not None or self._connection.protocol.state is not State.OPEN:
            return
        transport = self._connection.transport
        waiting = transport.get_write_buffer_size()
        if not waiting:
            self._waiting_since = None
        if waiting + len(frame) > self._settings.websocket_waiting_bytes:
            self.close(CLOSE_TOO_SLOW, "resume with your last id")
            return
        transport.write(frame)
        if self._waiting_since is None and transport.get_write_buffer_size():
            self._waiting_since = self._loop.time()
            if self._behind is None:
                self._look_after(self._settings.websocket_behind_seconds)

    def _look_after(self, seconds: float) -> None:
        self._behind = self._loop.call_later(seconds, self._look_behind)

    def _look_behind(self) -> None:
        """Close it where what waits has waited too long, also when nothing more is to be told."""
        self._behind = None
        if self._waiting_since is None:
            return
        if not self._connection.transport.get_write_buffer_size():
            self._waiting_since = None
            return
        left = self._waiting_since + self._settings.websocket_behind_seconds - self._loop.time()
        if left > 0:  # what waited first has been read meanwhile
            self._look_after(left)
        else:
            self.close(CLOSE_TOO_SLOW, "resume with your last id")

    def _send(self, payload: bytes) -> None:
        self.tell(text_frame(payload))

    def close(self, code: int, reason: str) -> None:
        """Close the connection with this code, and tell it nothing more."""
        if self._closing is None:
            self._release()
            self._closing = self._loop.create_task(self._connection.close(code, reason))

    async def gone(self) -> None:
        """End everything: the connection is closed, or closes now."""
        self._release()
        if self._end is not None:
            self._end.cancel()
        if self._closing is not None:
            await asyncio.wait([self._closing])

    def _release(self) -> None:
        for watch in list(self._watches.values()):
            self._drop(watch)
        if self._behind is not None:
            self._behind.cancel()
            self._behind = None
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None

    def _wait_idle(self) -> None:
        """Close it after a while without a subscription."""
        if self._watches or self._closing is not None:
            if self._idle is not None:
                self._idle.cancel()
                self._idle = None
        elif self._idle is None:
            seconds = self._settings.websocket_idle_seconds
            self._idle = self._loop.call_later(seconds, self.close, CLOSE_IDLE, "no subscription")

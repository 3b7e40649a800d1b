"""The broker's side of the hub: following streams without losing a message, and looking back in one."""

from __future__ import annotations

import asyncio
import contextlib
import math
from functools import partial
from typing import TYPE_CHECKING

import structlog
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import APIError, NotFoundError

from protocol.streams import DOOR_UPDATES
from protocol.subjects import kept_update_subject
from services.platform.jetstream import heed_cancellation
from services.status.domain.updates import Bounds, LogPosition, LogUnavailableError, Update, base36

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from nats.aio.msg import Msg
    from nats.aio.subscription import Subscription
    from nats.js.api import StreamInfo

    from services.platform.jetstream import Broker

_HEARTBEAT_SECONDS = 5.0
_SILENCE_SECONDS = 12.0
"""Two heartbeats missed and a little: the broker has forgotten this consumer."""
_UNREACHABLE_SECONDS = 30.0
"""The broker drops an ephemeral consumer that nobody listens to for so long."""

_log = structlog.get_logger()


class StreamTail:
    """Follows one subject of a stream from now on, alone and in order, across every interruption.

    The broker keeps nothing for it: after a reconnect, a gap or silence a new consumer begins after the
    last message seen. `deliver(subject, position, payload)` gets each message once. `started(position)`
    is called when it first has its place, `restarted(position)` when its place was lost, because the
    stream was made anew or has dropped what was not seen yet. With `since`, it begins
    at that time.
    """

    def __init__(
        self,
        broker: Broker,
        stream: str,
        subject: str,
        deliver: Callable[[str, LogPosition, bytes], None],
        started: Callable[[LogPosition], None],
        restarted: Callable[[LogPosition], None],
        since: Callable[[], datetime] | None = None,
    ) -> None:
        self._broker = broker
        self._stream = stream
        self._subject = subject
        self._deliver = deliver
        self._started = started
        self._restarted = restarted
        self._since = since
        self._making = asyncio.Lock()
        self._subscription: Subscription | None = None
        self._generation = 0
        self._epoch = ""
        self._last_seen = 0
        self._delivered = 0
        self._received_at = 0.0
        self._lost = asyncio.Event()

    async def begin(self) -> None:
        """Follow now and after every reconnect. Raises what nats-py raises when the broker is away."""
        await self._broker.at_every_connect(self.follow)

    async def watch(self) -> None:
        """Ensure, until cancelled, that nothing stays lost while the connection lives."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                async with asyncio.timeout(_HEARTBEAT_SECONDS):
                    await self._lost.wait()
            except TimeoutError:
                pass  # nothing was lost; see whether anything was heard
            silent = loop.time() - self._received_at > _SILENCE_SECONDS
            if self._broker.connected and (silent or self._lost.is_set()):
                _log.warning("stream_tail_lost", stream=self._stream, silent=silent)
                await self._try_to_follow()

    async def _try_to_follow(self) -> None:
        try:
            await self.follow()
        except (NatsError, APIError, TimeoutError) as error:
            _log.warning("stream_tail_failed", stream=self._stream, reason=str(error))
            await asyncio.sleep(0.5)

    async def follow(self) -> None:
        """Begin anew after the last message seen. Raises what nats-py raises when the broker is away."""
        async with self._making:
            self._generation += 1
            if self._subscription is not None:
                with contextlib.suppress(NatsError):  # it went with its connection
                    await self._subscription.unsubscribe()
                self._subscription = None
            info = await self._broker.jetstream.stream_info(self._stream)
            policy = self._find_place(info)
            inbox = self._broker.client.new_inbox()
            self._delivered = 0
            self._lost.clear()
            self._subscription = await self._broker.client.subscribe(
                inbox, cb=partial(self._arrive, self._generation), pending_msgs_limit=200_000
            )
            await self._broker.jetstream.add_consumer(
                self._stream,
                ConsumerConfig(
                    deliver_subject=inbox,
                    filter_subject=self._subject,
                    ack_policy=AckPolicy.NONE,
                    max_deliver=1,
                    mem_storage=True,
                    num_replicas=1,
                    idle_heartbeat=_HEARTBEAT_SECONDS,
                    inactive_threshold=_UNREACHABLE_SECONDS,
                    deliver_policy=policy,
                    opt_start_seq=self._last_seen + 1 if policy is DeliverPolicy.BY_START_SEQUENCE else None,
                    opt_start_time=self._since()
                    if self._since and policy is DeliverPolicy.BY_START_TIME
                    else None,
                ),
            )
            self._received_at = asyncio.get_running_loop().time()

    def _find_place(self, info: StreamInfo) -> DeliverPolicy:
        epoch = epoch_of(info)
        first, last = info.state.first_seq, info.state.last_seq
        if not self._epoch:
            self._epoch, self._last_seen = epoch, last
            self._started(LogPosition(epoch, last))
            return DeliverPolicy.BY_START_SEQUENCE if self._since is None else DeliverPolicy.BY_START_TIME
        if epoch != self._epoch:
            self._epoch, self._last_seen = epoch, 0
            self._restarted(LogPosition(epoch, 0))
        elif first > self._last_seen + 1:
            self._last_seen = first - 1
            self._restarted(LogPosition(epoch, self._last_seen))
        return DeliverPolicy.BY_START_SEQUENCE

    async def _arrive(self, generation: int, message: Msg) -> None:
        if generation != self._generation:
            return
        self._received_at = asyncio.get_running_loop().time()
        headers = message.headers
        if headers is not None and headers.get("Status"):
            last = int(headers.get("Nats-Last-Consumer") or 0)
            if last > self._delivered:  # heartbeats tell how many were sent
                self._lost.set()
            return
        sequence = message.metadata.sequence
        if sequence.consumer != self._delivered + 1:
            self._lost.set()
            self._generation += 1  # what follows the gap is read again after it
            return
        self._delivered += 1
        self._last_seen = sequence.stream
        self._deliver(message.subject, LogPosition(self._epoch, sequence.stream), message.data)


class JetStreamLog:
    """The updates that the broker still keeps. See usecases.UpdateLog."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def bounds(self) -> Bounds:
        """Return what is kept now. Raises LogUnavailableError."""
        self._check_connected()
        try:
            info = await self._broker.jetstream.stream_info(DOOR_UPDATES)
        except (NatsError, APIError, TimeoutError) as error:
            raise LogUnavailableError from error
        heed_cancellation()
        return Bounds(epoch_of(info), info.state.first_seq, info.state.last_seq)

    async def next_after(self, vin: str, position: LogPosition) -> Update | None:
        """Return the vehicle's first update after `position`; None when there is none. Raises LogUnavailableError."""
        self._check_connected()
        try:
            found = await self._broker.jetstream.get_msg(
                DOOR_UPDATES,
                seq=position.sequence + 1,
                subject=kept_update_subject("*", vin),
                direct=True,
                next=True,
            )
        except NotFoundError:
            return None
        except (NatsError, APIError, TimeoutError) as error:
            raise LogUnavailableError from error
        heed_cancellation()
        published_at = found.time.timestamp() if found.time is not None else math.inf
        place = LogPosition(position.epoch, found.seq or 0)
        return Update(place, found.data or b"", found.subject or "", published_at=published_at)

    def _check_connected(self) -> None:
        if not self._broker.connected:
            raise LogUnavailableError


def epoch_of(info: StreamInfo) -> str:
    """Return what tells this stream from one of the same name made before or after it."""
    if info.created is None:
        raise LogUnavailableError
    return base36(int(info.created.timestamp() * 1_000_000))

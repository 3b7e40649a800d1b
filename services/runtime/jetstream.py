"""NATS JetStream as a room uses it: streams that are there, publishing with proof, consuming in batches.

Streams and consumers are made again at every connect, because the broker's disk is not the record: a
broker that lost everything is filled anew from the outboxes.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import nats
import structlog
from nats.errors import Error as NatsError
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DeliverPolicy,
    RePublish,
    RetentionPolicy,
    StreamConfig,
    SubjectTransform,
)
from nats.js.errors import APIError, BadRequestError, TooManyStalledMsgsError

from protocol.broker import MQTT_QOS_HEADER
from services.runtime.database import StorageUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from nats.aio.client import Client
    from nats.aio.msg import Msg
    from nats.js import JetStreamContext

    from protocol.broker import Stream
    from services.runtime.outbox import OutgoingMessage
    from services.runtime.settings import RoomSettings

T = TypeVar("T")

PUBLISH_SECONDS = 5.0
CONNECT_SECONDS = 10.0
_MAX_ATTEMPTS = 5
_NAME_IN_USE = 10058
_log = structlog.get_logger()


class Broker:
    """A connection to NATS that comes back by itself and then makes its streams and consumers again.

    `replicas` is on how many nodes of a cluster each stream is kept.
    """

    def __init__(self, client: Client, replicas: int = 1) -> None:
        self.client = client
        self._replicas = replicas
        self.jetstream: JetStreamContext = client.jetstream()
        self._on_connect: list[Callable[[], Awaitable[None]]] = []
        self._unconfirmed: set[asyncio.Future[object]] = set()
        self._breaks = 0

    @property
    def connected(self) -> bool:
        """False while the broker is away: nothing published now could reach it."""
        return self.client.is_connected

    async def at_every_connect(self, make: Callable[[], Awaitable[None]]) -> None:
        """Run `make` now and after every reconnect."""
        self._on_connect.append(make)
        await make()

    async def disconnected(self) -> None:
        """Called by the client. What was not written yet must not go out ahead of what was, and is lost."""
        self._breaks += 1
        self.client._pending.clear()  # noqa: SLF001  # nats-py would write it first thing after the reconnect
        self.client._pending_data_size = 0  # noqa: SLF001  # see above
        for future in list(self._unconfirmed):
            future.cancel()

    async def reconnected(self) -> None:
        """Called by the client. A broker that has just started may not answer yet: keep asking."""
        _log.info("broker_reconnected")
        for make in self._on_connect:
            pause = 0.1
            while self.connected:
                try:
                    await make()
                    break
                except (NatsError, APIError, TimeoutError) as error:
                    _log.warning("broker_setup_failed", reason=str(error))
                await asyncio.sleep(pause)
                pause = min(2.0, pause * 2)

    async def ensure_streams(self, *streams: Stream) -> None:
        """Have these streams, with exactly these properties, now and after every reconnect."""

        async def make() -> None:
            for stream in streams:
                await self._ensure_stream(stream)

        await self.at_every_connect(make)

    async def _ensure_stream(self, stream: Stream) -> None:
        for needed in stream.needs:
            await self._ensure_stream(needed)
        config = stream_config(stream)
        try:
            await self.jetstream.add_stream(config)
        except BadRequestError as error:
            if error.err_code != _NAME_IN_USE:
                raise
            await self.jetstream.update_stream(config)

    async def publish_all(self, messages: Sequence[OutgoingMessage]) -> list[bool]:
        """Publish in order; for each, whether the broker has confirmed that it keeps it.

        False may also mean that it does and the confirmation was lost; send it again, under its id.
        """
        futures: list[asyncio.Future[object] | None] = []
        breaks = self._breaks
        for message in messages:
            # After a break the rest waits, so that nothing overtakes what the break has lost.
            whole = self.connected and self._breaks == breaks
            futures.append(await self._publish(message) if whole else None)
        waiting = [future for future in futures if future is not None]
        if waiting:
            await asyncio.wait(waiting, timeout=PUBLISH_SECONDS)
        self._unconfirmed.difference_update(waiting)
        return [_confirmed(future) for future in futures]

    async def _publish(self, message: OutgoingMessage) -> asyncio.Future[object] | None:
        """Written, and the confirmation to wait for; None when it could not be written."""
        if len(message.payload) > self.client.max_payload:
            _log.error("message_too_large", subject=_kind(message.subject), bytes=len(message.payload))
            return None
        try:
            future: asyncio.Future[object] = await self.jetstream.publish_async(  # type: ignore[assignment]  # a PubAck is an object
                message.subject,
                message.payload,
                wait_stall=PUBLISH_SECONDS,
                headers={"Nats-Msg-Id": message.message_id, MQTT_QOS_HEADER: "1"},
                msg_ttl=message.ttl_seconds,
            )
        except (NatsError, TooManyStalledMsgsError, TimeoutError) as error:
            _log.warning("publish_failed", subject=_kind(message.subject), reason=str(error))
            return None
        self._unconfirmed.add(future)
        return future

    async def close(self) -> None:
        """Send what is buffered and disconnect."""
        with contextlib.suppress(NatsError, TimeoutError):  # a broker that is away can not be told goodbye
            await self.client.drain()


def stream_config(stream: Stream) -> StreamConfig:
    """The stream as the broker is told of it."""
    retention = RetentionPolicy.WORK_QUEUE if stream.work_queue else RetentionPolicy.LIMITS
    return StreamConfig(
        name=stream.name,
        subjects=list(stream.subjects),
        retention=RetentionPolicy.INTEREST if stream.while_wanted else retention,
        max_age=stream.max_age_seconds,
        duplicate_window=stream.duplicate_window_seconds,
        allow_msg_ttl=stream.message_ttl,
        allow_direct=True,
        max_consumers=-1,
        subject_transform=SubjectTransform(*stream.stored_as) if stream.stored_as else None,
        republish=RePublish(*stream.passed_on) if stream.passed_on else None,
    )


def _confirmed(future: asyncio.Future[object] | None) -> bool:
    if future is None:
        return False
    if not future.done():
        future.cancel()
        return False
    if future.cancelled():
        return False
    error = future.exception()
    if error is not None:
        _log.warning("publish_refused", reason=str(error))
    return error is None


def _kind(subject: str) -> str:
    """A subject without the VIN in it, for logs."""
    words = subject.split(".")
    return ".".join([words[0], "*", *words[2:]])


async def connect(settings: RoomSettings, name: str) -> Broker:
    """Connect, and keep coming back. Raises TimeoutError when there is no broker within CONNECT_SECONDS."""
    broker: Broker | None = None

    async def reconnected() -> None:
        if broker is not None:
            await broker.reconnected()

    async def disconnected() -> None:
        if broker is not None:
            await broker.disconnected()

    async def failed(error: Exception) -> None:
        _log.warning("broker_error", reason=f"{type(error).__name__}: {error}")

    tls = None
    if settings.nats_ca:
        tls = ssl.create_default_context(cafile=str(settings.nats_ca))
        tls.load_cert_chain(settings.tls_cert, settings.tls_key)  # for a broker that asks who it is
    async with asyncio.timeout(CONNECT_SECONDS):
        client = await nats.connect(
            settings.nats_url,
            name=name,
            user=settings.nats_user,
            password=settings.nats_password_file.read_text(encoding="utf-8").strip(),
            tls=tls,
            max_reconnect_attempts=-1,
            reconnect_time_wait=0.2,
            ping_interval=5,
            max_outstanding_pings=2,
            pending_size=0,  # a publish while the broker is away fails, and does not wait in memory
            disconnected_cb=disconnected,
            reconnected_cb=reconnected,
            error_cb=failed,
        )
    broker = Broker(client, settings.nats_replicas)
    return broker


@dataclass(frozen=True, slots=True)
class Delivery:
    """One delivered message."""

    subject: str
    data: bytes
    stream_sequence: int
    headers: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Poison:
    """A delivery that no retry will make understandable, and why."""

    delivery: Delivery
    reason: str


@dataclass(frozen=True, slots=True)
class ConsumerPlan:
    """A durable consumer, the same for all replicas of a room.

    With `shared`, replicas divide the messages among them. Without, every replica that runs it sees all,
    and any one of them acknowledges for all. Each message is acknowledged by itself: an acknowledgement
    that covers everything before it would also cover what a crash or a broken connection has lost on the
    way, and the broker would never deliver that again.
    """

    stream: str
    name: str
    subjects: tuple[str, ...]
    shared: bool = True
    batch: int = 64
    max_pending: int = 2_000
    ack_wait_seconds: int = 10


class Consumer:
    """Runs a ConsumerPlan: batches are handled, committed by the handler, and only then acknowledged.

    A batch whose handler raises is tried again until the store is back; a single message that keeps
    failing for any other reason, and what the handler calls poison, is buried and never blocks the rest.
    """

    def __init__(
        self,
        broker: Broker,
        plan: ConsumerPlan,
        handle: Callable[[Sequence[Delivery]], Awaitable[Sequence[Poison]]],
        bury: Callable[[Sequence[Poison]], Awaitable[None]],
    ) -> None:
        self._broker = broker
        self._plan = plan
        self._handle = handle
        self._bury = bury
        self._waiting: OrderedDict[tuple[str, str], Msg] = OrderedDict()
        self._in_hand: dict[tuple[str, str], Msg] = {}
        self._arrived = asyncio.Event()

    async def run(self) -> None:
        """Consume until cancelled."""
        await self._broker.at_every_connect(self._make)
        plan = self._plan
        await self._broker.client.subscribe(
            f"deliver.{plan.name}",
            queue=plan.name if plan.shared else "",
            cb=self._arrive,
            pending_msgs_limit=plan.max_pending * 4,
        )
        while True:
            if not self._waiting:
                self._arrived.clear()
                await self._arrived.wait()
            count = min(plan.batch, len(self._waiting))
            self._in_hand = dict(self._waiting.popitem(last=False) for _ in range(count))
            await self._take(list(self._in_hand.values()))
            self._in_hand = {}

    async def _make(self) -> None:
        plan = self._plan
        await self._broker.jetstream.add_consumer(
            plan.stream,
            ConsumerConfig(
                durable_name=plan.name,
                filter_subjects=list(plan.subjects),
                deliver_policy=DeliverPolicy.ALL,
                deliver_subject=f"deliver.{plan.name}",
                deliver_group=plan.name if plan.shared else None,
                ack_policy=AckPolicy.EXPLICIT,
                ack_wait=plan.ack_wait_seconds,
                max_deliver=-1,
                max_ack_pending=plan.max_pending,
            ),
        )

    async def _arrive(self, message: Msg) -> None:
        # While the store is away the broker delivers again and again; each message waits here once.
        identity = _identity(message)
        if identity not in self._in_hand:
            self._waiting[identity] = message
            self._arrived.set()

    async def _take(self, messages: list[Msg]) -> None:
        try:
            poison = await self._until_stored(messages)
        except Exception as error:  # noqa: BLE001  # whatever it raises, one message must not stop the rest
            if len(messages) > 1:  # find the one that does it
                for message in messages:
                    await self._take([message])
                return
            _log.exception("message_failed", consumer=self._plan.name, subject=_kind(messages[0].subject))
            poison = [Poison(_delivery(messages[0]), f"{type(error).__name__}: {error}")]
        if poison:
            _log.warning("messages_buried", consumer=self._plan.name, reasons=[p.reason for p in poison])
            await self._keep_trying(lambda: self._bury(poison))
        await self._acknowledge(messages)

    async def _until_stored(self, messages: list[Msg]) -> Sequence[Poison]:
        deliveries = [_delivery(message) for message in messages]
        attempts = 1 if len(messages) > 1 else _MAX_ATTEMPTS
        while True:
            try:
                return await self._keep_trying(lambda: self._handle(deliveries))
            except Exception:
                attempts -= 1
                if attempts == 0:
                    raise
                await asyncio.sleep(0.2)

    async def _keep_trying(self, work: Callable[[], Awaitable[T]]) -> T:
        """A store that is away is no fault of the message: wait for it."""
        pause = 0.1
        while True:
            try:
                return await work()
            except StorageUnavailable as error:
                _log.warning("consumer_waits_for_store", consumer=self._plan.name, reason=str(error))
                await asyncio.sleep(pause)
                pause = min(5.0, pause * 2)

    async def _acknowledge(self, messages: list[Msg]) -> None:
        try:
            for message in messages:
                await message.ack()
        except NatsError as error:
            # It will be delivered again, and recognised as known.
            _log.warning("acknowledge_failed", consumer=self._plan.name, reason=str(error))


_SHORT_ACK_WORDS = 9


def _identity(message: Msg) -> tuple[str, str]:
    """Its sequence and time in the stream: a stream that was made anew counts from one again.

    Read straight from the acknowledgement subject ($JS.ACK.<stream>.<consumer>.<deliveries>.<sequence>.
    <consumer sequence>.<time>.<pending>, with two words more before the stream in its longer form),
    because the client's parsed metadata costs more than handling some messages does.
    """
    words = message.reply.split(".")
    sequence = 5 if len(words) == _SHORT_ACK_WORDS else 7
    return words[sequence], words[sequence + 2]


def _delivery(message: Msg) -> Delivery:
    return Delivery(message.subject, message.data, message.metadata.sequence.stream, message.headers or {})

"""NATS JetStream as a room uses it: streams that are there, and publishing with proof.

Streams and consumers are made again at every connect, because the broker's disk is not the record: a
broker that lost everything is filled anew from the outboxes. One service makes them all; the others wait for them.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from typing import TYPE_CHECKING

import nats
import structlog
from nats.errors import Error as NatsError
from nats.js.errors import APIError, BadRequestError, NotFoundError, TooManyStalledMsgsError

from protocol.broker import MQTT_QOS_HEADER, is_vin
from protocol.streams import durable_config, stream_config

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from nats.aio.client import Client
    from nats.js import JetStreamContext

    from protocol.broker import Stream
    from protocol.streams import Durable
    from services.runtime.outbox import OutgoingMessage
    from services.runtime.settings import RoomSettings

PUBLISH_SECONDS = 5.0
CONNECT_SECONDS = 10.0
_NAME_IN_USE = 10058
_VIN = re.compile(r"\b[A-HJ-NPR-Z0-9]{17}\b", re.IGNORECASE)
_LOOK_AGAIN_SECONDS = 0.1
_LOOKS_PER_LINE = 50
_log = structlog.get_logger()


class Broker:
    """A connection to NATS that comes back by itself and then makes its streams and consumers again.

    `replicas` is on how many nodes of a cluster each stream is kept. Without `provisions` it makes none, and waits
    until they are there: whoever may make one at the broker can have anything delivered anywhere. `store_prefix`: see
    protocol.streams.
    """

    def __init__(
        self,
        client: Client,
        replicas: int = 1,
        *,
        provisions: bool = True,
        api_prefix: str = "$JS.API",
        store_prefix: str = "",
    ) -> None:
        self.client = client
        self._replicas = replicas
        self._provisions = provisions
        self._store_prefix = store_prefix
        self.jetstream: JetStreamContext = client.jetstream(prefix=api_prefix)
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
                await self._have_stream(stream)

        await self.at_every_connect(make)

    async def ensure_consumers(self, *consumers: Durable) -> None:
        """Have these durable consumers, now and after every reconnect."""

        async def make() -> None:
            for consumer in consumers:
                await self._have_consumer(consumer)

        await self.at_every_connect(make)

    async def _have_stream(self, stream: Stream) -> None:
        if self._provisions:
            await self._make_stream(stream)
        else:
            await _until_there(stream.name, lambda: self.jetstream.stream_info(stream.name))

    async def _make_stream(self, stream: Stream) -> None:
        for needed in stream.needs:
            await self._make_stream(needed)
        config = stream_config(stream, self._store_prefix)
        try:
            await self.jetstream.add_stream(config)
        except BadRequestError as error:
            if error.err_code != _NAME_IN_USE:
                raise
            await self.jetstream.update_stream(config)

    async def _have_consumer(self, consumer: Durable) -> None:
        if self._provisions:
            await self.jetstream.add_consumer(consumer.stream, durable_config(consumer, self._store_prefix))
        else:
            await _until_there(
                consumer.name, lambda: self.jetstream.consumer_info(consumer.stream, consumer.name)
            )

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
        heed_cancellation()
        return [_confirmed(future) for future in futures]

    async def _publish(self, message: OutgoingMessage) -> asyncio.Future[object] | None:
        """Written, and the confirmation to wait for; None when it could not be written."""
        if len(message.payload) > self.client.max_payload:
            _log.error("message_too_large", subject=kind_of(message.subject), bytes=len(message.payload))
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
            _log.warning("publish_failed", subject=kind_of(message.subject), reason=str(error))
            return None
        self._unconfirmed.add(future)
        return future

    async def close(self) -> None:
        """Send what is buffered and disconnect."""
        with contextlib.suppress(NatsError, TimeoutError):  # a broker that is away can not be told goodbye
            await self.client.drain()


async def _until_there(name: str, look: Callable[[], Awaitable[object]]) -> None:
    """Return when it is found. Raises what nats-py raises when the broker is away."""
    looks = 0
    while True:
        try:
            await look()
        except NotFoundError:
            if looks % _LOOKS_PER_LINE == 0:
                _log.info("broker_setup_awaited", name=name)
        else:
            return
        looks += 1
        await asyncio.sleep(_LOOK_AGAIN_SECONDS)


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


def heed_cancellation() -> None:
    """Call it after a request of the client: it drops a cancellation that meets its answer.

    Python 3.11's wait_for, which the client uses, does. Who was cancelled would go on, and be waited for.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def kind_of(subject: str) -> str:
    """A subject without the VIN in it, for logs."""
    return ".".join("*" if is_vin(word) else word for word in subject.split("."))


def without_vins(text: str) -> str:
    """What the broker said, without the VINs in it, for logs. The client puts it into small letters."""
    return _VIN.sub("*", text)


async def connect(settings: RoomSettings, name: str, store_prefix: str = "") -> Broker:
    """Connect, and keep coming back. `store_prefix`: see Broker.

    Raises TimeoutError when there is no broker within CONNECT_SECONDS."""
    broker: Broker | None = None

    async def reconnected() -> None:
        if broker is not None:
            await broker.reconnected()

    async def disconnected() -> None:
        if broker is not None:
            await broker.disconnected()

    async def failed(error: Exception) -> None:
        _log.warning("broker_error", reason=without_vins(f"{type(error).__name__}: {error}"))

    tls = None
    if settings.nats_ca:
        tls = ssl.create_default_context(cafile=str(settings.nats_ca))
        tls.load_cert_chain(settings.tls_cert, settings.tls_key)  # for a broker that asks who it is
    async with asyncio.timeout(CONNECT_SECONDS):
        client = await nats.connect(
            settings.nats_url,
            name=name,
            # What is answered to it comes there, and no other service may listen there.
            inbox_prefix=f"_INBOX.{name.removeprefix('room-')}",
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
    broker = Broker(
        client,
        settings.nats_replicas,
        provisions=settings.nats_provision == "self",
        api_prefix=settings.nats_api_prefix,
        store_prefix=store_prefix,
    )
    return broker

"""NATS JetStream as a service uses it: streams that are there, and publishing with proof.

Streams and consumers are made again at every connect, because the broker's disk is not the record: a
broker that lost everything is filled anew from the outboxes. And they are looked at every few seconds, because
they may go while the connection stays. What is missing is made again, and as long as that fails the
process's health says so. One service makes them all; the others look and wait.
"""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from typing import TYPE_CHECKING

import structlog
from nats.errors import Error as NatsError
from nats.errors import OutboundBufferLimitError
from nats.js.errors import APIError, BadRequestError, TooManyStalledMsgsError
from nats.protocol.command import pub_cmd

from services.platform.broker_layout import (
    ANSWER_SECONDS,
    FAILURES,
    SILENCE,
    BrokerLayout,
    BrokerObjectMissingError,
)
from services.platform.broker_pulse import BrokerPulse
from services.platform.health import COMMANDS, STREAMS, Health
from services.platform.logs import kind_of
from services.platform.refused_messages import RefusedMessages

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from nats.js import JetStreamContext

    from services.platform.broker_client import BrokerClient
    from services.platform.broker_layout import BrokerConfigs, DurableDescription, StreamDescription
    from services.platform.health import HealthCondition
    from services.platform.outbox_table import OutgoingMessage

PUBLISH_SECONDS = 5.0
LOOK_SECONDS = 5.0
SILENCE_SECONDS = 4.0
_SILENT_LOOKS = 3
"""After so many looks in a row that nobody answered, the connection is taken for dead, whatever it says of itself."""
_log = structlog.get_logger()


class BrokerLostError(Exception):
    """The client has given up for good: only a new process comes back to the broker."""


class MessageTooLargeError(ValueError):
    """The broker takes no message of this size."""


class Broker:
    """A connection to NATS that comes back by itself and then makes its streams and consumers again.

    `replicas` is on how many nodes of a cluster each stream is kept at least. `watch` must run beside it. What fails is
    told to `health`; `probe_subject` is published on to find out whether the broker takes messages again.

    JetStream's interface is below `api_prefix`. `configs`, `provisions` and `store_prefix`: see BrokerLayout.
    `headers` are of everything that is published.
    """

    def __init__(
        self,
        client: BrokerClient,
        replicas: int = 1,
        health: Health | None = None,
        *,
        configs: BrokerConfigs,
        headers: Mapping[str, str] | None = None,
        patience_seconds: float = 0.0,
        broker_patience_seconds: float = 0.0,
        silence_seconds: float = SILENCE_SECONDS,
        look_seconds: float = LOOK_SECONDS,
        probe_subject: str | None = None,
        provisions: bool = True,
        api_prefix: str = "$JS.API",
        store_prefix: str = "",
    ) -> None:
        self.client = client
        self.api_prefix = api_prefix
        self._replicas = replicas
        self.jetstream: JetStreamContext = client.jetstream(prefix=api_prefix)
        self._layout = BrokerLayout(self.jetstream, configs, replicas, store_prefix, provisions=provisions)
        self._headers = dict(headers or {})
        self._on_connect: list[Callable[[], Awaitable[None]]] = []
        self._looks: list[tuple[HealthCondition, Callable[[], Awaitable[None]]]] = []
        self._unconfirmed: set[asyncio.Future[object]] = set()
        self._breaks = 0
        self._look_seconds = look_seconds
        self._silent_looks = 0
        self._setting_up = False
        health = health or Health()
        both = (COMMANDS, STREAMS)
        self._connection = health.condition(
            "broker", patience_seconds=broker_patience_seconds, needed_by=both
        )
        self._pulse = BrokerPulse(client, silence_seconds)
        self._streams = health.condition("streams", patience_seconds=patience_seconds, needed_by=both)
        self._consumers = health.condition(
            "consumers", patience_seconds=patience_seconds, needed_by=(COMMANDS,)
        )
        publishing = health.condition("publishing", patience_seconds=patience_seconds, needed_by=(COMMANDS,))

        async def probe() -> None:
            await self.jetstream.publish(probe_subject or "", b"", timeout=ANSWER_SECONDS)

        self._refused = RefusedMessages(publishing, probe if probe_subject else None, FAILURES)

    @property
    def connected(self) -> bool:
        """False while the broker is away: nothing published now could reach it."""
        return self.client.is_connected

    async def at_every_connect(self, make: Callable[[], Awaitable[None]]) -> None:
        """Run `make` now and after every reconnect.

        Where the connection breaks meanwhile, the reconnect makes it: that is no reason to end. A broker that does
        not answer now, because it elects a leader or somebody is just making the stream, is asked again.
        """
        self._on_connect.append(make)
        pause, awaited = 0.1, False
        while True:
            breaks = self._breaks
            try:
                await make()
            except FAILURES as error:
                if self._breaks != breaks:
                    _log.warning("broker_setup_interrupted", reason=str(error))
                    return
                if not isinstance(error, SILENCE):
                    raise
                if not awaited:
                    awaited = True
                    _log.warning("broker_setup_awaited", reason=str(error) or "no answer")
            else:
                return
            await asyncio.sleep(pause)
            pause = min(2.0, pause * 2)

    async def disconnected(self) -> None:
        """Drop what was not written yet, when the client calls: it must not go out ahead of what was."""
        self._breaks += 1
        self._connection.bad("not connected")
        self.client._pending.clear()  # noqa: SLF001  # nats-py would write it first thing after the reconnect
        self.client._pending_data_size = 0  # noqa: SLF001  # see above
        for future in list(self._unconfirmed):
            future.cancel()

    async def reconnected(self) -> None:
        """Make everything anew, when the client calls. A broker that has just started may not answer yet: keep
        asking.
        """
        _log.info("broker_reconnected")
        self._setting_up = True
        try:
            for make in self._on_connect:
                await self._until_made(make)
        finally:
            self._setting_up = False
        if self.connected:
            self._connection.good()

    async def _until_made(self, make: Callable[[], Awaitable[None]]) -> None:
        pause = 0.1
        while self.connected:
            try:
                await make()
            except FAILURES as error:
                _log.warning("broker_setup_failed", reason=str(error))
            except Exception:  # noqa: BLE001  # the client would drop it, and with it all that is still to be made
                _log.exception("broker_setup_failed")
            else:
                return
            await asyncio.sleep(pause)
            pause = min(2.0, pause * 2)

    async def watch(self) -> None:
        """Look after the connection, the streams and the consumers until cancelled. Raises BrokerLostError."""
        pulse = asyncio.ensure_future(self._pulse.run(self._silent))
        try:
            while True:
                await asyncio.sleep(self._look_seconds)
                if pulse.done():
                    pulse.result()
                self._check_client()
                if self.connected and not self._setting_up:
                    await self._look()
        finally:
            pulse.cancel()

    async def _silent(self, since: float) -> None:
        """Leave a node that answers nothing: it may be the only one, or another is well."""
        _log.warning("broker_silent")
        self._connection.bad("it answers nothing", since=since)
        await self.client.leave_silent()

    def _check_client(self) -> None:
        """Its tasks die without a word."""
        if self.client.is_closed:
            raise BrokerLostError(f"the client has closed: {self.client.last_error!r}")
        reconnecting = self.client._reconnection_task  # noqa: SLF001  # nats-py shows it in no other way
        if not self.connected and reconnecting is not None and reconnecting.done():
            raise BrokerLostError("the client tries no more to reconnect")

    async def _look(self) -> None:
        """See that everything is there, and make what is not."""
        breaks = self._breaks
        failures: dict[HealthCondition, Exception] = {}
        answered = False
        for condition, look in self._looks:
            error = await _outcome(look)
            if self._breaks != breaks:
                return  # all is being made anew
            answered = answered or error is None or isinstance(error, APIError | BrokerObjectMissingError)
            if error is not None:
                _log.warning("broker_look_failed", condition=condition.name, reason=str(error))
                if condition not in failures or isinstance(error, BrokerObjectMissingError):
                    failures[condition] = error
        for condition in (self._streams, self._consumers):
            if condition in failures:
                failure = failures[condition]
                condition.bad(
                    str(failure) or "no answer", surely=isinstance(failure, BrokerObjectMissingError)
                )
            else:
                condition.good()
        await self._refused.look()
        self._silent_looks = 0 if answered or not self._looks else self._silent_looks + 1
        if self._breaks == breaks and self._silent_looks >= _SILENT_LOOKS:
            self._silent_looks = 0
            _log.warning("broker_silent")
            await self.client.leave_silent()
        elif answered:
            self._connection.good()

    async def ensure_streams(self, *streams: StreamDescription) -> None:
        """Have these streams, with exactly these properties, now and as long as the connection lives."""

        async def make() -> None:
            for stream in streams:
                await self._layout.have_stream(stream)

        await self.at_every_connect(make)
        for stream in streams:
            self._looks.append((self._streams, partial(self._layout.look_at_stream, stream)))

    async def ensure_consumer(self, consumer: DurableDescription) -> None:
        """Have this durable consumer, now and as long as the connection lives.

        A broker that does not answer now, because it elects a leader, is waited for. Raises BadRequestError.
        """
        make = partial(self._layout.have_consumer, consumer)
        self._on_connect.append(make)
        pause = 0.1
        while True:
            try:
                await make()
                break
            except BadRequestError:
                raise
            except FAILURES as error:
                _log.warning("consumer_not_made", consumer=consumer.name, reason=str(error))
                self._consumers.bad(str(error) or "no answer")
            await asyncio.sleep(pause)
            pause = min(2.0, pause * 2)
        self._consumers.good()
        self._looks.append((self._consumers, partial(self._layout.look_at_consumer, consumer)))

    async def scale_streams(self, *names: str) -> None:
        """Keep streams that the broker itself makes on as many nodes as everything else, from now on."""

        async def look() -> None:
            for name in names:  # it may not have made them yet
                await self._layout.scale(name)

        if self._replicas > 1:
            await self.at_every_connect(look)
            self._looks.append((self._streams, look))

    async def publish_all(self, messages: Sequence[OutgoingMessage]) -> list[bool]:
        """Publish in order; for each, whether the broker has confirmed that it keeps it.

        False may also mean that it does and the confirmation was lost; send it again, under its id.
        Raises MessageTooLargeError before anything is published.
        """
        for message in messages:
            if len(message.payload) > self.client.max_payload:
                raise MessageTooLargeError(f"{len(message.payload)} bytes to {kind_of(message.subject)}")
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
        confirmed = [_confirmed(future) for future in futures]
        if self.connected:
            written = [m.subject for m, f in zip(messages, futures, strict=True) if f is not None]
            self._refused.note(written, confirmed)
        return confirmed

    async def acknowledge(self, replies: Sequence[str]) -> None:
        """Acknowledge deliveries, of which these are the reply subjects, each by itself and all in one piece: the
        client takes longer for one publish than some handlers do for a message. Raises NatsError.
        """
        client = self.client
        if not client.is_connected:
            raise OutboundBufferLimitError
        said = b"".join(pub_cmd(reply, "", b"") for reply in replies)
        await client._send_command(said)  # noqa: SLF001  # what its publish does, once for all
        if client._flush_queue is not None and client._flush_queue.empty():  # noqa: SLF001  # see above
            await client._flush_pending()  # noqa: SLF001  # see above

    async def _publish(self, message: OutgoingMessage) -> asyncio.Future[object] | None:
        """Written, and the confirmation to wait for; None when it could not be written."""
        try:
            future: asyncio.Future[object] = await self.jetstream.publish_async(  # type: ignore[assignment]  # a PubAck is an object
                message.subject,
                message.payload,
                wait_stall=PUBLISH_SECONDS,
                headers={"Nats-Msg-Id": message.message_id, **self._headers},
                msg_ttl=message.ttl_seconds,
            )
        except (NatsError, TooManyStalledMsgsError, TimeoutError) as error:
            _log.warning("publish_failed", subject=kind_of(message.subject), reason=str(error))
            return None
        self._unconfirmed.add(future)
        return future

    async def close(self) -> None:
        """Send what is buffered and disconnect."""
        with contextlib.suppress(NatsError, TimeoutError):  # a broker that is away cannot be told goodbye
            await self.client.drain()


async def _outcome(look: Callable[[], Awaitable[None]]) -> Exception | None:
    try:
        await look()
    except FAILURES as error:
        return error
    return None


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

"""The kit's connection to the broker, as the cloud's: streams, the unit's queue, orders out, events in."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

import nats
import nats.errors
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import APIError, BadRequestError, NotFoundError

from conformance.throwaway_broker import BrokerError
from protocol.stream_config import command_queue, stream_config
from protocol.streams import (
    MQTT_MESSAGES,
    MQTT_QOS_HEADER,
    STREAMS,
    VEHICLE_COMMANDS,
    VEHICLE_EVENTS,
    VEHICLE_MQTT_EVENTS,
)
from protocol.subjects import CommandKind, EventKind, command_subject, mqtt_queue_subject

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nats.aio.client import Client
    from nats.aio.msg import Msg

    Receive = Callable[[EventKind, bytes, bool, bool], bool]

MQTT_RETAINED = "$MQTT_rmsgs"
"""The broker's own stream of what was published to be retained."""
KEEP_SECONDS = 60
CONNECT_SECONDS = 10
_ACK_WAIT_SECONDS = 5
_GONE_AFTER_SECONDS = 300
_ASK_AGAIN_SECONDS = 0.02
_CANCEL_AGAIN_SECONDS = 0.1
_PULL = b'{"batch": 1, "no_wait": true}'
_NAME_IN_USE = 10058
_STREAMS = [
    stream
    for name, stream in STREAMS.items()
    if name in {MQTT_MESSAGES, VEHICLE_COMMANDS, VEHICLE_EVENTS, VEHICLE_MQTT_EVENTS}
    or name.startswith("VEHICLE_STATUS_")
]


@dataclass(frozen=True, slots=True)
class BrokerLogin:
    """Where the broker is, and as whom the kit connects: somebody who may make streams and consumers."""

    url: str
    user: str
    password: str
    ca: Path | None = None


class UnitLink:
    """One unit's link. `received` is called for each event, with whether it came with MQTT's QoS 1 and whether
    the stream has it, and says whether it was accepted.

    Each event is heard twice: on the wire, also if the broker knows it already and stores it no more, and out of
    the stream, also if it came while the kit was away. Raises nats.errors.Error.
    """

    def __init__(self, account: BrokerLogin, vin: str, received: Receive, *, over_mqtt: bool) -> None:
        self._account = account
        self._vin = vin
        self._received = received
        self._consumer = f"conformance-{secrets.token_hex(6)}"
        self._handled: set[tuple[str, int, float]] = set()
        self._client: Client | None = None
        self._queues_to_open = asyncio.Event()
        self._over_mqtt = over_mqtt
        self._events = VEHICLE_MQTT_EVENTS if over_mqtt else VEHICLE_EVENTS
        self._opener: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Connect, makes the streams, and listens. Raises BrokerError."""
        tls = ssl.create_default_context(cafile=str(self._account.ca)) if self._account.ca else None
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                self._client = client = await nats.connect(
                    self._account.url,
                    name="conformance",
                    user=self._account.user,
                    password=self._account.password,
                    tls=tls,
                    max_reconnect_attempts=-1,
                    reconnect_time_wait=0.05,
                    error_cb=_quiet,
                )
        except (nats.errors.Error, OSError, TimeoutError) as error:
            raise BrokerError(f"cannot connect to {self._account.url}: {error!r}") from error
        self._jetstream = client.jetstream()
        for stream in _STREAMS:
            await self._ensure(stream.name)
        await client.subscribe(f"deliver.{self._consumer}", cb=self._take)
        await client.subscribe(f"vehicle.{self._vin}.evt.*", cb=self._take_from_the_wire)
        await client.subscribe(f"vehicle_status.*.{self._vin}", cb=self._take_status)
        await self._listen(DeliverPolicy.NEW)
        await client.flush()
        self._opener = asyncio.get_running_loop().create_task(self._keep_queue_open())

    async def close(self) -> None:
        """Disconnect, and leave nothing of its own behind."""
        while self._opener is not None and not self._opener.done():
            # Asked again: Python 3.11's wait_for, in the client, drops a cancellation that meets its answer.
            self._opener.cancel()
            await asyncio.wait([self._opener], timeout=_CANCEL_AGAIN_SECONDS)
        if self._client is not None:
            with contextlib.suppress(nats.errors.Error, APIError, TimeoutError):  # it forgets it by itself
                await self._jetstream.delete_consumer(self._events, self._consumer)
            await self._client.close()

    async def publish(self, command: CommandKind, data: bytes) -> None:
        """Into the unit's queue. The same bytes again are another message."""
        headers = {"Nats-Msg-Id": secrets.token_hex(16), MQTT_QOS_HEADER: "1"}
        await self._jetstream.publish(
            command_subject(self._vin, command), data, headers=headers, msg_ttl=KEEP_SECONDS
        )

    async def unsettled(self) -> int:
        """Return how many messages the unit has not acknowledged."""
        if self._over_mqtt:
            return await self._count(MQTT_MESSAGES, mqtt_queue_subject(self._commands))
        return await self._count(VEHICLE_COMMANDS, self._commands)

    async def clear_copies(self) -> None:
        """Over MQTT: the copies of what the unit's session has anyway, and would get once more on each hello."""
        if self._over_mqtt:
            await self._jetstream.purge_stream(VEHICLE_COMMANDS, subject=self._commands)

    async def clear_orders(self) -> None:
        """Clear what an earlier run left waiting for the unit, wherever it waits."""
        await self._jetstream.purge_stream(VEHICLE_COMMANDS, subject=self._commands)
        await self._jetstream.purge_stream(MQTT_MESSAGES, subject=mqtt_queue_subject(self._commands))

    async def retained(self) -> int:
        """Return how many messages the broker retains for MQTT."""
        try:
            return int((await self._jetstream.stream_info(MQTT_RETAINED)).state.messages)
        except NotFoundError:  # nobody retained anything yet
            return 0

    async def lose_events(self) -> None:
        """From now on the broker stores no event, and so confirms none."""
        await self._jetstream.delete_stream(self._events)

    async def store_events(self) -> None:
        """Keep its queue open again."""
        await self._ensure(self._events)
        await self._listen(DeliverPolicy.ALL)

    @property
    def _commands(self) -> str:
        return command_subject(self._vin, CommandKind.DOOR).removesuffix("door") + "*"

    async def _ensure(self, name: str) -> None:
        config = stream_config(STREAMS[name])
        try:
            await self._jetstream.add_stream(config)
        except BadRequestError as error:
            if error.err_code != _NAME_IN_USE:
                raise
            await self._jetstream.update_stream(config)

    async def _listen(self, policy: DeliverPolicy) -> None:
        await self._jetstream.add_consumer(
            self._events,
            ConsumerConfig(
                durable_name=self._consumer,
                filter_subject=f"vehicle.{self._vin}.evt.*",
                deliver_policy=policy,
                deliver_subject=f"deliver.{self._consumer}",
                ack_policy=AckPolicy.EXPLICIT,
                ack_wait=_ACK_WAIT_SECONDS,
                inactive_threshold=_GONE_AFTER_SECONDS,
            ),
        )

    async def _take(self, message: Msg) -> None:
        identity = (
            message.subject,
            message.metadata.sequence.stream,
            message.metadata.timestamp.timestamp(),
        )
        await message.ack()
        if identity in self._handled:
            return
        self._handled.add(identity)
        self._receive(message, stored=True)

    async def _take_from_the_wire(self, message: Msg) -> None:
        self._receive(message, stored=False)

    def _receive(self, message: Msg, *, stored: bool) -> None:
        event = EventKind(message.subject.rpartition(".")[2])
        if self._received(event, message.data, _has_qos_1(message), stored) and event is EventKind.HELLO:
            self._queues_to_open.set()

    async def _take_status(self, message: Msg) -> None:
        self._received(EventKind.STATUS, message.data, _has_qos_1(message), False)

    async def _keep_queue_open(self) -> None:
        """As the command service does on each hello."""
        while True:
            await self._queues_to_open.wait()
            self._queues_to_open.clear()
            try:
                await self._jetstream.add_consumer(VEHICLE_COMMANDS, command_queue(self._vin))
                if self._over_mqtt:
                    await self._forward_waiting()
            except (nats.errors.Error, APIError, TimeoutError):
                self._queues_to_open.set()
                await asyncio.sleep(_ASK_AGAIN_SECONDS)

    async def _forward_waiting(self) -> None:
        """Put what the queue holds into the unit's MQTT session: it may get some twice."""
        assert self._client is not None  # noqa: S101  # it is open
        pull = f"$JS.API.CONSUMER.MSG.NEXT.{VEHICLE_COMMANDS}.{self._vin}"
        while True:
            message = await self._client.request(pull, _PULL, timeout=2, old_style=True)
            if "Status" in (message.headers or {}):
                return
            await self._jetstream.publish(
                mqtt_queue_subject(message.subject),
                message.data,
                headers={MQTT_QOS_HEADER: "1"},
                msg_ttl=KEEP_SECONDS,
            )
            await message.ack()

    async def _count(self, stream: str, subjects: str) -> int:
        info = await self._jetstream.stream_info(stream, subjects_filter=subjects)
        return sum((info.state.subjects or {}).values())


def _has_qos_1(message: Msg) -> bool:
    return (message.headers or {}).get(MQTT_QOS_HEADER) == "1"


async def _quiet(_error: Exception) -> None:
    # Each failed call raises by itself; this only keeps the client from printing it as well.
    return

"""The link over NATS JetStream: events are published and confirmed, commands are pulled.

The car may publish its own events, ask for its own messages (`$JS.API.CONSUMER.MSG.NEXT...`) and
acknowledge them, and subscribe below its own inbox: nothing else. So it pulls with the raw request;
it can neither create nor look at a consumer.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

import nats
import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.aio.transport import TcpTransport

from protocol.streams import VEHICLE_COMMANDS
from protocol.subjects import CommandKind, EventKind, event_subject
from vehicle.link.addresses import Endpoint, Endpoints, read_endpoints
from vehicle.link.port import CloudDelivery, LinkDownError, QueueGoneError

if TYPE_CHECKING:
    import ssl

    from nats.aio.msg import Msg
    from nats.js.client import JetStreamContext

BATCH = 16
"""Of what is stored already, at once."""
PULL_SECONDS = 25
HEARTBEAT_SECONDS = 5
CONNECT_SECONDS = 2
CONFIRM_SECONDS = 2
CLOSE_SECONDS = 1
PING_SECONDS = 10
FIRST_ANSWER_SECONDS = 0.3
LONGEST_ANSWER_SECONDS = 5.0
"""How long the queue may take to say that nothing waits in it: it does so at once, and one that is not there yet says
nothing at all. Twice as long after each time, for a broker that has much to do.
"""

_SECRET_BYTES = 16
_PORTS = {"nats": 4222, "tls": 4222}
_NANOSECONDS = 1_000_000_000
_KINDS = {command.value: command for command in CommandKind}


@dataclass(frozen=True, slots=True)
class NatsAccount:
    """Where the broker is, and as whom the car connects. `tls` is needed with a tls:// URL.

    `url` may hold several, with commas between: the nodes of one broker. Raises ValueError for anything else.
    """

    url: str
    user: str | None = None
    password: str | None = None
    tls: ssl.SSLContext | None = None

    def __post_init__(self) -> None:
        self.endpoints()

    def endpoints(self) -> tuple[str, list[Endpoint]]:
        """Return the scheme and the addresses."""
        return read_endpoints(self.url, _PORTS)


class NatsDelivery:
    """One pulled message."""

    def __init__(self, message: Msg) -> None:
        self._message = message

    @property
    def kind(self) -> CommandKind | None:
        """By the last word of its subject."""
        return _KINDS.get(self._message.subject.rpartition(".")[2])

    @property
    def data(self) -> bytes:
        """See Delivery."""
        return self._message.data

    async def acknowledge(self) -> None:
        """Send the acknowledgement without waiting for its confirmation.

        One that is lost costs a redelivery, which finds the stored result; nothing acts twice.
        """
        try:
            await self._message.ack()
        except nats.errors.Error as error:
            raise LinkDownError(str(error)) from error

    async def terminate(self) -> None:
        """Tell the broker never to deliver it again."""
        try:
            await self._message.term()
        except nats.errors.Error as error:
            raise LinkDownError(str(error)) from error


class NatsLink:
    """A VehicleLink over NATS."""

    def __init__(self, vin: str, account: NatsAccount) -> None:
        self._vin = vin
        self._account = account
        self._scheme, endpoints = account.endpoints()
        self._endpoints = Endpoints(vin, endpoints)
        self._inbox_prefix = f"_INBOX.{vin}"
        self._next_subject = f"$JS.API.CONSUMER.MSG.NEXT.{VEHICLE_COMMANDS}.{vin}"
        self._client: Client | None = None
        self._jetstream: JetStreamContext | None = None
        self._arrived: asyncio.Queue[Msg | None] = asyncio.Queue()
        self._pulls = 0
        self._pulls_below = ""
        self._pull_inbox = ""
        self._outstanding = 0
        self._drained = False
        self._answer_seconds = FIRST_ANSWER_SECONDS

    @property
    def is_open(self) -> bool:
        """Whether the client holds a connection."""
        return self._client is not None and self._client.is_connected

    async def open(self) -> None:
        """Connect and subscribes below the car's own inbox. Raises LinkDownError; the next attempt tries
        another node.
        """
        await self.close()
        self._arrived = asyncio.Queue()
        self._outstanding, self._drained = 0, False
        arrived = self._arrived

        async def wake_receiver() -> None:
            arrived.put_nowait(None)

        async def on_error(_error: Exception) -> None:
            # Each failed call raises by itself; this only keeps the client from printing it as well.
            return

        async def on_message(message: Msg) -> None:
            arrived.put_nowait(message)

        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                node = await self._endpoints.current_address()
                self._client = client = (
                    Client()
                )  # not earlier: one that never began to connect cannot be closed
                await client.connect(
                    f"{self._scheme}://{_in_url(node.host)}:{node.port}",
                    user=self._account.user,
                    password=self._account.password,
                    tls=self._account.tls,
                    tls_hostname=node.name if self._account.tls else None,
                    name=f"vehicle {self._vin[-6:]}",
                    inbox_prefix=self._inbox_prefix,
                    allow_reconnect=False,
                    # Without these the client tries a dead broker for seconds, in its own rhythm.
                    max_reconnect_attempts=1,
                    reconnect_time_wait=0,
                    connect_timeout=CONNECT_SECONDS,
                    ping_interval=PING_SECONDS,
                    max_outstanding_pings=2,
                    disconnected_cb=wake_receiver,
                    closed_cb=wake_receiver,
                    error_cb=on_error,
                )
                # Any vehicle may name any inbox as the place for its own answers: nobody may guess this one.
                self._pulls_below = f"{self._inbox_prefix}.{secrets.token_hex(_SECRET_BYTES)}"
                await client.subscribe(f"{self._pulls_below}.*", cb=on_message)
                await client.flush()
        except (nats.errors.Error, OSError, TimeoutError) as error:
            await self.close()
            self._endpoints.failed()
            raise LinkDownError(f"cannot connect: {error!r}") from error
        self._jetstream = client.jetstream(timeout=CONFIRM_SECONDS)

    async def publish(self, event: EventKind, deduplication_id: str, data: bytes) -> None:
        """Return on the broker's PubAck. Raises LinkDownError when it does not come."""
        if self._jetstream is None:
            raise LinkDownError("not connected")
        try:
            await self._jetstream.publish(
                event_subject(self._vin, event), data, headers={"Nats-Msg-Id": deduplication_id}
            )
        except (nats.errors.Error, OSError, TimeoutError) as error:
            raise LinkDownError(f"{event.value} not confirmed: {error!r}") from error

    async def receive(self) -> list[CloudDelivery]:
        """Return all that waits; the first time after `open` or QueueGoneError, everything stored so far."""
        if not self._drained:
            waiting = await self._drain()
            self._drained = True
            if waiting:
                return waiting
        while True:
            if self._outstanding <= 0:
                # For one: a pull whose way back the broker lost goes on to be answered until its time is over, and
                # each answer is brought again after ten seconds only.
                await self._pull({"expires": PULL_SECONDS * _NANOSECONDS}, batch=1)
            deliveries = self._sort([await self._next(), *self._already_here()])
            if deliveries:
                return deliveries

    async def drop(self) -> None:
        """End the connection without a word."""
        if self._client is not None:
            _hang_up(self._client)
        await self.close()

    async def close(self) -> None:
        """Close the connection."""
        client, self._client, self._jetstream = self._client, None, None
        if client is not None:
            # The client closes the socket and then waits for its end. Where the TLS handshake was not finished nobody
            # ever tells it of that, and a car that waited with it would be gone for good.
            try:
                async with asyncio.timeout(CLOSE_SECONDS):
                    await client.close()
            except TimeoutError:
                _hang_up(client)

    async def _drain(self) -> list[CloudDelivery]:
        await self._pull({"no_wait": True}, heartbeat=False)
        deliveries: list[CloudDelivery] = []
        while self._outstanding > 0:
            try:
                message = await self._next(self._answer_seconds)
            except QueueGoneError:
                self._answer_seconds = min(LONGEST_ANSWER_SECONDS, 2 * self._answer_seconds)
                raise
            deliveries += self._sort([message])
        self._answer_seconds = FIRST_ANSWER_SECONDS
        return deliveries

    async def _pull(
        self, request: dict[str, int | bool], *, batch: int = BATCH, heartbeat: bool = True
    ) -> None:
        if self._client is None:
            raise LinkDownError("not connected")
        if heartbeat:
            request = {**request, "idle_heartbeat": HEARTBEAT_SECONDS * _NANOSECONDS}
        # A reply subject of its own for each pull tells this pull's end from an earlier one's.
        self._pulls += 1
        self._pull_inbox = f"{self._pulls_below}.{self._pulls}"
        try:
            body = json.dumps({"batch": batch, **request}).encode()
            await self._client.publish(self._next_subject, body, reply=self._pull_inbox)
        except nats.errors.Error as error:
            raise LinkDownError(str(error)) from error
        self._outstanding = batch

    async def _next(self, seconds: float = 2 * HEARTBEAT_SECONDS + 1) -> Msg:
        try:
            async with asyncio.timeout(seconds):
                message = await self._arrived.get()
        except TimeoutError as error:
            raise self._gone(f"no word in {seconds:g} s") from error
        if message is None:
            raise LinkDownError("connection lost")
        return message

    def _already_here(self) -> list[Msg]:
        here: list[Msg] = []
        while not self._arrived.empty():
            message = self._arrived.get_nowait()
            if message is None:
                self._arrived.put_nowait(None)
                break
            here.append(message)
        return here

    def _sort(self, messages: list[Msg]) -> list[CloudDelivery]:
        """Return the deliveries among the messages, after acting on the broker's status messages."""
        deliveries: list[CloudDelivery] = []
        gone: QueueGoneError | None = None
        for message in messages:
            status = (message.headers or {}).get("Status")
            if status is None:
                self._outstanding -= 1
                deliveries.append(NatsDelivery(message))
            elif message.subject == self._pull_inbox:
                gone = self._status(status, (message.headers or {}).get("Description", "")) or gone
        if gone and not deliveries:
            raise gone
        return deliveries

    def _status(self, status: str, description: str) -> QueueGoneError | None:
        if status == "100":  # idle heartbeat
            return None
        self._outstanding = 0
        if (
            status in {"404", "408"} or "Batch Completed" in description
        ):  # nothing waits; the pull's time is over
            return None
        return self._gone(f"{status} {description}")

    def _gone(self, reason: str) -> QueueGoneError:
        self._outstanding, self._drained = 0, False
        return QueueGoneError(reason)


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _hang_up(client: Client) -> None:
    """End the connection without a goodbye."""
    transport = client._transport  # noqa: SLF001  # the client offers no other way
    if not isinstance(transport, TcpTransport):
        return
    for writer in (transport._io_writer, transport._bare_io_writer):  # noqa: SLF001  # see above
        if writer is not None:
            writer.transport.abort()

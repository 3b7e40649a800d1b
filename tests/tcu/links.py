"""The two links of docs/tcu.md: what is delivered, what confirms it, and what the broker confirms."""

from __future__ import annotations

import asyncio
import json
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import nats.errors
from nats.aio.client import Client
from paho.mqtt.client import Client as PahoClient
from paho.mqtt.client import MQTTv311
from paho.mqtt.enums import CallbackAPIVersion

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable

STREAM = "VEHICLE_COMMANDS"
SECOND = 1_000_000_000
CONFIRM_SECONDS = 2
QUIET_SECONDS = 0.05
PULL = {"batch": 1, "expires": 25 * SECOND, "idle_heartbeat": 5 * SECOND}
LOST_AFTER_SECONDS = 11.0
"""Two heartbeats and a bit: then the queue is not there any more."""


class LinkDownError(Exception):
    """The broker is not reached, or does not confirm."""


class QueueGoneError(Exception):
    """There is no queue to pull from: say hello, and ask again."""


@dataclass
class Delivery:
    """`settle` when it is answered; `refuse` when it must never come again."""

    domain: str
    data: bytes
    settle: Callable[[], Awaitable[None]]
    refuse: Callable[[], Awaitable[None]]


class Link(Protocol):
    async def open(self) -> None: ...

    async def publish(self, domain: str, data: bytes, message_id: str) -> None: ...

    async def receive(self) -> list[Delivery]: ...

    async def close(self) -> None: ...


class NatsLink:
    def __init__(self, vin: str, url: str, tls: ssl.SSLContext) -> None:
        self._vin, self._url, self._tls = vin, url, tls
        self._client = Client()
        self._arrived: asyncio.Queue[Any] = asyncio.Queue()
        self._asked = 0
        self._first_wait = 0.3

    async def open(self) -> None:
        self._client, self._arrived, self._asked = Client(), asyncio.Queue(), 0
        arrived, inbox = self._arrived, f"_INBOX.{self._vin}.{secrets.token_hex(16)}"

        async def lost(*_: Any) -> None:
            arrived.put_nowait(None)

        async def take(message: Any) -> None:
            arrived.put_nowait(message)

        try:
            await self._client.connect(
                self._url,
                tls=self._tls,
                inbox_prefix=f"_INBOX.{self._vin}",
                allow_reconnect=False,
                disconnected_cb=lost,
                error_cb=lost,
            )
            self._below = inbox
            await self._client.subscribe(f"{inbox}.*", cb=take)
        except (nats.errors.Error, OSError, TimeoutError) as error:
            raise LinkDownError(str(error)) from error

    async def publish(self, domain: str, data: bytes, message_id: str) -> None:
        """Returns on the PubAck."""
        stream = self._client.jetstream(timeout=CONFIRM_SECONDS)
        try:
            await stream.publish(f"vehicle.{self._vin}.{domain}", data, headers={"Nats-Msg-Id": message_id})
        except (nats.errors.Error, OSError, TimeoutError) as error:
            raise LinkDownError(str(error)) from error

    async def receive(self) -> list[Delivery]:
        if self._asked == 0:
            return await self._pull({"batch": 16, "no_wait": True}, self._first_wait)
        return await self._pull(PULL, LOST_AFTER_SECONDS)

    async def _pull(self, request: dict[str, Any], patience: float) -> list[Delivery]:
        self._asked += 1
        inbox = f"{self._below}.{self._asked}"
        question = f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{self._vin}"
        await self._client.publish(question, json.dumps(request).encode(), reply=inbox)
        found: list[Delivery] = []
        while True:
            try:
                wait = QUIET_SECONDS if found else patience
                message = await asyncio.wait_for(self._arrived.get(), wait)
            except TimeoutError:
                if found:
                    return found
                self._asked, self._first_wait = 0, min(5.0, 2 * self._first_wait)
                raise QueueGoneError from None
            if message is None:
                raise LinkDownError("connection lost")
            status = (message.headers or {}).get("Status")
            if status is None:
                domain = ".".join(message.subject.split(".")[2:])
                found.append(Delivery(domain, message.data, message.ack, message.term))
            elif message.subject == inbox and status in {"404", "408"}:
                return found
            elif message.subject == inbox and status != "100":
                if found or "Batch Completed" in message.headers.get("Description", ""):
                    return found
                self._asked = 0
                raise QueueGoneError

    async def close(self) -> None:
        await self._client.close()


class MqttLink:
    def __init__(self, vin: str, host: str, port: int, tls: ssl.SSLContext) -> None:
        self._vin, self._address, self._tls = vin, (host, port), tls
        self._loop = asyncio.get_running_loop()

    async def open(self) -> None:
        self._arrived: asyncio.Queue[Any] = asyncio.Queue()
        self._confirmed: dict[int, asyncio.Future[None]] = {}
        self._client = client = PahoClient(
            CallbackAPIVersion.VERSION2,
            self._vin,
            clean_session=False,
            protocol=MQTTv311,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        client.tls_set_context(self._tls)
        client.will_set(self._topic("presence"), b"lost", qos=1)
        greeted: asyncio.Future[None] = self._loop.create_future()
        client.on_connect = lambda *_: self._soon(self._greet, greeted)
        client.on_message = lambda _c, _d, message: self._soon(self._arrived.put_nowait, message)
        client.on_publish = lambda _c, _d, number, *_: self._soon(self._confirm, number)
        client.on_subscribe = lambda _c, _d, number, *_: self._soon(self._confirm, number)
        client.on_disconnect = lambda *_: self._soon(self._arrived.put_nowait, None)
        try:
            await asyncio.to_thread(client.connect, *self._address, 10)
            client.loop_start()
            await asyncio.wait_for(greeted, CONFIRM_SECONDS)
        except (OSError, TimeoutError) as error:
            raise LinkDownError(str(error)) from error
        await self._wait(client.subscribe(self._topic("cmd/+"), qos=1)[1])
        await self._say("presence", b"online")

    async def publish(self, domain: str, data: bytes, message_id: str) -> None:  # noqa: ARG002  # MQTT has none
        """Returns on the PUBACK."""
        await self._say(domain.replace(".", "/"), data)

    async def receive(self) -> list[Delivery]:
        messages = [await self._arrived.get()]
        try:
            while messages[-1] is not None:
                messages.append(await asyncio.wait_for(self._arrived.get(), QUIET_SECONDS))
        except TimeoutError:
            pass
        if messages[-1] is None:
            raise LinkDownError("connection lost")
        return [self._delivery(message) for message in messages]

    async def close(self) -> None:
        await self._say("presence", b"asleep")
        self._client.disconnect()
        await asyncio.to_thread(self._client.loop_stop)

    def _delivery(self, message: Any) -> Delivery:
        async def confirm() -> None:
            self._client.ack(message.mid, message.qos)

        domain = ".".join(message.topic.split("/")[2:])
        return Delivery(domain, bytes(message.payload), confirm, confirm)

    async def _say(self, what: str, data: bytes) -> None:
        await self._wait(self._client.publish(self._topic(what), data, qos=1, retain=False).mid)

    async def _wait(self, number: int | None) -> None:
        """The broker's PUBACK or SUBACK, which may have come before this is called."""
        if number is None:
            raise LinkDownError("not sent")
        try:
            future = self._confirmed.setdefault(number, self._loop.create_future())
            await asyncio.wait_for(future, CONFIRM_SECONDS)
        except TimeoutError as error:
            raise LinkDownError("not confirmed") from error
        finally:
            self._confirmed.pop(number, None)

    def _topic(self, rest: str) -> str:
        return f"vehicle/{self._vin}/{rest}"

    def _soon(self, call: Callable[..., Any], *words: Any) -> None:
        self._loop.call_soon_threadsafe(call, *words)

    def _confirm(self, number: int) -> None:
        future = self._confirmed.setdefault(number, self._loop.create_future())
        if not future.done():
            future.set_result(None)

    @staticmethod
    def _greet(greeted: asyncio.Future[None]) -> None:
        if not greeted.done():
            greeted.set_result(None)

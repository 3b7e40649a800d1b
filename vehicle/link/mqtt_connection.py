"""One MQTT 3.1.1 connection with QoS 1 and a persistent session, driven by the running event loop.

The library connects in a thread, because it can only do so blocking; from then on everything happens
in the event loop.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from paho.mqtt.client import Client, MQTTMessage, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

from vehicle.link.port import LinkDownError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from paho.mqtt.reasoncodes import ReasonCode

CONNECT_SECONDS = 2
CONFIRM_SECONDS = 2
KEEPALIVE_SECONDS = 10
_HOUSEKEEPING_SECONDS = 2.5
_QOS = 1


@dataclass(frozen=True, slots=True)
class MqttAccount:
    """Where the broker is, and as whom the car connects. Without `tls` the connection is plain.

    `others` are further nodes of the same broker, host and port of each.
    """

    host: str
    port: int
    user: str | None = None
    password: str | None = None
    tls: ssl.SSLContext | None = None
    others: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class LastWill:
    """What the broker publishes when the connection ends without a goodbye."""

    topic: str
    payload: bytes


class MqttConnection:
    """Opened once, used, closed; never used again. `arrived` is called for each message, `ended` once."""

    def __init__(
        self,
        client_id: str,
        account: MqttAccount,
        will: LastWill,
        arrived: Callable[[MQTTMessage], None],
        ended: Callable[[], None],
    ) -> None:
        self._account = account
        self._arrived = arrived
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        self._answers: dict[int, asyncio.Future[None]] = {}
        self._greeting: asyncio.Future[None] = self._loop.create_future()
        self._housekeeping: asyncio.TimerHandle | None = None
        self._socket: int | None = None
        self._client = client = Client(
            CallbackAPIVersion.VERSION2,
            client_id,
            clean_session=False,
            protocol=MQTTv311,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        client.connect_timeout = CONNECT_SECONDS
        client.will_set(will.topic, will.payload, _QOS)
        if account.user is not None:
            client.username_pw_set(account.user, account.password)
        if account.tls is not None:
            client.tls_set_context(account.tls)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_publish = self._on_publish
        client.on_message = self._on_message

    @property
    def is_open(self) -> bool:
        """Whether the broker has greeted and the connection has not ended."""
        return self._socket is not None and self._client.is_connected()

    async def open(self) -> None:
        """Connect, and waits for the broker's greeting. Raises LinkDownError."""
        account = self._account
        connect = partial(self._client.connect, account.host, account.port, KEEPALIVE_SECONDS)
        connecting = self._loop.run_in_executor(None, connect)
        try:
            await asyncio.shield(connecting)
        except asyncio.CancelledError:
            connecting.add_done_callback(self._hang_up)
            raise
        except (OSError, ValueError) as error:  # ValueError: TLS could not be agreed on
            raise LinkDownError(f"cannot connect: {error!r}") from error
        self._attach()
        await self._in_time(self._greeting, "no greeting")

    async def subscribe(self, topic: str) -> None:
        """Return once the broker has granted QoS 1. Raises LinkDownError."""
        code, number = self._client.subscribe(topic, _QOS)
        await self._answer(code, number, "subscription")

    async def publish(self, topic: str, payload: bytes) -> None:
        """Return once the broker has stored it. Raises LinkDownError."""
        sent = self._client.publish(topic, payload, _QOS)
        await self._answer(sent.rc, sent.mid, "message")

    def acknowledge(self, message: MQTTMessage) -> None:
        """Tell the broker never to deliver it again. Raises LinkDownError."""
        code = self._client.ack(message.mid, message.qos)
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise LinkDownError(f"cannot acknowledge: {code.name}")

    def close(self) -> None:
        """Say goodbye, so that the will is not published, and end the connection."""
        if self._socket is not None:
            self._client.on_socket_register_write = None  # the goodbye is written at once
            self._client.disconnect()
        self._detach()

    def abort(self) -> None:
        """End the connection without a goodbye: the broker publishes the will."""
        socket = self._client.socket()
        self._detach()
        if socket is not None:
            socket.close()

    async def _answer(self, code: MQTTErrorCode, number: int | None, what: str) -> None:
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS or number is None:
            raise LinkDownError(f"cannot send {what}: {code.name}")
        answer = self._answers[number] = self._loop.create_future()
        try:
            await self._in_time(answer, f"{what} not confirmed")
        finally:
            del self._answers[number]

    async def _in_time(self, answer: asyncio.Future[None], failure: str) -> None:
        try:
            async with asyncio.timeout(CONFIRM_SECONDS):
                await answer
        except TimeoutError as error:
            raise LinkDownError(failure) from error

    def _hang_up(self, connecting: asyncio.Future[MQTTErrorCode]) -> None:
        """End what nobody waits for any more."""
        if not connecting.cancelled() and connecting.exception() is None:
            self._client.disconnect()

    def _attach(self) -> None:
        socket = self._client.socket()
        if socket is None:
            raise LinkDownError("connection lost")
        self._socket = socket.fileno()
        self._loop.add_reader(self._socket, self._read)
        self._client.on_socket_register_write = self._want_write
        self._client.on_socket_unregister_write = self._wrote
        # Called before the library closes the socket: afterwards its number may be another's.
        self._client.on_socket_close = lambda *_: self._detach()
        if self._client.want_write():
            self._want_write()
        self._keep_house()

    def _detach(self) -> None:
        if self._socket is None:
            return
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._socket = None
        if self._housekeeping is not None:
            self._housekeeping.cancel()
        for waiting in (self._greeting, *self._answers.values()):
            _fail(waiting, "connection lost")
        self._ended()

    def _read(self) -> None:
        while self._client.loop_read() == MQTTErrorCode.MQTT_ERR_SUCCESS:
            socket = self._client.socket()
            # What TLS has decrypted already makes no socket readable.
            if self._account.tls is None or socket is None or not socket.pending():  # type: ignore[attr-defined]  # an SSLSocket then
                return

    def _want_write(self, *_: Any) -> None:
        if self._socket is not None:
            self._loop.add_writer(self._socket, self._client.loop_write)

    def _wrote(self, *_: Any) -> None:
        if self._socket is not None:
            self._loop.remove_writer(self._socket)

    def _keep_house(self) -> None:
        self._client.loop_misc()
        if self._socket is not None:
            self._housekeeping = self._loop.call_later(_HOUSEKEEPING_SECONDS, self._keep_house)

    def _on_connect(self, _client: Client, _data: Any, _flags: Any, reason: ReasonCode, *_: Any) -> None:
        if reason.is_failure:
            _fail(self._greeting, f"refused: {reason}")
        elif not self._greeting.done():
            self._greeting.set_result(None)

    def _on_disconnect(self, *_: Any) -> None:
        if self._socket is not None:
            self._detach()

    def _on_subscribe(
        self, _client: Client, _data: Any, number: int, reasons: list[ReasonCode], *_: Any
    ) -> None:
        refused = any(reason.is_failure for reason in reasons)
        self._settle(number, "subscription refused" if refused else None)

    def _on_publish(self, _client: Client, _data: Any, number: int, *_: Any) -> None:
        self._settle(number, None)

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        self._arrived(message)

    def _settle(self, number: int, failure: str | None) -> None:
        answer = self._answers.get(number)
        if answer is None or answer.done():  # it came after the patience for it had ended
            return
        if failure is None:
            answer.set_result(None)
        else:
            answer.set_exception(LinkDownError(failure))


def _fail(waiting: asyncio.Future[None], reason: str) -> None:
    if not waiting.done():
        waiting.set_exception(LinkDownError(reason))
        waiting.exception()  # seen: nobody may be waiting any more

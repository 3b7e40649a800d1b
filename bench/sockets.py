"""WebSockets at a price that leaves the cores to what is measured: handshake, frames and pongs of RFC 6455 by hand."""

from __future__ import annotations

import asyncio
import json
import struct
from typing import TYPE_CHECKING

from typing_extensions import override

from bench.http_client import LOOPBACK, BenchFailedError

if TYPE_CHECKING:
    from collections.abc import Callable

_PATH = "/api/v1/remotecontrol/events/ws"
_SWITCHING = 101
_TEXT, _CLOSE, _PING, _PONG = 0x1, 0x8, 0x9, 0xA
_SHORT, _IN_TWO_BYTES = 125, 126
_NO_MASK = bytes(4)
"""A client's frames are masked with a key; this one leaves the bytes as they are."""
_OPCODE, _LENGTH, _MASKED, _WHOLE = 0x0F, 0x7F, 0x80, 0x80


def client_frame(opcode: int, payload: bytes) -> bytes:
    """Return one whole frame of a client. `payload` is shorter than 64 KiB."""
    if len(payload) <= _SHORT:
        head = bytes((_WHOLE | opcode, _MASKED | len(payload)))
    else:
        head = struct.pack("!BBH", _WHOLE | opcode, _MASKED | _IN_TWO_BYTES, len(payload))
    return head + _NO_MASK + payload


def frames_in(held: bytearray) -> list[tuple[int, bytes]]:
    """Return opcode and payload of each whole frame of a server, and take it out of `held`.

    Raises BenchFailedError for a frame of 64 KiB or more: nothing that is told is so long.
    """
    frames: list[tuple[int, bytes]] = []
    at = 0
    while len(held) >= at + 2:
        length, start = held[at + 1] & _LENGTH, at + 2
        if length > _IN_TWO_BYTES:
            raise BenchFailedError("a frame longer than anything that is told")
        if length == _IN_TWO_BYTES:
            if len(held) < at + 4:
                break
            (length,) = struct.unpack_from("!H", held, at + 2)
            start = at + 4
        if len(held) < start + length:
            break
        frames.append((held[at] & _OPCODE, bytes(held[start : start + length])))
        at = start + length
    del held[:at]
    return frames


class SocketClient(asyncio.Protocol):
    """One WebSocket, subscribed to one vehicle; `received` is called with each message that comes after that."""

    def __init__(self, vin: str, token: str, received: Callable[[bytes], None]) -> None:
        self._vin = vin
        self._token = token
        self._received = received
        self._held = bytearray()
        self._is_open = False
        self._transport: asyncio.Transport | None = None
        self.subscribed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @classmethod
    async def open(cls, port: int, vin: str, token: str, received: Callable[[bytes], None]) -> SocketClient:
        """Connect and subscribe. Raises BenchFailedError when either is refused."""
        _, client = await asyncio.get_running_loop().create_connection(
            lambda: cls(vin, token, received), LOOPBACK, port
        )
        try:
            await client.subscribed
        except BenchFailedError:
            client.close()
            raise
        return client

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # a TCP transport is a Transport
        self._write(
            f"GET {_PATH} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {self._token}\r\n"
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA==\r\n\r\n".encode()
        )

    @override
    def data_received(self, data: bytes) -> None:
        self._held += data
        if not self._is_open:
            head_end = self._held.find(b"\r\n\r\n")
            if head_end < 0:
                return
            if int(self._held[9:12]) != _SWITCHING:
                self._fail(f"a WebSocket was refused with {self._held[9:12].decode()}")
                return
            del self._held[: head_end + 4]
            self._is_open = True
            wanted = {"action": "subscribe", "vehicles": [{"vin": self._vin}]}
            self._write(client_frame(_TEXT, json.dumps(wanted).encode()))
        for opcode, payload in frames_in(self._held):
            self._take(opcode, payload)

    def _take(self, opcode: int, payload: bytes) -> None:
        if opcode == _PING:
            self._write(client_frame(_PONG, payload))
        elif opcode == _CLOSE:
            self._fail(f"a WebSocket was closed with {int.from_bytes(payload[:2])}")
        elif self.subscribed.done():
            self._received(payload)
        elif b'"SUBSCRIBED"' in payload:
            self.subscribed.set_result(None)
        else:
            self._fail(f"a subscription was answered {payload.decode()}")

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(f"a WebSocket was cut off: {exc or 'closed'}")

    def _fail(self, why: str) -> None:
        if not self.subscribed.done():
            self.subscribed.set_exception(BenchFailedError(why))

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

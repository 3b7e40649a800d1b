"""An HTTP/2 server (RFC 9113) over TLS with ALPN, for small requests and answers: what push services are reached by.

Who does not speak h2 is not served. A request may also be left without an answer, or its stream or connection be reset.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

MAX_BODY_BYTES = 65_536
MAX_STREAMS = 100
MAX_CONNECTIONS = 200


class StreamRefusedError(Exception):
    """The request's stream is reset instead of an answer."""


class ConnectionRefusedNowError(Exception):
    """The request's connection is reset instead of an answer."""


@dataclass(frozen=True, slots=True)
class Http2Request:
    """A whole request. Names of headers are in lower case; `connection` tells connections apart."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    connection: int


@dataclass(frozen=True, slots=True)
class Http2Answer:
    """A whole answer."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(slots=True)
class _Stream:
    headers: dict[str, str]
    body: bytearray = field(default_factory=bytearray)
    is_too_large: bool = False


class Http2Server:
    """Serves `handler` at 127.0.0.1; `port` 0 is any free one."""

    def __init__(self, handler: Callable[[Http2Request], Awaitable[Http2Answer]]) -> None:
        self.handler = handler
        self.connections: set[_Http2Connection] = set()
        self.count = 0
        self._server: asyncio.Server | None = None

    async def start(self, port: int, certificate: Path, key: Path) -> int:
        """Listen, and return the port. Raises OSError, ssl.SSLError."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(certificate, key)
        context.set_alpn_protocols(["h2"])
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Http2Connection(self), "127.0.0.1", port, ssl=context
        )
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """End all connections."""
        if self._server is not None:
            self._server.close()
        tasks = [task for each in list(self.connections) for task in each.abort()]
        if tasks:
            await asyncio.wait(tasks)


class _Http2Connection(asyncio.Protocol):
    def __init__(self, server: Http2Server) -> None:
        self._server = server
        self._number = 0
        self._transport: asyncio.Transport | None = None
        self._h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        )
        self._streams: dict[int, _Stream] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._unsent: dict[int, bytes] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet, if it is a client that speaks h2."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  # of a stream
        self._transport = transport
        tls = transport.get_extra_info("ssl_object")
        if tls.selected_alpn_protocol() != "h2" or len(self._server.connections) >= MAX_CONNECTIONS:
            transport.abort()
            return
        self._server.connections.add(self)
        self._server.count += 1
        self._number = self._server.count
        self._h2.local_settings = h2.settings.Settings(
            client=False,
            initial_values={
                h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: MAX_STREAMS,
                h2.settings.SettingCodes.MAX_HEADER_LIST_SIZE: 32_768,
            },
        )
        self._h2.initiate_connection()
        self._flush()

    def connection_lost(self, _error: Exception | None) -> None:
        """Give up what it asked."""
        self._server.connections.discard(self)
        for task in self._tasks.values():
            task.cancel()

    def abort(self) -> list[asyncio.Task[None]]:
        """Reset the connection, and return what it leaves to end."""
        assert self._transport is not None  # noqa: S101  # it is connected
        self._transport.abort()
        return list(self._tasks.values())

    def data_received(self, data: bytes) -> None:
        """Read frames."""
        try:
            events = self._h2.receive_data(data)
        except h2.exceptions.ProtocolError:
            self._flush()  # h2 says why in a GOAWAY
            assert self._transport is not None  # noqa: S101  # it is connected
            self._transport.close()
            return
        for event in events:
            self._take(event)
        self._flush()

    def _take(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RequestReceived):
            self._streams[event.stream_id] = _Stream(
                {str(name): str(value) for name, value in event.headers or ()}
            )
        elif isinstance(event, h2.events.DataReceived):
            self._take_data(event)
        elif isinstance(event, h2.events.StreamEnded):
            stream = self._streams.pop(event.stream_id)
            task = asyncio.get_running_loop().create_task(self._answer(event.stream_id, stream))
            self._tasks[event.stream_id] = task
        elif isinstance(event, h2.events.StreamReset):
            self._streams.pop(event.stream_id, None)
            self._unsent.pop(event.stream_id, None)
            if task_of_it := self._tasks.get(event.stream_id):
                task_of_it.cancel()
        elif isinstance(event, h2.events.WindowUpdated):
            for stream_id in list(self._unsent):
                self._send_rest(stream_id)

    def _take_data(self, event: h2.events.DataReceived) -> None:
        stream = self._streams.get(event.stream_id)
        self._h2.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id)
        if stream is None:
            return
        stream.is_too_large = (
            stream.is_too_large or len(stream.body) + len(event.data or b"") > MAX_BODY_BYTES
        )
        if not stream.is_too_large:
            stream.body += event.data or b""

    async def _answer(self, stream_id: int, stream: _Stream) -> None:
        headers = stream.headers
        request = Http2Request(
            headers.get(":method", ""), headers.get(":path", ""), headers, bytes(stream.body), self._number
        )
        try:
            answer = Http2Answer(413) if stream.is_too_large else await self._server.handler(request)
        except StreamRefusedError:
            self._h2.reset_stream(stream_id, h2.errors.ErrorCodes.INTERNAL_ERROR)
        except ConnectionRefusedNowError:
            assert self._transport is not None  # noqa: S101  # it is connected
            self._transport.abort()
        else:
            given = [(":status", str(answer.status)), *answer.headers.items()]
            self._h2.send_headers(stream_id, given, end_stream=not answer.body)
            if answer.body:
                self._unsent[stream_id] = answer.body
                self._send_rest(stream_id)
        finally:
            del self._tasks[stream_id]
        self._flush()

    def _send_rest(self, stream_id: int) -> None:
        rest = self._unsent[stream_id]
        size = min(len(rest), self._h2.local_flow_control_window(stream_id), self._h2.max_outbound_frame_size)
        if size:
            self._h2.send_data(stream_id, rest[:size], end_stream=size == len(rest))
        if size == len(rest):
            del self._unsent[stream_id]
        else:
            self._unsent[stream_id] = rest[size:]
            if size:
                self._send_rest(stream_id)

    def _flush(self) -> None:
        assert self._transport is not None  # noqa: S101  # it is connected
        data = self._h2.data_to_send()
        if data and not self._transport.is_closing():
            self._transport.write(data)

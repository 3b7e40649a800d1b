"""What threads do otherwise than asyncio: the one module, beside its namesake in `_async`, that is written twice."""

from __future__ import annotations

import inspect
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self, TypeVar

import httpx

from ecarus_doors._core.sockets import (
    LARGEST_MESSAGE,
    SOCKET_LOG,
    SocketLostError,
    lost,
    proxy_to,
    refused_by,
)

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable

SyncHttp = httpx.Client
SyncTransport = httpx.BaseTransport
SyncLock = threading.Lock
INTERRUPTED = KeyboardInterrupt
"""What ends a wait from outside, and not what is waited for."""
_T = TypeVar("_T")


def sleep(seconds: float) -> None:
    """Wait."""
    time.sleep(seconds)


def settle(value: _T | Awaitable[_T]) -> _T:
    """Return what a caller's function gave. Raise TypeError where that is to be awaited."""
    if inspect.isawaitable(value):
        if inspect.iscoroutine(value):
            value.close()
        raise TypeError("an async function was given to DoorsSync: give a plain one, or use Doors")
    return value


class SyncSocket:
    """A WebSocket. Needs the extra `websocket`."""

    def __init__(self, connection: Any, stack: ExitStack) -> None:
        self._connection, self._stack = connection, stack

    @classmethod
    def open(
        cls, url: str, headers: dict[str, str], tls: ssl.SSLContext | None, user_agent: str, seconds: float
    ) -> Self:
        """Open a connection. Raise SocketRefusedError or SocketLostError where it does not open."""
        from websockets.exceptions import InvalidHandshake, InvalidStatus  # noqa: PLC0415  # an extra
        from websockets.sync.client import ClientConnection, connect  # noqa: PLC0415  # an extra

        class Connection(ClientConnection):
            """A connection whose refusal is ours, so that no redirect is followed."""

            def handshake(self, *args: Any, **named: Any) -> None:
                try:
                    super().handshake(*args, **named)
                except InvalidStatus as refused:
                    raise refused_by(refused.response) from refused

        stack = ExitStack()
        try:
            connection = stack.enter_context(
                connect(
                    url,
                    additional_headers=headers,
                    ssl=tls,
                    user_agent_header=user_agent,
                    open_timeout=seconds,
                    max_size=LARGEST_MESSAGE,
                    logger=SOCKET_LOG,
                    proxy=proxy_to(url),
                    create_connection=Connection,
                )
            )
        except (OSError, TimeoutError, InvalidHandshake) as error:
            raise SocketLostError(f"no connection: {type(error).__name__}") from error
        return cls(connection, stack)

    def send(self, text: str) -> None:
        """Send a message. Raise SocketLostError where there is no connection any more."""
        from websockets.exceptions import ConnectionClosed  # noqa: PLC0415  # an extra

        try:
            self._connection.send(text)
        except ConnectionClosed as closed:
            raise lost(closed) from closed

    def receive(self, seconds: float | None) -> str | bytes:
        """Return the next message. Raise TimeoutError after `seconds`, SocketLostError where there is no connection
        any more.
        """
        from websockets.exceptions import ConnectionClosed  # noqa: PLC0415  # an extra

        try:
            message: str | bytes = self._connection.recv(timeout=seconds)
        except ConnectionClosed as closed:
            raise lost(closed) from closed
        return message

    def close(self) -> None:
        """Close the connection."""
        self._stack.close()

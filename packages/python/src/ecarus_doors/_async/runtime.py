"""What asyncio does otherwise than threads: the one module, beside its namesake in `_sync`, that is written twice."""

from __future__ import annotations

import asyncio
import inspect
from contextlib import AsyncExitStack
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

AsyncHttp = httpx.AsyncClient
AsyncTransport = httpx.AsyncBaseTransport
AsyncLock = asyncio.Lock
INTERRUPTED = asyncio.CancelledError
"""What ends a wait from outside, and not what is waited for."""
_T = TypeVar("_T")


async def sleep(seconds: float) -> None:
    """Wait."""
    await asyncio.sleep(seconds)


async def settle(value: _T | Awaitable[_T]) -> _T:
    """Return what a caller's function gave, awaited where it is to be."""
    if inspect.isawaitable(value):
        return await value
    return value


class AsyncSocket:
    """A WebSocket. Needs the extra `websocket`."""

    def __init__(self, connection: Any, stack: AsyncExitStack) -> None:
        self._connection, self._stack = connection, stack

    @classmethod
    async def open(
        cls, url: str, headers: dict[str, str], tls: ssl.SSLContext | None, user_agent: str, seconds: float
    ) -> Self:
        """Open a connection. Raise SocketRefusedError or SocketLostError where it does not open."""
        from websockets.asyncio.client import ClientConnection, connect  # noqa: PLC0415  # an extra
        from websockets.exceptions import InvalidHandshake, InvalidStatus  # noqa: PLC0415  # an extra

        class Connection(ClientConnection):
            """A connection whose refusal is ours, so that no redirect is followed."""

            async def handshake(self, *args: Any, **named: Any) -> None:
                try:
                    await super().handshake(*args, **named)
                except InvalidStatus as refused:
                    raise refused_by(refused.response) from refused

        stack = AsyncExitStack()
        try:
            connection = await stack.enter_async_context(
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

    async def send(self, text: str) -> None:
        """Send a message. Raise SocketLostError where there is no connection any more."""
        from websockets.exceptions import ConnectionClosed  # noqa: PLC0415  # an extra

        try:
            await self._connection.send(text)
        except ConnectionClosed as closed:
            raise lost(closed) from closed

    async def receive(self, seconds: float | None) -> str | bytes:
        """Return the next message. Raise TimeoutError after `seconds`, SocketLostError where there is no connection
        any more.
        """
        from websockets.exceptions import ConnectionClosed  # noqa: PLC0415  # an extra

        try:
            async with asyncio.timeout(seconds):
                message: str | bytes = await self._connection.recv()
        except ConnectionClosed as closed:
            raise lost(closed) from closed
        return message

    async def aclose(self) -> None:
        """Close the connection."""
        await self._stack.aclose()

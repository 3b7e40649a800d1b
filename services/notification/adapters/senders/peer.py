"""One push service over HTTP/2: bounded in time, size and number, and never led elsewhere.

On httpcore, which is what httpx sends with: it knows no redirects, cookies or proxies, and lets us judge the address
before a connection is made. A connection carries one request at a time: where several share one, an answer waits until
those before it have theirs, and one that was given up stays open (docs/decisions/0175).
"""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import json
import re
from collections import deque
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import h2.exceptions
import httpcore

from services.notification.domain.messages import PushOutcome, PushResult

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Mapping
    from datetime import datetime

MAX_ANSWER_BYTES = 16_384
LONGEST_RETRY_SECONDS = 86_400.0
KEPT_SECONDS = 300.0
"""How long a connection that nobody uses is kept."""
_MAX_IDLE_CONNECTIONS = 16
_UNREAD_SECONDS = 0.25
"""So long a body that nobody reads may take to end, so that its connection can be used again."""
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_NETWORK_ERRORS = (
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.UnsupportedProtocol,
    httpcore.ConnectionNotAvailable,
    h2.exceptions.H2Error,
    OSError,
)


class BodyUse(Enum):
    """What is read of an answer's body: all of it, and a long one is no answer; its beginning; or nothing."""

    WHOLE = "whole"
    BEGINNING = "beginning"
    NOTHING = "nothing"


class PeerUnavailableError(Exception):
    """The push service did not answer as HTTP says, or not in time. `reason` is a word for logs."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class PeerAnswer:
    """What a push service answered. Names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def members(self) -> dict[str, Any]:
        """Return the body's JSON object; an empty one where it is none."""
        try:
            parsed = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return parsed if isinstance(parsed, dict) else {}

    def retry_after(self, now: datetime) -> float | None:
        """Return how many seconds it wants to be left alone (RFC 9110, 10.2.3), a day at most; None: it did not say."""
        text = self.headers.get("retry-after", "").strip()
        if text.isascii() and text.isdecimal():
            seconds = float(text[:10])
        else:
            try:
                seconds = (email.utils.parsedate_to_datetime(text) - now).total_seconds()
            except (ValueError, TypeError, OverflowError):
                return None
        return min(max(seconds, 0.0), LONGEST_RETRY_SECONDS)


@dataclass(slots=True)
class _Turns:
    """The requests that are with one host, and wait for it."""

    free: asyncio.Semaphore
    users: int = 0


class _Network(httpcore.AsyncNetworkBackend):
    """Remembers the stream of a connection: httpcore drops it, open, where it is cancelled in the TLS handshake."""

    def __init__(self, inner: httpcore.AsyncNetworkBackend) -> None:
        self._inner = inner
        self._stream: httpcore.AsyncNetworkStream | None = None

    async def connect_tcp(self, *words: Any, **names: Any) -> httpcore.AsyncNetworkStream:
        """Connect. Raises what `inner` does."""
        self._stream = await self._inner.connect_tcp(*words, **names)
        return self._stream

    async def close(self) -> None:
        """Close the stream; it may be closed already."""
        if self._stream is not None:
            await self._stream.aclose()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await self._inner.sleep(seconds)


class _Connection:
    """One connection, for one request at a time."""

    def __init__(self, trust: ssl.SSLContext, network: httpcore.AsyncNetworkBackend) -> None:
        self._network = _Network(network)
        self.pool = httpcore.AsyncConnectionPool(
            ssl_context=trust,
            max_connections=1,
            keepalive_expiry=KEPT_SECONDS,
            http2=True,
            network_backend=self._network,
        )

    async def end(self) -> None:
        """Close it."""
        with contextlib.suppress(*_NETWORK_ERRORS):  # it is given up
            await self.pool.aclose()
        with contextlib.suppress(*_NETWORK_ERRORS):
            await self._network.close()


class _Exchange:
    """One request and its answer, as far as it has come."""

    def __init__(self, use: BodyUse) -> None:
        self._use = use
        self._status: int | None = None
        self._headers: dict[str, str] = {}
        self._body = b""
        self.is_whole = False
        """Whether the answer has come to its end: nothing of it is still to come on its connection."""

    @property
    def counts(self) -> bool:
        """Whether what has come is the answer, though more would be to come."""
        return self._status is not None and self._use is BodyUse.NOTHING

    def answer(self) -> PeerAnswer:
        """Return it, where it has come."""
        if self._status is None:
            raise PeerUnavailableError("NO_ANSWER")
        body = b"" if self._use is BodyUse.NOTHING else self._body[:MAX_ANSWER_BYTES]
        return PeerAnswer(self._status, self._headers, body)

    async def run(
        self,
        pool: httpcore.AsyncConnectionPool,
        limit: asyncio.Timeout,
        url: str,
        headers: Mapping[str, str],
        content: bytes,
    ) -> None:
        """Send it and read the answer. Raises TimeoutError, PeerUnavailableError, and what httpcore does."""
        given = [(name.encode(), value.encode()) for name, value in headers.items()]
        async with pool.stream("POST", url, headers=given, content=content) as answer:
            self._headers = {
                name.decode("latin-1").lower(): value.decode("latin-1") for name, value in answer.headers
            }
            self._status = answer.status
            if self._use is BodyUse.NOTHING:
                limit.reschedule(asyncio.get_running_loop().time() + _UNREAD_SECONDS)
            async for piece in answer.aiter_stream():
                self._body += piece
                if len(self._body) > MAX_ANSWER_BYTES:
                    if self._use is BodyUse.WHOLE:
                        raise PeerUnavailableError("ANSWER_TOO_LARGE")
                    return
            self.is_whole = True


class PushPeer:
    """Posts to a push service. No request takes longer than `seconds`; there are `concurrency` at once at most, and
    `per_host` with one host, so that one that hangs keeps nobody from the others.
    """

    def __init__(
        self,
        trust: ssl.SSLContext,
        *,
        seconds: float,
        concurrency: int,
        per_host: int | None = None,
        network: httpcore.AsyncNetworkBackend | None = None,
    ) -> None:
        self._trust = trust
        self._seconds = seconds
        self._network = network or httpcore.AnyIOBackend()
        self._all = asyncio.Semaphore(concurrency)
        self._per_host = per_host or concurrency
        self._hosts: dict[str, _Turns] = {}
        self._idle: deque[tuple[str, _Connection]] = deque()
        self._is_closed = False

    async def post(
        self,
        url: str,
        headers: Mapping[str, str],
        content: bytes,
        *,
        seconds: float | None = None,
        body: BodyUse = BodyUse.WHOLE,
    ) -> PeerAnswer:
        """Return the answer, within fewer `seconds` where that is said, and of its body what is asked for. Where that
        is nothing, the answer counts with its headers, whatever becomes of its body. Raises PeerUnavailableError.
        """
        host = urlsplit(url).netloc
        connection: _Connection | None = None
        exchange = _Exchange(body)
        try:
            limit = asyncio.timeout(min(self._seconds, seconds or self._seconds))
            async with limit, self._turn(host):
                connection = self._take(host)
                await exchange.run(connection.pool, limit, url, headers, content)
        except TimeoutError as error:
            if not exchange.counts:
                raise PeerUnavailableError("BUSY" if connection is None else "TIMEOUT") from error
        except _NETWORK_ERRORS as error:
            if not exchange.counts:
                raise PeerUnavailableError(_word_of(error)) from error
        finally:
            if connection is not None:
                await self._give_back(host, connection, is_good=exchange.is_whole)
        return exchange.answer()

    async def close(self) -> None:
        """End the connections."""
        self._is_closed = True
        while self._idle:
            await self._idle.pop()[1].end()

    def _take(self, host: str) -> _Connection:
        """Return the connection that was used last for this host, or a new one, for one request."""
        for place in range(len(self._idle) - 1, -1, -1):
            if self._idle[place][0] == host:
                connection = self._idle[place][1]
                del self._idle[place]
                return connection
        return _Connection(self._trust, self._network)

    async def _give_back(self, host: str, connection: _Connection, *, is_good: bool) -> None:
        """Keep a connection for the next request, unless something broke off on it."""
        if not is_good or self._is_closed:
            await connection.end()
            return
        self._idle.append((host, connection))
        if len(self._idle) > _MAX_IDLE_CONNECTIONS:
            await self._idle.popleft()[1].end()

    @contextlib.asynccontextmanager
    async def _turn(self, host: str) -> AsyncIterator[None]:
        turns = self._hosts.setdefault(host, _Turns(asyncio.Semaphore(self._per_host)))
        turns.users += 1
        try:
            async with turns.free, self._all:
                yield
        finally:
            turns.users -= 1
            if not turns.users:
                del self._hosts[host]


def word(value: Any, otherwise: str) -> str:
    """Return the push service's own word for what happened, if it is one: it goes into logs."""
    return value if isinstance(value, str) and _WORD.fullmatch(value) else otherwise


def later(answer: PeerAnswer, now: datetime, reason: str, *, at_least: float | None = None) -> PushResult:
    """Return that the message is to be sent again, when the push service says or after `at_least` seconds."""
    wanted = answer.retry_after(now)
    return PushResult(PushOutcome.LATER, at_least if wanted is None else wanted, reason)


def _word_of(error: Exception) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(error).__name__).upper()[:64]

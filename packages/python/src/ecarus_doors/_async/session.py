"""Requests over one HTTP client: each is sent, and sent again, as the exchange says."""

from __future__ import annotations

import math
import re
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import httpx

from ecarus_doors._async.bodies import read_body
from ecarus_doors._async.runtime import AsyncHttp, AsyncSocket, sleep
from ecarus_doors._core.events import EventParser, ServerSentEvent
from ecarus_doors._core.exchange import Answered, Exchange, RenewToken, SendAgain, StepUp
from ecarus_doors._core.retries import NO_RETRIES
from ecarus_doors._core.sockets import SocketLostError, SocketRefusedError
from ecarus_doors.errors import AuthenticationError, InvalidAnswerError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from ecarus_doors._async.tokens import AsyncTokens
    from ecarus_doors._core.calls import Call, T
    from ecarus_doors._core.settings import ClientSettings

AsyncStreamOpening = AbstractAsyncContextManager[AsyncIterator[ServerSentEvent]]
COMMANDS = frozenset({"unlockDoors", "lockDoors"})
LOOK = "getCommand"
MARGIN_SECONDS = 10.0
"""How much longer than it was asked to wait an answer may take."""
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_WAIT = re.compile(r"wait=(\d{1,3})")


class AsyncSession:
    """Sends calls for one caller."""

    def __init__(self, http: AsyncHttp, settings: ClientSettings, tokens: AsyncTokens) -> None:
        self._http, self._settings, self._tokens = http, settings, tokens

    def within(self, seconds: float, *, is_once: bool = False) -> AsyncSession:
        """Return the same for requests that wait `seconds` at most; `is_once`: the caller asks again."""
        settings = self._settings
        retries = (
            NO_RETRIES
            if is_once
            else replace(settings.retries, within_seconds=min(settings.retries.within_seconds, seconds))
        )
        timeout = httpx.Timeout(
            **{
                name: seconds if given is None else min(given, seconds)
                for name, given in settings.timeout.as_dict().items()
            }
        )
        return AsyncSession(self._http, replace(settings, retries=retries, timeout=timeout), self._tokens)

    async def send(self, call: Call[T]) -> T:
        """Return the answer. Raise DoorsError where there is none, or it is a refusal."""
        return (await self.exchange(call)).value

    async def exchange(self, call: Call[T]) -> Answered[T]:
        """Return the answer with its status. Raise DoorsError as `send`."""
        waits = _waits(call)
        retries = self._settings.retries
        seconds = (
            max(retries.command_seconds, waits) if call.operation in COMMANDS else retries.within_seconds
        )
        exchange = Exchange(call, retries, seconds=seconds)
        read = self._settings.timeout.read
        # Somebody stands at the door: the httpx timeout is that of each piece only.
        is_urgent = call.operation in COMMANDS or call.operation == LOOK
        whole = max(read, waits + MARGIN_SECONDS if waits else 0.0) if is_urgent and read else math.inf
        step: Answered[T] | SendAgain | RenewToken | StepUp
        while True:
            exchange.begin()
            bearer = await self._bearer(exchange)
            try:
                response = await self._opened(exchange, bearer, waits=waits)
                body = await read_body(response, self._settings.longest_answer, seconds=whole)
            except InvalidAnswerError as error:
                raise exchange.unread(error) from None
            except httpx.RequestError as error:
                step = exchange.on_no_answer(_reason(error), was_sent=not isinstance(error, _NOT_SENT))
            else:
                step = exchange.on_answer(response.status_code, response.headers, body)
            if isinstance(step, Answered):
                return step
            await self._follow(step, exchange)

    @asynccontextmanager
    async def stream(self, call: Call[T]) -> AsyncIterator[AsyncIterator[ServerSentEvent]]:
        """Open an event stream once, and yield what comes until it ends. Raise DoorsError where it does not open or
        breaks.
        """
        exchange = Exchange(call, NO_RETRIES, seconds=0.0)
        while True:
            exchange.begin()
            bearer = await self._bearer(exchange)
            try:
                response = await self._opened(exchange, bearer, is_stream=True)
            except httpx.RequestError as error:
                exchange.on_no_answer(_reason(error), was_sent=False)
                raise  # not reached: nothing is tried again here
            try:
                if response.status_code in call.answers:
                    async with aclosing(self._events(exchange, response)) as events:
                        yield events
                    return
                body = await read_body(response, self._settings.longest_answer)
                step = exchange.on_answer(response.status_code, response.headers, body)
            finally:
                await response.aclose()
            if not isinstance(step, Answered):
                await self._follow(step, exchange)

    async def open_socket(self, call: Call[T]) -> tuple[AsyncSocket, str]:
        """Open a WebSocket once. Return it with the header that says who asks. Raise DoorsError where it does not
        open.
        """
        exchange = Exchange(call, NO_RETRIES, seconds=0.0)
        settings, url = self._settings, self._settings.origin + call.target()
        while True:
            exchange.begin()
            headers = {"X-Correlation-ID": exchange.correlation_id, **await self._bearer(exchange)}
            step: Answered[T] | SendAgain | RenewToken | StepUp
            try:
                socket = await AsyncSocket.open(
                    f"ws{url.removeprefix('http')}",
                    headers,
                    settings.tls if url.startswith("https") else None,
                    settings.user_agent,
                    settings.timeout.connect or 10.0,
                )
                return socket, exchange.authorization
            except SocketRefusedError as refused:
                step = exchange.on_answer(refused.status, refused.headers, refused.body)
            except SocketLostError as lost:
                step = exchange.on_no_answer(lost.reason, was_sent=False)
            if not isinstance(step, Answered):
                await self._follow(step, exchange)

    async def renew_token(self, code: str, refused: str) -> None:
        """Have the next request go with another token than that of the header `refused`. Raise AuthenticationError
        where there is none.
        """
        await self._tokens.renew(AuthenticationError("the sign-in has ended", code=code), refused)

    async def _bearer(self, exchange: Exchange[T]) -> dict[str, str]:
        """Return the headers that say who asks."""
        call = exchange.call
        with exchange.asking_for_token():
            headers = await self._tokens.headers(call.method, self._settings.origin + call.target())
        exchange.authorization = headers["Authorization"]
        return headers

    async def _opened(
        self, exchange: Exchange[T], bearer: dict[str, str], *, waits: float = 0.0, is_stream: bool = False
    ) -> httpx.Response:
        call, settings = exchange.call, self._settings
        url = settings.origin + call.target()
        headers = {
            "User-Agent": settings.user_agent,
            "Accept": "text/event-stream" if is_stream else "application/json, */*;q=0.1",
            "X-Correlation-ID": exchange.correlation_id,
            **{name: value for name, value in call.headers.items() if value is not None},
            **bearer,
        }
        content = call.content()
        if content is not None:
            headers["Content-Type"] = "application/json"
        timeout = settings.timeout.as_dict()
        if is_stream:
            timeout["read"] = settings.heartbeat_timeout
        elif waits:
            timeout["read"] = max(timeout["read"] or 0.0, waits + MARGIN_SECONDS)
        request = self._http.build_request(
            call.method, url, headers=headers, content=content, timeout=httpx.Timeout(**timeout)
        )
        return await self._http.send(request, stream=True)

    async def _events(
        self, exchange: Exchange[T], response: httpx.Response
    ) -> AsyncGenerator[ServerSentEvent, None]:
        parser = EventParser()
        try:
            async for piece in response.aiter_bytes():
                for event in parser.feed(piece):
                    yield event
        except httpx.RequestError as error:
            exchange.on_no_answer(_reason(error), was_sent=False)

    async def _follow(self, step: SendAgain | RenewToken | StepUp, exchange: Exchange[T]) -> None:
        if isinstance(step, SendAgain):
            await sleep(step.after)
            return
        with exchange.asking_for_token():
            if isinstance(step, RenewToken):
                await self._tokens.renew(step.error, exchange.authorization)
            else:
                await self._tokens.step_up(step.challenge, step.error)


def _waits(call: Call[T]) -> float:
    found = _WAIT.fullmatch(call.headers.get("Prefer") or "")
    return float(found[1]) if found else 0.0


def _reason(error: httpx.RequestError) -> str:
    return f"no answer: {type(error).__name__}{f' ({error})' if str(error) else ''}"

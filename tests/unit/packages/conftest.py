"""The Python SDK in both its forms, over answers that a test lays out or over a server of its own."""

from __future__ import annotations

import asyncio
import inspect
import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from ecarus_doors import Doors, DoorsSync, Retries

from tests.support.plain_http import NO_TLS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BASE = "https://api.example"
VIN = "KMHSH81C7LU123456"
QUICK = Retries(first_pause=0.001, longest_pause=0.002)


def problem(status: int, code: str, headers: dict[str, str] | None = None, **members: Any) -> httpx.Response:
    """A refusal as the service writes it."""
    document = {
        "type": "about:blank",
        "title": code,
        "status": status,
        "detail": "Because.",
        "code": code,
        **members,
    }
    return httpx.Response(
        status,
        content=json.dumps(document),
        headers={"Content-Type": "application/problem+json", **(headers or {})},
    )


def command(status: str = "PENDING", **members: Any) -> dict[str, Any]:
    """A command as it is answered with."""
    return {
        "commandId": "cmd-1",
        "vin": VIN,
        "status": status,
        "message": "Command received",
        "estimatedDuration": 5,
        "timestamp": "2026-01-12T14:30:00.000Z",
        "correlationId": "c1",
        **members,
    }


def details(status: str, **members: Any) -> dict[str, Any]:
    """A command with its life."""
    return command(
        status,
        **{
            "action": "UNLOCK",
            "targetDoors": ["all"],
            "source": "MOBILE_APP",
            "expiresAt": "2026-01-12T14:30:30.000Z",
            "stages": [],
            "doorResults": [],
            **members,
        },
    )


def accepted(**members: Any) -> httpx.Response:
    return httpx.Response(202, json=command(**members))


class Service:
    """Gives the answers that were laid out, one after the other, and keeps what it was asked."""

    def __init__(
        self, answers: list[httpx.Response | Exception | Callable[[httpx.Request], httpx.Response]]
    ) -> None:
        self.answers, self.requests = answers, list[httpx.Request]()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        assert self.answers, f"asked once more than expected: {request.method} {request.url}"
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        if callable(answer):
            return answer(request)
        # One of its own for each request: a response is read once.
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)

    def sent(self, header: str) -> list[str | None]:
        """That header of each request."""
        return [request.headers.get(header) for request in self.requests]


class Caller:
    """A client of either form, used alike."""

    def __init__(self, kind: str) -> None:
        self.is_async = kind == "asyncio"
        self._runner = asyncio.Runner()
        self._open: list[Any] = []

    def client(self, *answers: Any, base_url: str = BASE, **options: Any) -> tuple[Any, Service]:
        service = Service(list(answers))
        given = {"token": "t1", "retries": QUICK, "transport": httpx.MockTransport(service), **options}
        return self.at(base_url, **given), service

    def at(self, base_url: str, **options: Any) -> Any:
        options = {"verify": NO_TLS} | options
        doors = (Doors if self.is_async else DoorsSync)(base_url, **options)
        self._open.append(doors)
        return doors

    def do(self, value: Any) -> Any:
        """What a method gave, awaited where it is to be."""

        async def awaited() -> Any:
            return await value

        return self._runner.run(awaited()) if inspect.isawaitable(value) else value

    def take(self, stream: Any, count: int | None = None) -> list[Any]:
        """The next `count` of what is iterated over; without, all."""

        async def taken() -> list[Any]:
            found: list[Any] = []
            async for each in stream:
                found.append(each)
                if len(found) == count:
                    break
            return found

        if self.is_async:
            return self._runner.run(taken())
        found = []
        for each in stream:
            found.append(each)
            if len(found) == count:
                break
        return found

    def close(self, what: Any) -> None:
        self.do(what.aclose() if self.is_async else what.close())

    def end(self) -> None:
        for doors in self._open:
            self.close(doors)
        self._runner.close()


@pytest.fixture(params=["asyncio", "sync"])
def caller(request: pytest.FixtureRequest) -> Iterator[Caller]:
    made = Caller(request.param)
    yield made
    made.end()

"""Whether a door may have moved, where the answer was lost and what follows fails, too."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from ecarus_doors import (
    AuthenticationError,
    ClientCredentials,
    DoorsError,
    NoAnswerError,
    RateLimitedError,
    UnavailableError,
)
from ecarus_doors._core.auth import given_token

from tests.unit.packages.conftest import VIN, accepted, details, problem
from tests.unit.packages.test_tokens import EXPIRED, TOKEN_URL, WEAK, given

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from tests.unit.packages.conftest import Caller

GRANT = ClientCredentials(token_url=TOKEN_URL, client_id="a", client_secret="b")
LOST = httpx.ReadTimeout("lost")
SHORT = httpx.Response(200, json={"access_token": "t1", "token_type": "Bearer", "expires_in": 0})


class AwayError(Exception):
    """What a caller's function raises."""


def raised(caller: Caller, doors: Any) -> DoorsError:
    with pytest.raises(DoorsError) as caught:
        caller.do(doors.unlock(VIN, correlation_id="mine"))
    return caught.value


@pytest.mark.parametrize(
    ("issuer", "kind"),
    [
        (httpx.Response(503), UnavailableError),
        (httpx.ConnectError("refused"), NoAnswerError),
        (httpx.Response(400, json={"error": "invalid_grant"}), AuthenticationError),
    ],
)
@pytest.mark.parametrize("before", [[SHORT, LOST], [given("t1"), LOST, EXPIRED]])
def test_a_lost_answer_stays_in_doubt_where_the_issuer_gives_no_token(
    caller: Caller, before: list[Any], issuer: Any, kind: type[DoorsError]
) -> None:
    doors, service = caller.client(*before, issuer, token=GRANT)
    error = raised(caller, doors)
    assert type(error) is kind
    assert (error.may_have_succeeded, error.correlation_id) == (True, "mine")
    assert str(service.requests[-1].url) == TOKEN_URL


def test_without_a_request_before_there_is_no_doubt(caller: Caller) -> None:
    for answer in (httpx.Response(503), httpx.Response(200, content=b" " * (2 << 20))):
        doors, _ = caller.client(answer, token=GRANT)
        error = raised(caller, doors)
        assert (error.may_have_succeeded, error.correlation_id) == (False, "mine")


def _away(*_: object) -> str:
    raise AwayError


def _token_once() -> Callable[[], str]:
    given_before: list[str] = []

    def token() -> str:
        if given_before:
            raise AwayError
        given_before.append("t1")
        return "t1"

    return token


@pytest.mark.parametrize(
    ("answers", "options"),
    [([LOST, WEAK], {"on_step_up": _away}), ([LOST], {"token": _token_once})],
    ids=["step-up", "token"],
)
def test_what_a_callers_function_raises_hides_no_doubt(
    caller: Caller, answers: list[Any], options: dict[str, Any]
) -> None:
    if "token" in options:
        options = {"token": options["token"]()}
    doors, _ = caller.client(*answers, **options)
    error = raised(caller, doors)
    assert (type(error), error.may_have_succeeded, error.correlation_id) == (NoAnswerError, True, "mine")
    assert isinstance(error.__cause__, AwayError)


def test_what_a_callers_function_raises_before_anything_was_sent_comes_as_it_is(caller: Caller) -> None:
    doors, _ = caller.client(WEAK, on_step_up=_away)
    with pytest.raises(AwayError):
        caller.do(doors.unlock(VIN))


def test_a_command_that_was_accepted_is_told_of_where_no_token_can_be_had(caller: Caller) -> None:
    doors, _ = caller.client(accepted(), token=_token_once())
    result = caller.do(doors.unlock(VIN, wait=5))
    assert (result.command_id, result.finished, result.may_have_acted) == ("cmd-1", False, True)
    assert isinstance(result.follow_error, NoAnswerError)
    assert isinstance(result.follow_error.__cause__, AwayError)


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(201),
        httpx.Response(204),
        httpx.Response(302, headers={"Location": "https://elsewhere.example/"}),
        httpx.Response(
            303, json={"code": "X", "mayHaveSucceeded": False}, headers={"Content-Type": "application/json"}
        ),
        problem(500, "OF_SOMEBODY_ELSE"),
    ],
)
def test_an_answer_that_says_nothing_of_it_leaves_the_doubt(caller: Caller, answer: httpx.Response) -> None:
    doors, service = caller.client(answer)
    assert raised(caller, doors).may_have_succeeded
    assert len(service.requests) == 1
    doors, _ = caller.client(answer)
    with pytest.raises(DoorsError) as caught:
        caller.do(doors.status(VIN))
    assert not caught.value.may_have_succeeded


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (500, b"", UnavailableError),
        (502, b"<html>", UnavailableError),
        (503, b'{"error": "temporarily_unavailable"}', UnavailableError),
        (400, b'{"error": "server_error"}', UnavailableError),
        (429, b"{}", RateLimitedError),
        (400, b'{"error": "invalid_grant"}', AuthenticationError),
        (401, b'{"error": "invalid_client"}', AuthenticationError),
    ],
)
def test_a_short_trouble_of_the_issuer_is_no_end(status: int, body: bytes, kind: type[DoorsError]) -> None:
    with pytest.raises(DoorsError) as caught:
        given_token(status, body, 0.0, {"retry-after": "7"})
    assert type(caught.value) is kind
    assert caught.value.retryable is (kind is not AuthenticationError)
    assert caught.value.retry_after == 7.0


def test_looks_take_no_longer_than_is_waited(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]

    class Clock:
        @staticmethod
        def monotonic() -> float:
            return now[0]

    def passes(seconds: float) -> None:
        now[0] += seconds

    async def sleep(seconds: float) -> None:
        passes(seconds)

    for half in ("_async", "_sync"):
        monkeypatch.setattr(f"ecarus_doors.{half}.commands.time", Clock)
    monkeypatch.setattr("ecarus_doors._async.commands.sleep", sleep)
    monkeypatch.setattr("ecarus_doors._sync.commands.sleep", passes)

    def silent(request: httpx.Request) -> httpx.Response:
        passes(request.extensions["timeout"]["read"])
        raise LOST

    doors, _ = caller.client(accepted(), silent, silent)
    result = caller.do(doors.unlock(VIN, wait=5))
    assert (result.finished, result.may_have_acted) == (False, True)
    assert 5 <= now[0] <= 6
    now[0] = 0.0
    running = httpx.Response(200, json=details("IN_PROGRESS"))
    doors, _ = caller.client(running, silent, silent)
    caller.do(doors.follow(VIN, "cmd-1", wait=5))
    assert now[0] <= 6


@pytest.mark.parametrize("status", [202, 503])
def test_an_answer_that_is_too_deep_leaves_the_doubt(caller: Caller, status: int) -> None:
    deep = httpx.Response(status, content=b"[" * 100_000, headers={"Content-Type": "application/json"})
    doors, _ = caller.client(*[deep] * 4)
    error = raised(caller, doors)
    assert (error.status, error.may_have_succeeded, error.correlation_id) == (status, True, "mine")


class Drip(httpx.SyncByteStream, httpx.AsyncByteStream):
    """An answer of which a little comes again and again."""

    def __iter__(self) -> Iterator[bytes]:
        for _ in range(100):
            time.sleep(0.02)
            yield b" "

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for _ in range(100):
            await asyncio.sleep(0.02)
            yield b" "


def test_an_answer_that_drips_is_no_answer_after_its_time(caller: Caller) -> None:
    dripping = [lambda _: httpx.Response(202, stream=Drip())] * 4
    doors, _ = caller.client(*dripping, timeout=httpx.Timeout(0.1))
    error = raised(caller, doors)
    assert (type(error), error.may_have_succeeded) == (NoAnswerError, True)

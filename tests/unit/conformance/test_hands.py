"""What a control interface answers that is not as docs/conformance.md says."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from conformance.finding import RuleSkippedError
from conformance.hands import Hands

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

VIN = "KMHSH81C7LU123456"
LINE = {"command_id": "cmd-1", "phase": "BEFORE", "door": "driver"}


@pytest.fixture
async def hands() -> AsyncIterator[Callable[[int, bytes], Hands]]:
    made: list[Hands] = []

    def make(status: int, body: bytes) -> Hands:
        one = Hands(VIN, "http://control", None, lambda _said: None)
        one._http = httpx.AsyncClient(
            base_url="http://control",
            transport=httpx.MockTransport(lambda _request: httpx.Response(status, content=body)),
        )
        made.append(one)
        return one

    yield make
    for one in made:
        await one.close()


async def test_actuations_are_counted(hands: Callable[[int, bytes], Hands]) -> None:
    lines = [LINE, {**LINE, "phase": "AFTER"}, {**LINE, "command_id": "cmd-2"}, LINE]
    assert await hands(200, json.dumps(lines).encode()).actuations("cmd-1") == 2
    assert await hands(200, b"[]").actuations("cmd-1") == 0


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (200, b"<html>", "is not JSON"),
        (200, b"\xff\xfe", "is not JSON"),
        (200, b"[" * 100_000, "is not JSON"),
        (200, b"", "is not JSON"),
        (200, b"{}", "is not a JSON list"),
        (200, b"null", "is not a JSON list"),
        (200, b"[1]", "command_id and phase"),
        (200, b"[{}]", "command_id and phase"),
        (200, json.dumps([{**LINE, "phase": None}]).encode(), "command_id and phase"),
        (200, json.dumps([{"commandId": "cmd-1", "phase": "BEFORE"}]).encode(), "command_id and phase"),
        (500, b"[]", "answered 500 to GET /vehicles/VIN/actuations"),
        (404, b"", "answered 404 to GET"),
        (302, b"", "answered 302 to GET"),
    ],
)
async def test_an_odd_answer_is_a_rule_that_cannot_be_played(
    hands: Callable[[int, bytes], Hands], status: int, body: bytes, says: str
) -> None:
    with pytest.raises(RuleSkippedError) as skipped:
        await hands(status, body).actuations("cmd-1")
    assert says in str(skipped.value)
    assert VIN not in str(skipped.value)


@pytest.mark.parametrize("handler", ["sleep", "wake", "reboot"])
async def test_a_deed_that_is_not_known_is_a_rule_that_cannot_be_played(
    hands: Callable[[int, bytes], Hands], handler: str
) -> None:
    one: Any = hands(404, b"")
    with pytest.raises(RuleSkippedError, match=f"answered 404 to POST /vehicles/VIN/{handler}"):
        await getattr(one, handler)()

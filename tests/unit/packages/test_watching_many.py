"""Live updates of many vehicles over one WebSocket: each has its own place, its own end, and comes back."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Self

import pytest
from ecarus_doors import AuthenticationError, Doors, DoorsError
from ecarus_doors._core.sockets import Subscriptions
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Response
from websockets.sync.server import serve

from tests.unit.packages.conftest import QUICK
from tests.unit.packages.stream_server import Says, StreamServer

if TYPE_CHECKING:
    from collections.abc import Callable

    from websockets.http11 import Request
    from websockets.sync.server import Server, ServerConnection

    from tests.unit.packages.conftest import Caller

ONE, TWO = "KMHSH81C7LU123456", "KMHSH81C7LU123457"


def update(vin: str, name: str) -> dict[str, Any]:
    return {
        "id": name,
        "type": "DOOR_STATUS_UPDATE",
        "vin": vin,
        "timestamp": "2026-01-12T14:30:18.000Z",
        "data": {"n": 1},
    }


def end(vin: str, code: str, **more: Any) -> dict[str, Any]:
    return {"type": "ENDED", "vin": vin, "code": code, "detail": "Because.", **more}


class SocketServer:
    """Plays one part of `script` on each connection; a part is given the connection, or is a refused status."""

    def __init__(self, *script: Callable[[Any], None] | tuple[int, dict[str, Any]]) -> None:
        self._script = list(script)
        self.asked: list[dict[str, Any]] = []
        self.bearers: list[str | None] = []
        self._server: Server = serve(self._play, "127.0.0.1", 0, process_request=self._admit)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join(10)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.socket.getsockname()[1]}"

    def subscribed(self, socket: ServerConnection) -> list[dict[str, Any]]:
        """Read what is subscribed to, and answer for each."""
        asked = json.loads(socket.recv(10))
        self.asked.append(asked)
        for each in asked["vehicles"]:
            socket.send(
                json.dumps({"type": "SUBSCRIBED", "vin": each["vin"], "eventId": f"{each['vin']}-begin"})
            )
        return list(asked["vehicles"])

    def _admit(self, _: ServerConnection, request: Request) -> Response | None:
        self.bearers.append(request.headers.get("Authorization"))
        if self._script and isinstance(self._script[0], tuple):
            status, document = self._script.pop(0)  # type: ignore[misc]  # it is one
            headers = Headers({"Content-Type": "application/problem+json", "Connection": "close"})
            return Response(status, HTTPStatus(status).phrase, headers, json.dumps(document).encode())
        return None

    def _play(self, socket: ServerConnection) -> None:
        part = self._script.pop(0)
        assert not isinstance(part, tuple)
        part(socket)


def tell(*messages: dict[str, Any], close: int | None = None, reason: str = "") -> Callable[[Any], None]:
    """Answer a subscription with these messages, then close, or stay until the client goes."""

    def part(socket: Any) -> None:
        HELD[-1].subscribed(socket)
        for message in messages:
            socket.send(json.dumps(message))
        if close is not None:
            socket.close(close, reason)
            return
        with pytest.raises(ConnectionClosed):
            socket.recv(10)

    return part


HELD: list[SocketServer] = []


def serving(*script: Any) -> SocketServer:
    HELD[:] = [SocketServer(*script)]
    return HELD[0]


def feed(caller: Caller, server: SocketServer, *vins: str, token: Any = None, **options: Any) -> Any:
    return caller.at(server.url, token=token or "t1", retries=QUICK).watch_many(vins or (ONE, TWO), **options)


def test_each_vehicle_is_resumed_after_its_own_last_update(caller: Caller) -> None:
    script = (
        tell(update(ONE, "a1"), update(ONE, "a2"), close=1013),
        tell(update(TWO, "b1"), end(ONE, "ACTION_NOT_GRANTED"), end(TWO, "ACCOUNT_LOCKED")),
    )
    with serving(*script) as server:
        events = feed(caller, server, types=["DOOR_STATUS_UPDATE"])
        assert [(e.vin, e.id, e.data) for e in caller.take(events)] == [
            (ONE, "a1", {"n": 1}),
            (ONE, "a2", {"n": 1}),
            (TWO, "b1", {"n": 1}),
        ]
    first, second = server.asked
    assert first["types"] == ["DOOR_STATUS_UPDATE"]
    assert first["vehicles"] == [{"vin": ONE}, {"vin": TWO}]
    assert second["vehicles"] == [
        {"vin": ONE, "lastEventId": "a2"},
        {"vin": TWO, "lastEventId": f"{TWO}-begin"},
    ]
    assert {vin: ended.code for vin, ended in events.ended.items()} == {
        ONE: "ACTION_NOT_GRANTED",
        TWO: "ACCOUNT_LOCKED",
    }
    assert events.last_event_ids == {ONE: "a2", TWO: "b1"}
    assert events.reconnects == 1


def test_an_entered_feed_is_subscribed(caller: Caller) -> None:
    with serving(tell(update(ONE, "a1"))) as server:
        events = feed(caller, server, ONE, last_event_ids={ONE: "a0"})
        caller.do(events.__aenter__() if caller.is_async else events.__enter__())
        assert server.asked[0]["vehicles"] == [{"vin": ONE, "lastEventId": "a0"}]
        assert [event.id for event in caller.take(events, 1)] == ["a1"]
        caller.close(events)
        assert caller.take(events) == []


def test_a_sign_in_that_has_ended_is_renewed(caller: Caller) -> None:
    tokens = iter(["t1", "t2"])
    script = (
        tell(update(ONE, "a1"), close=4401, reason="TOKEN_EXPIRED"),
        tell(update(ONE, "a2"), end(ONE, "ACTION_NOT_GRANTED")),
    )
    with serving(*script) as server:
        events = feed(caller, server, ONE, token=lambda: next(tokens))
        assert [event.id for event in caller.take(events)] == ["a1", "a2"]
    assert server.bearers == ["Bearer t1", "Bearer t2"]


def test_without_another_token_it_ends_with_the_reason(caller: Caller) -> None:
    with serving(tell(update(ONE, "a1"), close=4401, reason="TOKEN_EXPIRED")) as server:
        events = feed(caller, server, ONE)
        assert [event.id for event in caller.take(events)] == ["a1"]
    assert events.ended[ONE].code == "TOKEN_EXPIRED"


def test_the_end_of_the_last_right_ends_it(caller: Caller) -> None:
    with serving(tell(update(ONE, "a1"), close=4403, reason="over")) as server:
        events = feed(caller, server)
        caller.take(events)
    assert {ended.code for ended in events.ended.values()} == {"ACTION_NOT_GRANTED"}


def test_a_vehicle_that_waits_is_asked_for_again_when_the_last_right_ends(caller: Caller) -> None:
    def first(socket: Any) -> None:
        HELD[-1].asked.append(json.loads(socket.recv(10)))
        refused = {"type": "REFUSED", "vin": TWO, "code": "RATE_LIMITED", "retryAfterSeconds": 1}
        for message in ({"type": "SUBSCRIBED", "vin": ONE}, refused, end(ONE, "ACTION_NOT_GRANTED")):
            socket.send(json.dumps(message))
        socket.close(4403, "over")

    with serving(first, tell(update(TWO, "b1"), end(TWO, "ACCOUNT_LOCKED"))) as server:
        events = feed(caller, server)
        assert [event.id for event in caller.take(events)] == ["b1"]
    assert server.asked[1]["vehicles"] == [{"vin": TWO}]
    assert events.ended[TWO].code == "ACCOUNT_LOCKED"


def test_a_place_is_found_however_its_vin_is_written(caller: Caller) -> None:
    with serving(tell(update(ONE, "a1"), end(ONE, "ACTION_NOT_GRANTED"))) as server:
        caller.take(feed(caller, server, ONE.lower(), last_event_ids={ONE: "a0"}))
    assert server.asked[0]["vehicles"] == [{"vin": ONE, "lastEventId": "a0"}]


async def test_a_wait_that_is_cancelled_ends_nothing() -> None:
    with serving(tell(update(ONE, "a1")), tell(update(ONE, "a2"), end(ONE, "ACTION_NOT_GRANTED"))) as server:
        async with Doors(server.url, token="t1", retries=QUICK) as doors:
            updates = doors.watch_many([ONE])
            assert (await anext(updates)).id == "a1"
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await anext(updates)
            assert [event.id async for event in updates] == ["a2"]
    assert server.asked[1]["vehicles"] == [{"vin": ONE, "lastEventId": "a1"}]


def test_a_redirect_of_the_handshake_is_not_followed(caller: Caller) -> None:
    with serving(tell(update(ONE, "a1"))) as elsewhere:
        with StreamServer(
            [
                Says(
                    [
                        f"HTTP/1.1 302 No\r\nLocation: ws{elsewhere.url[4:]}\r\nContent-Length: 0\r\n\r\n".encode()
                    ]
                )
            ]
        ) as server:
            doors = caller.at(server.url, token="t1", retries=QUICK)
            with pytest.raises(DoorsError) as caught:
                caller.take(doors.watch_many([ONE]))
        assert (caught.value.status, len(server.asked), elsewhere.bearers) == (302, 1, [])


def test_who_may_not_open_it_is_refused(caller: Caller) -> None:
    refused = {"code": "TOKEN_INVALID", "detail": "Unknown.", "status": 401}
    with serving((401, refused)) as server, pytest.raises(AuthenticationError) as caught:
        caller.take(feed(caller, server))
    assert (caught.value.code, len(server.bearers)) == ("TOKEN_INVALID", 1)


def test_a_service_that_is_full_is_asked_again(caller: Caller) -> None:
    full = {"code": "RATE_LIMITED", "detail": "Full.", "status": 429, "retryable": True}
    with serving((429, full), tell(update(ONE, "a1"), end(ONE, "ACTION_NOT_GRANTED"))) as server:
        assert [event.id for event in caller.take(feed(caller, server, ONE))] == ["a1"]


def test_what_was_not_understood_is_raised(caller: Caller) -> None:
    wrong = {"type": "ERROR", "code": "INVALID_REQUEST", "detail": "No such type."}
    with serving(tell(wrong)) as server, pytest.raises(DoorsError, match="No such type"):
        caller.take(feed(caller, server))


def test_no_bearer_is_logged(caller: Caller, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("websockets.server").setLevel(
        logging.INFO
    )  # the service's side, here in the same process
    with serving(tell(update(ONE, "a1"), end(ONE, "ACTION_NOT_GRANTED"))) as server:
        caller.take(feed(caller, server, ONE, token="very-secret"))
    assert server.bearers == ["Bearer very-secret"]
    assert "very-secret" not in caplog.text


def test_one_that_is_refused_for_now_is_asked_for_again_by_itself() -> None:
    now = [100.0]
    feed_of = Subscriptions([ONE, TWO], types=None, last_event_ids=None, clock=lambda: now[0])
    feed_of.on_open()
    assert len(json.loads(feed_of.messages()[0])["vehicles"]) == 2
    assert (feed_of.messages(), feed_of.seconds_to_due(), feed_of.is_subscribed) == ([], None, False)
    refused = {
        "type": "REFUSED",
        "vin": TWO,
        "code": "RATE_LIMITED",
        "detail": "Later.",
        "retryAfterSeconds": 30,
    }
    assert feed_of.on_message(json.dumps(refused)) is None
    feed_of.on_message(json.dumps({"type": "SUBSCRIBED", "vin": ONE, "eventId": "p1"}))
    assert (feed_of.is_subscribed, feed_of.seconds_to_due()) == (True, 30.0)
    now[0] += 30
    assert json.loads(feed_of.messages()[0])["vehicles"] == [{"vin": TWO}]
    assert (
        feed_of.on_message(json.dumps({"type": "REFUSED", "vin": TWO, "code": "VEHICLE_NOT_FOUND"})) is None
    )
    assert feed_of.by_vin[TWO].ended is not None
    assert not feed_of.is_over


def test_many_vehicles_are_subscribed_to_in_messages_of_a_hundred() -> None:
    vins = [f"KMHSH81C7LU{number:06}" for number in range(150)]
    feed_of = Subscriptions(vins, types=None, last_event_ids=None)
    assert [len(json.loads(each)["vehicles"]) for each in feed_of.messages()] == [100, 50]
    for wrong in ([], [f"KMHSH81C7LU{number:06}" for number in range(201)]):
        with pytest.raises(ValueError, match="1 to 200 vehicles"):
            Subscriptions(wrong, types=None, last_event_ids=None)


@pytest.mark.parametrize("text", ["", "[]", b"\xff"])
def test_what_is_no_message_is_refused(text: str | bytes) -> None:
    with pytest.raises(DoorsError):
        Subscriptions([ONE], types=None, last_event_ids=None).on_message(text)

"""Live updates: resumed without a gap, ended with a reason, read however they are cut."""

from __future__ import annotations

import asyncio
import json
from itertools import chain
from typing import TYPE_CHECKING, Any

import pytest
from ecarus_doors import (
    ClientCredentials,
    Doors,
    InvalidAnswerError,
    NoAnswerError,
    NotFoundError,
    Retries,
)
from ecarus_doors._core import events
from ecarus_doors._core.events import LONGEST_EVENT, EventParser, ServerSentEvent

from tests.unit.packages.conftest import QUICK, VIN
from tests.unit.packages.stream_server import HEAD, Says, StreamServer, refusal

if TYPE_CHECKING:
    from tests.unit.packages.conftest import Caller

OPENED = HEAD + b"retry: 1\n\nid: e0\nevent: STREAM_OPENED\ndata:\n\n"


def update(name: str, door: str = "driver") -> bytes:
    told = {
        "type": "DOOR_STATUS_UPDATE",
        "vin": VIN,
        "timestamp": "2026-01-12T14:30:18.000Z",
        "data": {"doorId": door},
    }
    return f"id: {name}\nevent: DOOR_STATUS_UPDATE\ndata: {json.dumps(told)}\n\n".encode()


def ends(code: str) -> bytes:
    return f": the stream ends: {code}: Because.\n\n".encode()


def denied(status: int, code: str) -> Says:
    return Says(
        [refusal(status, json.dumps({"code": code, "detail": "No more.", "status": status}).encode())]
    )


def watching(caller: Caller, server: StreamServer, **options: Any) -> Any:
    doors = caller.at(server.url, token="t1", retries=QUICK, **options)
    return doors.watch(VIN)


def test_updates_come_in_their_order_and_a_cut_connection_is_resumed(caller: Caller) -> None:
    script = [
        Says([OPENED, update("e1"), update("e2")], resets=True),
        Says([HEAD, update("e3")[:20]]),
        Says([HEAD, update("e3"), ends("ACTION_NOT_GRANTED")]),
    ]
    with StreamServer(script) as server:
        stream = watching(caller, server)
        events = caller.take(stream)
    assert [event.id for event in events] == ["e1", "e2", "e3"]
    assert (events[0].type, events[0].vin, events[0].data) == (
        "DOOR_STATUS_UPDATE",
        VIN,
        {"doorId": "driver"},
    )
    assert [asked.get("last-event-id") for asked in server.asked] == [None, "e2", "e2"]
    assert (stream.ended.code, stream.ended.detail) == ("ACTION_NOT_GRANTED", "Because.")
    assert (stream.last_event_id, stream.reconnects) == ("e3", 2)


def test_a_stream_that_was_opened_and_cut_before_its_first_update_misses_nothing(caller: Caller) -> None:
    script = [Says([OPENED]), Says([HEAD, update("e1"), ends("ACCOUNT_LOCKED")])]
    with StreamServer(script) as server:
        events = caller.take(watching(caller, server))
    assert [event.id for event in events] == ["e1"]
    assert [asked.get("last-event-id") for asked in server.asked] == [None, "e0"]


def test_a_stream_is_begun_where_another_one_was_left(caller: Caller) -> None:
    with StreamServer([Says([HEAD, update("e8"), ends("ACCOUNT_LOCKED")])]) as server:
        doors = caller.at(server.url, token="t1", retries=QUICK)
        caller.take(doors.watch(VIN, last_event_id="e7"))
    assert server.asked[0]["last-event-id"] == "e7"
    assert server.asked[0]["accept"] == "text/event-stream"


def test_silence_longer_than_a_heartbeat_is_a_broken_connection(caller: Caller) -> None:
    script = [
        Says([OPENED, update("e1")], hangs=True),
        Says([HEAD, update("e2"), ends("ACTION_NOT_GRANTED")]),
    ]
    with StreamServer(script) as server:
        events = caller.take(watching(caller, server, heartbeat_timeout=0.2))
    assert [event.id for event in events] == ["e1", "e2"]


@pytest.mark.parametrize("code", ["RATE_LIMITED", "DEPENDENCY_UNAVAILABLE", "A_CODE_OF_LATER"])
def test_what_passes_is_resumed(caller: Caller, code: str) -> None:
    script = [
        Says([OPENED, update("e1"), ends(code)]),
        Says([HEAD, update("e2"), ends("ACTION_NOT_GRANTED")]),
    ]
    with StreamServer(script) as server:
        assert [event.id for event in caller.take(watching(caller, server))] == ["e1", "e2"]


def test_an_expired_token_is_renewed_and_the_stream_resumed(caller: Caller) -> None:
    tokens = iter(["t1", "t2"])
    script = [
        Says([OPENED, update("e1"), ends("TOKEN_EXPIRED")]),
        Says([HEAD, update("e2"), ends("ACCOUNT_LOCKED")]),
    ]
    with StreamServer(script) as server:
        doors = caller.at(server.url, token=lambda: next(tokens), retries=QUICK)
        assert [event.id for event in caller.take(doors.watch(VIN))] == ["e1", "e2"]
    assert [asked["authorization"] for asked in server.asked] == ["Bearer t1", "Bearer t2"]


@pytest.mark.parametrize(
    ("status", "code"), [(401, "TOKEN_EXPIRED"), (403, "ACTION_NOT_GRANTED"), (404, "VEHICLE_NOT_FOUND")]
)
def test_a_right_that_has_ended_meanwhile_ends_the_stream_with_its_reason(
    caller: Caller, status: int, code: str
) -> None:
    with StreamServer([Says([OPENED, update("e1")]), denied(status, code)]) as server:
        stream = watching(caller, server)
        assert [event.id for event in caller.take(stream)] == ["e1"]
    assert (stream.ended.code, stream.ended.detail) == (code, "No more.")


def test_an_entered_stream_is_open(caller: Caller) -> None:
    with StreamServer(
        [Says([OPENED, update("e1")], hangs=True), Says([HEAD, b": note\n\n"], hangs=True)]
    ) as server:
        for last, events in ((None, 1), ("e1", 0)):
            stream = caller.at(server.url, token="t1", retries=QUICK).watch(VIN, last_event_id=last)
            caller.do(stream.__aenter__() if caller.is_async else stream.__enter__())
            assert server.asked[-1].get("last-event-id") == last
            if events:
                assert [event.id for event in caller.take(stream, events)] == ["e1"]
            caller.close(stream)
    assert len(server.asked) == 2


def test_a_right_that_ends_before_the_first_update_ends_the_stream_that_was_entered(caller: Caller) -> None:
    with StreamServer([Says([HEAD, ends("ACCOUNT_LOCKED")])]) as server:
        stream = watching(caller, server)
        caller.do(stream.__aenter__() if caller.is_async else stream.__enter__())
        assert caller.take(stream) == []
    assert stream.ended.code == "ACCOUNT_LOCKED"


def test_who_may_not_watch_is_refused_at_once(caller: Caller) -> None:
    with StreamServer([denied(404, "VEHICLE_NOT_FOUND")]) as server:
        stream = watching(caller, server)
        with pytest.raises(NotFoundError):
            caller.take(stream)
    assert len(server.asked) == 1


def test_it_gives_up_when_it_is_told_to(caller: Caller) -> None:
    with StreamServer([Says([OPENED, update("e1")])]) as server:
        doors = caller.at(server.url, token="t1", retries=QUICK)
        stream = doors.watch(VIN, give_up_seconds=0.5)
        assert len(caller.take(stream, 1)) == 1
    with pytest.raises(NoAnswerError):
        caller.take(stream)


def test_one_that_never_opened_is_given_up_and_says_why_it_tries_again(caller: Caller) -> None:
    told: list[str] = []
    doors = caller.at(
        "http://127.0.0.1:1",
        token="t1",
        retries=Retries(first_pause=0.001, longest_pause=0.002, within_seconds=0.2),
    )
    with pytest.raises(NoAnswerError):
        caller.take(doors.watch(VIN, on_reconnect=lambda error, _: told.append(error.code)))
    with pytest.raises(NoAnswerError):
        caller.take(doors.watch_many([VIN], on_reconnect=lambda error, _: told.append(error.code)))
    assert set(told) == {"NO_ANSWER"}


@pytest.mark.parametrize("watch", ["watch", "watch_many"])
def test_however_long_it_is_to_keep_away_it_does_for_five_minutes_at_most(caller: Caller, watch: str) -> None:
    class LeftError(Exception):
        pass

    def leave(_: object, seconds: float) -> None:
        pauses.append(seconds)
        raise LeftError

    pauses: list[float] = []
    away = {"code": "DEPENDENCY_UNAVAILABLE", "detail": "Away.", "status": 503, "retryable": True}
    patient = Retries(within_seconds=1e6, longest_pause=0.25)
    with StreamServer([Says([refusal(503, json.dumps(away).encode(), "Retry-After: 86400")])]) as server:
        doors = caller.at(server.url, token="t1", retries=patient)
        wanted = VIN if watch == "watch" else [VIN]
        with pytest.raises(LeftError):
            caller.take(getattr(doors, watch)(wanted, on_reconnect=leave))
    assert len(pauses) == 1
    assert 300 <= pauses[0] <= 301


def test_a_short_trouble_of_the_issuer_is_waited_out(caller: Caller) -> None:
    token = b'{"access_token": "t1", "expires_in": 0}'
    gives = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(token), token)
    away = b'{"error": "temporarily_unavailable"}'
    issuing = [Says([gives]), Says([refusal(503, away)]), Says([refusal(502, b"")]), Says([], resets=True)]
    script = [Says([OPENED, update("e1")]), Says([HEAD, update("e2"), ends("ACTION_NOT_GRANTED")])]
    with StreamServer([*issuing, Says([gives])]) as issuer, StreamServer(script) as server:
        grant = ClientCredentials(token_url=issuer.url, client_id="a", client_secret="b")
        stream = caller.at(server.url, token=grant, retries=QUICK).watch(VIN)
        assert [event.id for event in caller.take(stream)] == ["e1", "e2"]
    assert (stream.ended.code, len(issuer.asked)) == ("ACTION_NOT_GRANTED", 5)


async def test_a_wait_that_is_cancelled_ends_nothing() -> None:
    script = [
        Says([OPENED, update("e1")], hangs=True),
        Says([HEAD, update("e2"), ends("ACTION_NOT_GRANTED")]),
    ]
    with StreamServer(script) as server:
        async with Doors(server.url, token="t1", retries=QUICK) as doors:
            updates = doors.watch(VIN)
            assert (await anext(updates)).id == "e1"
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await anext(updates)
            assert [event.id async for event in updates] == ["e2"]
    assert server.asked[1]["last-event-id"] == "e1"


def test_a_stream_can_be_closed_and_nothing_more_comes(caller: Caller) -> None:
    with StreamServer([Says([OPENED, update("e1"), update("e2")], hangs=True)]) as server:
        stream = watching(caller, server)
        assert len(caller.take(stream, 1)) == 1
        caller.close(stream)
        assert caller.take(stream) == []
    assert len(server.asked) == 1


def test_an_endless_event_is_not_read_to_its_end(caller: Caller) -> None:
    with StreamServer([Says([OPENED, b"data: " + b"x" * (LONGEST_EVENT + 10)])]) as server:
        stream = watching(caller, server)
        with pytest.raises(InvalidAnswerError, match="more than"):
            caller.take(stream)


@pytest.mark.parametrize("line", [b"data\n", b"data:\r", b"x\r\n"])
def test_an_event_of_endless_lines_is_bounded(line: bytes) -> None:
    parser = EventParser()
    with pytest.raises(InvalidAnswerError, match="more than"):
        list(chain.from_iterable(map(parser.feed, [line * 1000] * (LONGEST_EVENT // 1000))))


def test_what_has_come_is_searched_once_however_it_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    class Counted:
        searched = 0

        def split(self, text: str) -> list[str]:
            self.searched += len(text)
            return line_end.split(text)

    line_end, counted = events._LINE_END, Counted()
    monkeypatch.setattr(events, "_LINE_END", counted)
    text = b"data: " + b"x" * 20_000 + b"\r\n\r\n"
    parser = EventParser()
    (found,) = [e for i in range(len(text)) for e in parser.feed(text[i : i + 1])]
    assert (found.data, counted.searched <= len(text)) == ("x" * 20_000, True)


WHOLE = (
    "\ufeffid: 1\r\nevent: A\r\ndata: ä\r\ndata:b\r\n\r\n: note\rretry: 1500\rdata: c\r\r\n"
    "id: 2\ndata\n\nevent: D\n\n"
).encode()
PARSED = [
    ServerSentEvent(event="A", data="ä\nb", id="1"),
    ServerSentEvent(comment="note"),
    ServerSentEvent(retry=1.5),
    ServerSentEvent(event="message", data="c", id="1"),
    ServerSentEvent(event="message", data="", id="2"),
    ServerSentEvent(event="D", data="", id="2"),
]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_events_are_the_same_however_they_are_cut(size: int) -> None:
    parser = EventParser()
    found = [e for i in range(0, len(WHOLE), size) for e in parser.feed(WHOLE[i : i + size])]
    assert found == PARSED


def test_an_id_that_cannot_be_sent_back_is_no_place(caller: Caller) -> None:
    script = [
        Says([OPENED, update("e1"), update("ä1")]),
        Says([HEAD, update("e2"), ends("ACTION_NOT_GRANTED")]),
    ]
    with StreamServer(script) as server:
        stream = watching(caller, server)
        events = caller.take(stream)
    assert [event.id for event in events] == ["e1", "e1", "e2"]
    assert stream.last_event_id == "e2"


def test_an_update_that_is_too_deep_is_none(caller: Caller) -> None:
    deep = b"id: e1\ndata: " + b"[" * 100_000 + b"\n\n"
    with StreamServer([Says([OPENED, deep])]) as server, pytest.raises(InvalidAnswerError, match="no JSON"):
        caller.take(watching(caller, server))

"""What both streams bring: events, heartbeats, and how one comes back to where it was."""

from __future__ import annotations

import json
import time

import pytest

from services.status.domain.rights import EndingCause, RightEnding
from services.status.domain.updates import LogPosition
from tests.contract.status.conftest import IDS, VIN, StatusRpcHarness, change, read, refused


def at(sequence: int, epoch: str = "e1") -> str:
    """The id of an update at this place."""
    return IDS.id_of(LogPosition(epoch, sequence))


async def test_an_event_is_the_specifications(service: StatusRpcHarness) -> None:
    stream = service.sse()
    opening = await read(stream)
    assert opening.content_type == "text/event-stream"
    retry, place, opened, data = opening.data.decode().removesuffix("\n\n").split("\n")
    assert (retry, place, opened) == ("retry: 2000", f"id: {at(0)}", "event: STREAM_OPENED")
    assert json.loads(data.removeprefix("data: ")) == {
        "type": "STREAM_OPENED",
        "vin": VIN,
        "timestamp": "2026-01-12T14:30:00.000Z",
        "data": {},
    }
    service.log.publish(change())
    event = (await read(stream)).data.decode()
    name, kind, data, end = event.split("\n", 3)
    assert (name, kind, end) == (f"id: {at(1)}", "event: DOOR_STATUS_UPDATE", "\n")
    assert json.loads(data.removeprefix("data: ")) == {
        "type": "DOOR_STATUS_UPDATE",
        "vin": VIN,
        "timestamp": "2026-01-12T14:30:18.000Z",
        "data": {
            "doorId": "driver",
            "locked": True,
            "open": False,
            "windowOpen": False,
            "changeType": "LOCKED",
            "previousState": {"locked": False, "open": False},
        },
    }


async def test_a_heartbeat_is_a_comment(service: StatusRpcHarness) -> None:
    stream = service.sse()
    await read(stream)
    service.hub.beat()
    assert (await read(stream)).data == b": heartbeat\n"


@pytest.mark.parametrize(
    ("header", "in_query"), [(at(1), None), (None, at(1)), (at(1), at(0)), (at(1), "")], ids=str
)
async def test_a_stream_resumes_after_its_last_id(
    service: StatusRpcHarness, header: str | None, in_query: str | None
) -> None:
    """The header is the newer one: a browser that comes back by itself sends it, to the address it had."""
    for _ in range(3):
        service.log.publish(change())
    stream = service.sse(last_event_id=header, in_query=in_query)
    assert b"id:" not in (await read(stream)).data
    service.log.publish(change())
    got = [(await read(stream)).data.split(b"\n")[0] for _ in range(3)]
    assert got == [f"id: {at(n)}".encode() for n in (2, 3, 4)]


@pytest.mark.parametrize(
    "last_event_id",
    [at(1, "e0"), at(99), "A" * 22, pytest.param("e1-1", id="as they were before they were sealed")],
)
async def test_an_id_that_is_not_kept_begins_with_a_reset(
    service: StatusRpcHarness, last_event_id: str
) -> None:
    service.log.publish(change())
    stream = service.sse(last_event_id=last_event_id)
    await read(stream)
    reset = (await read(stream)).data.decode()
    assert reset.startswith(f"id: {at(1)}\nevent: SYSTEM_ALERT\n")
    assert json.loads(reset.split("data: ")[1])["data"]["code"] == "UPDATES_RESET"
    service.log.publish(change())
    assert (await read(stream)).data.startswith(f"id: {at(2)}\n".encode())


@pytest.mark.parametrize(
    "last_event_id",
    [
        "nonsense",
        "-",
        "e1-",
        "E1-1",
        "e1--1",
        "e1-1 or more",
        "A" * 21,
        "A" * 23,
        "A" * 21 + "B",
        "x" * 4_000,
    ],
)
async def test_an_id_that_is_none_begins_with_a_reset_and_refuses_nobody(
    service: StatusRpcHarness, last_event_id: str
) -> None:
    sse, typed = service.sse(last_event_id=last_event_id), service.watch(last_event_id)
    assert b"id:" not in (await read(sse)).data
    assert b'"code":"UPDATES_RESET"' in (await read(sse)).data
    reset = await read(typed)
    assert (reset.system_alert.code, reset.id) == ("UPDATES_RESET", at(0))


async def test_the_place_a_stream_opens_at_is_one_to_come_back_to(service: StatusRpcHarness) -> None:
    sse, typed = service.sse(), service.watch()
    [place] = [
        line.removeprefix(b"id: ") for line in (await read(sse)).data.split(b"\n") if line.startswith(b"id: ")
    ]
    assert dict(await typed.initial_metadata())["last-event-id"] == place.decode()
    sse.cancel()
    typed.cancel()
    service.log.publish(change())
    resumed = service.sse(last_event_id=place.decode())
    await read(resumed)
    assert (await read(resumed)).data.startswith(f"id: {at(1)}\n".encode())
    again = service.watch(place.decode())
    assert "last-event-id" not in dict(await again.initial_metadata())
    assert (await read(again)).id == at(1)


async def test_nobody_is_shown_what_happened_before_their_right_began(service: StatusRpcHarness) -> None:
    for published_at in (100.0, 200.0, 300.0):
        service.log.publish(change(), published_at)
    theirs = service.sse(last_event_id=at(1), since=150.0)
    await read(theirs)
    assert [(await read(theirs)).data.split(b"\n")[0] for _ in range(2)] == [
        f"id: {at(n)}".encode() for n in (2, 3)
    ]
    for stream in (
        service.sse(last_event_id=at(0), since=150.0),
        service.sse(last_event_id=at(1), since=250.0),
    ):
        await read(stream)
        assert b'"code":"UPDATES_RESET"' in (await read(stream)).data
    reset = await read(service.watch(at(0), since=400.0))
    assert reset.system_alert.code == "UPDATES_RESET"
    service.log.publish(change())
    assert (await read(theirs)).data.startswith(f"id: {at(4)}\n".encode())
    assert (await read(stream)).data.startswith(f"id: {at(4)}\n".encode())


async def test_whoever_is_granted_the_right_again_watches_at_once(service: StatusRpcHarness) -> None:
    ended_at = time.time()
    service.hub.right_ended(RightEnding(EndingCause.GRANT, ended_at, "user-123", VIN))
    again = service.sse(read=ended_at + 0.002, since=ended_at + 0.001)
    assert b"STREAM_OPENED" in (await read(again)).data
    _, problem, _ = await refused(service.sse(read=ended_at + 0.002, since=ended_at - 1))
    assert problem["code"] == "ACTION_NOT_GRANTED", "read before the end was surely known"


async def test_the_typed_stream_gives_the_same_updates(service: StatusRpcHarness) -> None:
    stream = service.watch()
    await stream.initial_metadata()
    service.log.publish(change())
    got = await read(stream)
    expected = change()
    expected.id = at(1)
    assert got == expected

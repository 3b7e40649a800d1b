"""The bench's WebSocket client against a server of another maker."""

from __future__ import annotations

import asyncio
import http
import json
from typing import TYPE_CHECKING, Any

import pytest
import websockets

from bench.__main__ import main
from bench.http_client import BenchFailedError
from bench.sockets import SocketClient, client_frame, frames_in

if TYPE_CHECKING:
    from websockets.asyncio.server import ServerConnection
    from websockets.http11 import Request, Response

VIN = "BENCHWATCHED00001"
WAIT_SECONDS = 60
OPCODES = {"text": 1, "close": 8, "ping": 9}


def server_frame(opcode: int, payload: bytes) -> bytes:
    return websockets.frames.Frame(websockets.frames.Opcode(opcode), payload).serialize(mask=False)


async def test_a_client_subscribes_answers_pings_and_is_told() -> None:
    asked: list[Any] = []
    long = json.dumps({"type": "DOOR_STATUS_UPDATE", "data": "x" * 1_000})

    async def serve(connection: ServerConnection) -> None:
        asked.append(json.loads(await connection.recv()))
        await connection.send(json.dumps({"type": "SUBSCRIBED", "vin": VIN}))
        await (await connection.ping())  # until it has been answered
        await connection.send(long)
        await connection.wait_closed()

    told: asyncio.Queue[bytes] = asyncio.Queue()
    async with websockets.serve(serve, "127.0.0.1", 0) as server, asyncio.timeout(WAIT_SECONDS):
        client = await SocketClient.open(server.sockets[0].getsockname()[1], VIN, "key", told.put_nowait)
        assert (await told.get()).decode() == long
        client.close()
    assert asked == [{"action": "subscribe", "vehicles": [{"vin": VIN}]}]


async def test_who_is_not_let_in_is_a_failure() -> None:
    def refuse(connection: ServerConnection, _request: Request) -> Response:
        return connection.respond(http.HTTPStatus.TOO_MANY_REQUESTS, "later")

    async with websockets.serve(
        lambda _c: asyncio.sleep(0), "127.0.0.1", 0, process_request=refuse
    ) as server:
        with pytest.raises(BenchFailedError, match="refused with 429"):
            await SocketClient.open(server.sockets[0].getsockname()[1], VIN, "key", lambda _message: None)


@pytest.mark.parametrize(
    ("answer", "why"), [('{"type":"REFUSED"}', "REFUSED"), (None, "closed with 1000|cut off")]
)
async def test_a_subscription_that_is_not_answered_with_one_is_a_failure(
    answer: str | None, why: str
) -> None:
    async def serve(connection: ServerConnection) -> None:
        await connection.recv()
        if answer is not None:
            await connection.send(answer)

    async with websockets.serve(serve, "127.0.0.1", 0) as server, asyncio.timeout(WAIT_SECONDS):
        with pytest.raises(BenchFailedError, match=why):
            await SocketClient.open(server.sockets[0].getsockname()[1], VIN, "key", lambda _message: None)


def test_frames_are_read_however_they_arrive() -> None:
    sent = [(OPCODES["text"], b""), (OPCODES["ping"], b"p" * 125), (OPCODES["text"], b"t" * 126)]
    held, seen = bytearray(), []
    for byte in b"".join(server_frame(*each) for each in sent):
        held.append(byte)
        seen += frames_in(held)
    assert seen == sent
    assert not held
    with pytest.raises(BenchFailedError):
        frames_in(bytearray(server_frame(OPCODES["text"], bytes(70_000))))


@pytest.mark.parametrize("length", [0, 125, 126, 1_000])
def test_a_frame_of_the_client_is_one_that_another_maker_reads(length: int) -> None:
    protocol = websockets.server.ServerProtocol(state=websockets.protocol.State.OPEN)
    protocol.receive_data(client_frame(OPCODES["text"], b"a" * length))
    (frame,) = protocol.events_received()
    assert isinstance(frame, websockets.frames.Frame)
    assert (frame.opcode, bytes(frame.data)) == (websockets.frames.Opcode.TEXT, b"a" * length)


def test_what_is_no_part_of_the_bench_is_not_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert main({}, ["socket"]) == 2
    assert "usage" in capsys.readouterr().err

"""The cases of RFC 6455 that matter, frame by frame, over the gateway's own connection."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import struct
from typing import TYPE_CHECKING, Any

import pytest

from services.platform.session import SESSION_KEY
from tests.contract.gateway.conftest import VIN, WAIT_SECONDS, GatewayHarness

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
HELLO = json.dumps({"action": "unsubscribe", "vins": [VIN]}).encode()


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    reserved: int = 0,
    masked: bool = True,
    length: int = -1,
) -> bytes:
    """One frame of a client, right or wrong."""
    first = (0x80 if fin else 0) | (reserved << 4) | opcode
    size = len(payload) if length < 0 else length
    mask = 0x80 if masked else 0
    if size < 126:
        head = struct.pack("!BB", first, mask | size)
    elif size < 65_536:
        head = struct.pack("!BBH", first, mask | 126, size)
    else:
        head = struct.pack("!BBQ", first, mask | 127, size)
    if not masked:
        return head + payload
    key = os.urandom(4)
    return head + key + bytes(byte ^ key[n % 4] for n, byte in enumerate(payload))


class RawClient:
    """A client that sends what bytes it likes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, *frames: bytes, bit_by_bit: bool = False) -> None:
        data = b"".join(frames)
        for part in (data[n : n + 1] for n in range(len(data))) if bit_by_bit else [data]:
            self.writer.write(part)
            await self.writer.drain()

    async def next(self) -> tuple[int, bytes]:
        """The next frame of the server, which is whole and not masked."""
        async with asyncio.timeout(WAIT_SECONDS):
            first, second = await self.reader.readexactly(2)
            assert first & 0xF0 == 0x80
            assert not second & 0x80
            size = second
            if second == 126:
                (size,) = struct.unpack("!H", await self.reader.readexactly(2))
            return first & 15, await self.reader.readexactly(size)

    async def close_code(self) -> int:
        """What it was closed with; whatever comes before is passed over."""
        while True:
            opcode, payload = await self.next()
            if opcode == CLOSE:
                return int(struct.unpack("!H", payload[:2])[0]) if payload else 0


async def connected(gateway: GatewayHarness, **changed: str | None) -> tuple[RawClient, str, dict[str, str]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port, ssl=gateway.tls())
    headers: dict[str, str | None] = {
        "Host": "localhost",
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
        SESSION_KEY: gateway.session(),
        **{name.replace("_", "-"): value for name, value in changed.items()},
    }
    lines = ["GET /api/v1/remotecontrol/events/ws HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in headers.items() if value is not None]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    async with asyncio.timeout(WAIT_SECONDS):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    answered = dict(line.lower().split(": ", 1) for line in head[1:] if line)
    return RawClient(reader, writer), head[0].split(" ")[1], answered


@pytest.fixture
async def raw(gateway: GatewayHarness) -> AsyncIterator[RawClient]:
    client, status, headers = await connected(gateway)
    assert status == "101"
    assert "sec-websocket-extensions" not in headers
    yield client
    client.writer.transport.abort()


PARTS = [
    frame(TEXT, HELLO[:9], fin=False),
    frame(CONTINUATION, HELLO[9:20], fin=False),
    frame(CONTINUATION, HELLO[20:]),
]


@pytest.mark.parametrize(
    "frames",
    [
        [frame(TEXT, HELLO)],
        PARTS,
        [PARTS[0], frame(PING, b"a"), PARTS[1], frame(PONG, b"b"), PARTS[2]],
        [frame(TEXT, b"", fin=False), frame(CONTINUATION, HELLO)],
        [frame(TEXT, HELLO, fin=False), frame(CONTINUATION, b"")],
        [frame(PONG, b"nobody asked"), frame(TEXT, HELLO)],
        [frame(PING, b"x" * 125), frame(TEXT, HELLO)],
    ],
)
@pytest.mark.parametrize("bit_by_bit", [False, True])
async def test_a_message_is_the_same_in_one_part_and_in_many(
    raw: RawClient, frames: Sequence[bytes], *, bit_by_bit: bool
) -> None:
    await raw.send(*frames, bit_by_bit=bit_by_bit)
    while (told := await raw.next())[0] == PONG:
        pass
    assert (told[0], json.loads(told[1])["type"]) == (TEXT, "UNSUBSCRIBED")


@pytest.mark.parametrize("payload", [b"", b"a", b"x" * 125])
async def test_a_ping_is_answered_with_what_it_said(raw: RawClient, payload: bytes) -> None:
    await raw.send(frame(PING, payload))
    assert await raw.next() == (PONG, payload)


FORBIDDEN: list[tuple[str, list[bytes], int]] = [
    ("not masked", [frame(TEXT, HELLO, masked=False)], 1002),
    *((f"reserved bit {bit}", [frame(TEXT, HELLO, reserved=bit)], 1002) for bit in (1, 2, 4, 7)),
    ("compressed, which was not agreed", [frame(TEXT, b"\xab\x56\x4a", reserved=4)], 1002),
    *((f"opcode {opcode}", [frame(opcode, b"")], 1002) for opcode in (3, 7, 11, 15)),
    ("a ping in parts", [frame(PING, b"a", fin=False)], 1002),
    ("a ping of 126 bytes", [frame(PING, b"x" * 126)], 1002),
    ("a close of 126 bytes", [frame(CLOSE, b"\x03\xe8" + b"x" * 124)], 1002),
    ("a continuation of nothing", [frame(CONTINUATION, b"x")], 1002),
    ("a message within a message", [frame(TEXT, b"{", fin=False), frame(TEXT, b"}")], 1002),
    ("a close code of one byte", [frame(CLOSE, b"\x03")], 1002),
    *(
        (f"close code {code}", [frame(CLOSE, struct.pack("!H", code))], 1002)
        for code in (0, 999, 1004, 1005, 1006, 1015, 2999, 5000)
    ),
    ("a close reason that is no UTF-8", [frame(CLOSE, b"\x03\xe8\xff")], 1007),
    ("text that is no UTF-8", [frame(TEXT, b"\xce\xba\xe1\xbd\xb9\xcf\x83\xed\xa0\x80")], 1007),
    ("text that ends within a character", [frame(TEXT, b"{\xe2\x82")], 1007),
    (
        "half a character in each part and the wrong one",
        [frame(TEXT, b"\xe2", fin=False), frame(CONTINUATION, b"x")],
        1007,
    ),
    ("a binary message", [frame(BINARY, HELLO)], 1003),
    ("a message of 1 MiB", [frame(TEXT, b" " * 1_048_576)], 1009),
    ("one that says it is of 2^62 bytes", [frame(TEXT, b"", length=1 << 62)], 1009),
    (
        "one that is too large in parts",
        [frame(TEXT, b" " * 9_000, fin=False), frame(CONTINUATION, b" " * 9_000)],
        1009,
    ),
]


@pytest.mark.parametrize(("frames", "code"), [pytest.param(f, c, id=name) for name, f, c in FORBIDDEN])
async def test_what_the_rfc_forbids_closes_the_connection(
    gateway: GatewayHarness, raw: RawClient, frames: Sequence[bytes], code: int
) -> None:
    await raw.send(*frames)
    assert await raw.close_code() == code
    other = await gateway.open()  # and nobody else's
    (answer,) = await other.subscribe(VIN)
    assert answer["type"] == "SUBSCRIBED"


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1007, 1011, 3000, 4000, 4999])
async def test_a_close_is_answered_with_its_code(raw: RawClient, code: int) -> None:
    await raw.send(frame(CLOSE, struct.pack("!H", code) + b"bye"))
    assert await raw.close_code() == code


async def test_a_close_without_a_code_is_answered_without_one(raw: RawClient) -> None:
    await raw.send(frame(CLOSE))
    assert await raw.next() == (CLOSE, b"")


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"Sec_WebSocket_Key": None}, "400"),
        ({"Sec_WebSocket_Key": "short"}, "400"),
        ({"Sec_WebSocket_Version": "8"}, "400"),
        ({"Sec_WebSocket_Version": None}, "400"),
        ({"Connection": "keep-alive"}, "426"),
        ({"Upgrade": "h2c"}, "426"),
    ],
)
async def test_a_handshake_that_is_none_is_told_so_as_a_problem(
    gateway: GatewayHarness, changed: dict[str, Any], status: str
) -> None:
    client, answered, headers = await connected(gateway, **changed)
    client.writer.transport.abort()
    assert answered == status
    assert headers["content-type"] == "application/problem+json"


async def test_compression_is_not_agreed_to(gateway: GatewayHarness) -> None:
    client, status, headers = await connected(
        gateway, Sec_WebSocket_Extensions="permessage-deflate; server_max_window_bits=15"
    )
    client.writer.transport.abort()
    assert status == "101"
    assert "sec-websocket-extensions" not in headers

"""The wire publisher's bytes, and how it counts confirmations."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from bench.http_client import BenchFailedError
from bench.nats_wire import MOST_UNCONFIRMED, Publisher, message

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ACK = b'MSG _INBOX.bench.acks 1 33\r\n{"stream":"VEHICLE_STATUS_1","seq":1}\r\n'


class Wire(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True


Ends = tuple[Publisher, asyncio.StreamReader, Wire]


@pytest_asyncio.fixture
async def ends() -> AsyncIterator[Ends]:
    reader, wire = asyncio.StreamReader(), Wire()
    protocol = asyncio.StreamReaderProtocol(reader)
    publisher = Publisher(reader, asyncio.StreamWriter(wire, protocol, reader, asyncio.get_running_loop()))
    yield publisher, reader, wire
    publisher.close()


def test_the_sizes_count_headers_and_all() -> None:
    line, rest = message("a.b", "id-1", b"payload").split(b"\r\n", 1)
    headers = b"NATS/1.0\r\nNats-Msg-Id: id-1\r\n\r\n"
    assert line == b"HPUB a.b _INBOX.bench.acks %d %d" % (len(headers), len(headers) + 7)
    assert rest == headers + b"payload\r\n"


async def test_confirmations_count_wherever_the_pieces_break(ends: Ends) -> None:
    sending, reader, _ = ends
    await sending.publish([b"one", b"two"])
    reader.feed_data(ACK + ACK[:40])
    waiting = asyncio.create_task(sending.confirmed())
    await asyncio.sleep(0)
    assert not waiting.done()
    reader.feed_data(ACK[40:])
    await waiting


async def test_it_stops_at_too_many_unconfirmed(ends: Ends) -> None:
    sending, reader, wire = ends
    waiting = asyncio.create_task(sending.publish([b"x"] * (MOST_UNCONFIRMED + 1)))
    await asyncio.sleep(0)
    assert len(wire.written) == MOST_UNCONFIRMED
    assert not waiting.done()
    reader.feed_data(ACK)
    await waiting


@pytest.mark.parametrize("answer", [b"-ERR 'Permissions Violation'\r\n", b'{"error":{"code":503}}\r\n', b""])
async def test_a_refusal_is_a_failure(answer: bytes, ends: Ends) -> None:
    sending, reader, _ = ends
    await sending.publish([b"one"])
    reader.feed_data(answer)
    reader.feed_eof()
    with pytest.raises(BenchFailedError):
        await sending.confirmed()


async def test_a_ping_is_answered(ends: Ends) -> None:
    sending, reader, wire = ends
    await sending.publish([b"one"])
    reader.feed_data(b"PING\r\n" + ACK)
    await sending.confirmed()
    assert wire.written.endswith(b"PONG\r\n")

"""The load client against a server that answers as Envoy does, in both ways of telling a body's length."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from typing import TYPE_CHECKING

import pytest

from bench.http_client import (
    BenchFailedError,
    Chunks,
    HttpConnection,
    command_request,
    drive,
    get_request,
    parse_answer,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

VIN = "BENCHCAR000000001"
WITH_LENGTH = b"HTTP/1.1 202 Accepted\r\nContent-Length: 4\r\nserver: envoy\r\n\r\nbody"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"


@contextlib.asynccontextmanager
async def server(*answers: bytes) -> AsyncIterator[int]:
    """Answers each request with the next of `answers`, for ever; hangs up where it is empty."""

    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError):
            for answer in itertools.cycle(answers):
                head = await reader.readuntil(b"\r\n\r\n")
                if head.startswith(b"POST"):
                    await reader.readexactly(int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0]))
                if not answer:
                    break
                writer.write(answer)
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listening:
        yield listening.sockets[0].getsockname()[1]
    for writer in writers:
        writer.close()


def test_chunks_arrive_in_any_pieces() -> None:
    coded = b"5\r\nhello\r\nA\r\n, 10 bytes\r\n0\r\n\r\n"
    chunks = Chunks()
    assert b"".join(chunks.feed(coded[i : i + 1]) for i in range(len(coded))) == b"hello, 10 bytes"
    assert chunks.ended


@pytest.mark.parametrize(("coded", "status", "body"), [(WITH_LENGTH, 202, b"body"), (CHUNKED, 200, b"abcde")])
def test_an_answer_is_whole_with_its_last_byte(coded: bytes, status: int, body: bytes) -> None:
    assert all(parse_answer(bytearray(coded[:end])) is None for end in range(len(coded)))
    answer = parse_answer(bytearray(coded))
    assert answer is not None
    assert (answer.status, answer.body) == (status, body)


def test_an_answer_of_unknown_length_is_refused() -> None:
    with pytest.raises(BenchFailedError, match="without a length"):
        parse_answer(bytearray(b"HTTP/1.1 200 OK\r\n\r\n"))


async def test_the_loop_counts_what_it_expects_and_what_it_does_not() -> None:
    requests = [command_request(VIN, "unlock", "key"), get_request(VIN, "status", "key")]
    async with server(WITH_LENGTH, CHUNKED) as port:
        outcome = await drive(port, iter(requests * 3), clients=1, seconds=20, expect=202)
    assert outcome.statuses == {202: 3, 200: 3}
    assert len(outcome.latencies_ms) == 3
    assert outcome.latencies_ms == sorted(outcome.latencies_ms)


async def test_the_loop_ends_in_time_when_there_is_always_another_request() -> None:
    request = get_request(VIN, "status", "key")
    async with server(CHUNKED) as port:
        outcome = await drive(port, itertools.cycle([request]), clients=4, seconds=0.02, expect=200)
    assert outcome.seconds < 5


async def test_nothing_expected_is_a_failure() -> None:
    async with server(WITH_LENGTH) as port:
        with pytest.raises(BenchFailedError, match="202"):
            await drive(port, iter([get_request(VIN, "status", "k")]), clients=1, seconds=1, expect=200)


async def test_a_cut_connection_is_a_failure() -> None:
    async with server(b"") as port:
        connection = await HttpConnection.open(port)
        with pytest.raises(BenchFailedError, match="cut off"):
            await connection.ask(get_request(VIN, "status", "key"))

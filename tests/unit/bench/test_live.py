"""Commands and streams against an edge that behaves: it accepts, and tells on the stream how it ended."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from bench.http_client import BenchFailedError
from bench.live import PACED, EventStream, command_rounds, paced_commands

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

VIN = "BENCHCAR000000001"


@dataclass
class Edge:
    """Ends every command with `ending`; `stream_status` answers those who want to watch."""

    ending: str = "SUCCESS"
    stream_status: int = 200
    watching: list[asyncio.StreamWriter] = field(default_factory=list)
    connected: list[asyncio.StreamWriter] = field(default_factory=list)
    accepted: list[str] = field(default_factory=list)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[int]:
        listening = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        async with listening:
            yield listening.sockets[0].getsockname()[1]
        for writer in self.connected:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connected.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if head.startswith(b"GET"):
                    self._begin_stream(writer)
                    continue
                length = int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0])
                await reader.readexactly(length)
                self._accept(head.split()[1].rpartition(b"/")[2].decode(), writer)
        writer.close()

    def _begin_stream(self, writer: asyncio.StreamWriter) -> None:
        if self.stream_status != 200:
            writer.write(b"HTTP/1.1 %d Refused\r\nContent-Length: 0\r\n\r\n" % self.stream_status)
            return
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        self.watching.append(writer)
        self._tell("retry: 1000\n\n")

    def _accept(self, action: str, writer: asyncio.StreamWriter) -> None:
        command_id = f"command-{len(self.accepted)}"
        self.accepted.append(action)
        # The end may well come before the 202: they travel on different connections.
        for status in ("IN_PROGRESS", self.ending):
            data = json.dumps(
                {"type": "COMMAND_STATUS_UPDATE", "data": {"commandId": command_id, "status": status}}
            )
            self._tell(f"id: 1\nevent: COMMAND_STATUS_UPDATE\ndata: {data}\n\n")
        body = json.dumps({"commandId": command_id, "status": "PENDING"}).encode()
        writer.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    def _tell(self, text: str) -> None:
        for writer in self.watching:
            writer.write(b"%x\r\n%b\r\n" % (len(text), text.encode()))


async def test_every_round_is_timed_to_its_own_end() -> None:
    edge = Edge()
    async with edge.running() as port:
        rounds = await command_rounds(port, [VIN], "key", 4)
    assert edge.accepted == ["unlock", "lock", "unlock", "lock"]
    assert len(rounds.accepted_ms) == len(rounds.succeeded_ms) == 4


async def test_paced_commands_take_turns() -> None:
    edge = Edge()
    moments: list[float] = []

    async def all_have_answered(moment: float) -> None:
        """Comes as late as this machine needs: whether a car is in time is not what is shown here."""
        moments.append(moment)
        under_way = [task for task in asyncio.all_tasks() if task.get_name().startswith(PACED)]
        await asyncio.gather(*under_way)

    vins = [VIN, "BENCHCAR000000002"]
    async with edge.running() as port:
        rounds = await paced_commands(
            port, vins, "key", per_second=500, seconds=0.01, until=all_have_answered
        )
    assert [moment - moments[0] for moment in moments] == pytest.approx([0, 0.002, 0.004, 0.006, 0.008])
    assert edge.accepted == ["unlock", "unlock", "lock", "lock", "unlock"]
    assert len(rounds.succeeded_ms) == 5


async def test_a_car_that_is_still_busy_ends_the_pace() -> None:
    async with Edge(ending="PENDING").running() as port:
        with pytest.raises(BenchFailedError, match="next turn"):
            await paced_commands(port, [VIN], "key", per_second=500, seconds=0.01)


async def test_a_command_that_fails_makes_the_figure_meaningless() -> None:
    async with Edge(ending="FAILED").running() as port:
        with pytest.raises(BenchFailedError, match="FAILED"):
            await command_rounds(port, [VIN], "key", 1)


async def test_a_refused_stream_is_a_failure() -> None:
    async with Edge(stream_status=404).running() as port:
        with pytest.raises(BenchFailedError, match="404"):
            await EventStream.open(port, VIN, "key", lambda _event: None)

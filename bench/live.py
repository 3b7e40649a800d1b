"""Live updates as apps meet them: from a command to its end on the stream, and one event to many readers."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from typing_extensions import override

from bench.http_client import (
    ACCEPTED,
    LOOPBACK,
    OK,
    BenchFailedError,
    Chunks,
    HttpConnection,
    command_request,
    get_request,
)
from bench.nats_wire import Publisher

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from bench.greeting import Reception
    from bench.nats_wire import BrokerAccount
    from bench.speakers import Speaker

_OPEN_AT_ONCE = 50
_EVENT_SECONDS = 20.0
PACED = "paced-command-"
"""What the tasks of paced commands are called, before their number."""
_COMMAND_ID = re.compile(rb'"commandId": ?"([^"]+)"')
_ENDED = re.compile(rb'"(SUCCESS|FAILED|TIMEOUT|CANCELLED)"')


class EventStream(asyncio.Protocol):
    """One open SSE stream; `received` is called with the bytes of each whole event as it arrives."""

    def __init__(self, request: bytes, received: Callable[[bytes], None]) -> None:
        self._request = request
        self._received = received
        self._head = b""
        self._text = b""
        self._chunks: Chunks | None = None
        self._transport: asyncio.Transport | None = None
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @classmethod
    async def open(cls, port: int, vin: str, token: str, received: Callable[[bytes], None]) -> EventStream:
        """Connect; returns when the stream has begun. Raises BenchFailedError when it is refused."""
        request = get_request(vin, "updates/stream", token)
        _, stream = await asyncio.get_running_loop().create_connection(
            lambda: cls(request, received), LOOPBACK, port
        )
        try:
            await stream.opened
        except BenchFailedError:
            stream.close()
            raise
        return stream

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # a TCP transport is a Transport
        transport.write(self._request)  # type: ignore[attr-defined]  # the same

    @override
    def data_received(self, data: bytes) -> None:
        if self._chunks is None:
            self._head += data
            head, found, data = self._head.partition(b"\r\n\r\n")
            if not found:
                return
            if int(head[9:12]) != OK:
                self.opened.set_exception(
                    BenchFailedError(f"a stream was refused with {head[9:12].decode()}")
                )
                return
            self._chunks = Chunks()
        *events, self._text = (self._text + self._chunks.feed(data)).split(b"\n\n")
        for event in events:
            if not self.opened.done():
                self.opened.set_result(None)
            self._received(event)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if not self.opened.done():
            self.opened.set_exception(BenchFailedError(f"a stream was cut off: {exc or 'closed'}"))


@dataclass(slots=True)
class Rounds:
    """Times from sending a command, in milliseconds: to its 202, and to SUCCESS on the stream."""

    seconds: float
    accepted_ms: list[float]
    succeeded_ms: list[float]
    cpu_seconds: float


async def command_rounds(port: int, vins: Sequence[str], token: str, rounds: int) -> Rounds:
    """For each car one person who locks and unlocks it in turn, `rounds` times, watching its stream.

    Raises BenchFailedError when a command is not accepted or does not end in SUCCESS.
    """

    async def operate(people: Sequence[_Person]) -> None:
        await asyncio.gather(*(person.operate(rounds) for person in people))

    return await _measured(port, vins, token, operate)


async def _until(moment: float) -> None:
    await asyncio.sleep(max(0.0, moment - time.perf_counter()))


async def paced_commands(
    port: int,
    vins: Sequence[str],
    token: str,
    *,
    per_second: float,
    seconds: float,
    until: Callable[[float], Awaitable[None]] = _until,
) -> Rounds:
    """So many commands a second whatever becomes of them, each for the next of these cars, to their end on its stream.

    `until` waits for a moment of time.perf_counter.

    Raises BenchFailedError as command_rounds does, and when a car's turn comes again before it has answered.
    """

    async def operate(people: Sequence[_Person]) -> None:
        began = time.perf_counter()
        commands: list[asyncio.Task[None]] = []
        try:
            for number in range(round(per_second * seconds)):
                await until(began + number / per_second)
                if number >= len(people) and not commands[number - len(people)].done():
                    raise BenchFailedError("a car did not answer before its next turn")
                turn = people[number % len(people)].command()
                commands.append(asyncio.create_task(turn, name=f"{PACED}{number}"))
            await asyncio.gather(*commands)
        finally:
            for command in commands:
                command.cancel()

    return await _measured(port, vins, token, operate)


async def _measured(
    port: int, vins: Sequence[str], token: str, operate: Callable[[Sequence[_Person]], Awaitable[None]]
) -> Rounds:
    people = [await _Person.arrive(port, vin, token) for vin in vins]
    cpu, began = time.process_time(), time.perf_counter()
    try:
        await operate(people)
        seconds = time.perf_counter() - began
    finally:
        for person in people:
            person.leave()
    return Rounds(
        seconds,
        sorted(ms for person in people for ms in person.accepted_ms),
        sorted(ms for person in people for ms in person.succeeded_ms),
        time.process_time() - cpu,
    )


class _Person:
    """Watches one car's stream and commands it."""

    def __init__(self, vin: str, token: str, connection: HttpConnection) -> None:
        self._connection = connection
        self._stream: EventStream | None = None
        self._orders = itertools.cycle([command_request(vin, action, token) for action in ("unlock", "lock")])
        self._ended: dict[bytes, tuple[float, bytes]] = {}
        self._news = asyncio.Event()
        self.accepted_ms: list[float] = []
        self.succeeded_ms: list[float] = []

    @classmethod
    async def arrive(cls, port: int, vin: str, token: str) -> _Person:
        person = cls(vin, token, await HttpConnection.open(port))
        person._stream = await EventStream.open(port, vin, token, person._receive)
        return person

    def _receive(self, event: bytes) -> None:
        ended, command = _ENDED.search(event), _COMMAND_ID.search(event)
        if ended and command and b"COMMAND_STATUS_UPDATE" in event:
            self._ended.setdefault(command[1], (time.perf_counter(), ended[1]))
            self._news.set()

    async def operate(self, rounds: int) -> None:
        for _ in range(rounds):
            await self.command()

    async def command(self) -> None:
        asked = time.perf_counter()
        answer = await self._connection.ask(next(self._orders))
        accepted = time.perf_counter()
        if answer.status != ACCEPTED:
            raise BenchFailedError(f"a command was answered {answer.status}: {answer.body[:300]!r}")
        ended_at = await self._end_of(str(json.loads(answer.body)["commandId"]).encode())
        self.accepted_ms.append((accepted - asked) * 1_000)
        self.succeeded_ms.append((ended_at - asked) * 1_000)

    async def _end_of(self, command_id: bytes) -> float:
        async with asyncio.timeout(_EVENT_SECONDS):
            while command_id not in self._ended:
                self._news.clear()
                await self._news.wait()
        at, status = self._ended.pop(command_id)
        if status != b"SUCCESS":
            raise BenchFailedError(f"a command ended in {status.decode()}")
        return at

    def leave(self) -> None:
        self._connection.close()
        if self._stream is not None:
            self._stream.close()


@dataclass(slots=True)
class Deliveries:
    """Milliseconds from publishing a vehicle's report to its arrival, one for each reader and event."""

    latencies_ms: list[float]
    open_seconds: float
    cpu_seconds: float


class ReaderConnection(Protocol):
    """What is open and can be closed."""

    def close(self) -> None:
        """Hang up."""


OpenReader = Callable[[Callable[[bytes], None]], Coroutine[None, None, ReaderConnection]]
"""Opens one reader, which calls what it is given with each message."""


async def fan_out(
    open_reader: OpenReader,
    account: BrokerAccount,
    reception: Reception,
    speaker: Speaker,
    *,
    readers: int,
    rounds: int,
    note: Callable[[], None] = lambda: None,
) -> Deliveries:
    """`readers` of one vehicle, which says hello and then opens or closes a door `rounds` times. `note` is called
    before and after these, while all are open.

    Raises BenchFailedError when a stream is refused, TimeoutError when an event does not reach everyone.
    """
    arrivals: list[float] = []
    everyone = asyncio.Event()

    def received(event: bytes) -> None:
        if b"DOOR_STATUS_UPDATE" in event:
            arrivals.append(time.perf_counter())
            if len(arrivals) == readers:
                everyone.set()

    began = time.perf_counter()
    streams: list[ReaderConnection] = []
    while len(streams) < readers:
        several = min(_OPEN_AT_ONCE, readers - len(streams))
        streams += await asyncio.gather(*(open_reader(received) for _ in range(several)))
    open_seconds = time.perf_counter() - began
    publisher = await Publisher.connect(account)
    await publisher.publish([speaker.hello(datetime.now(UTC))])
    await publisher.confirmed()
    await reception.until_greeted([speaker.vin], _EVENT_SECONDS)
    latencies: list[float] = []
    note()
    cpu = time.process_time()
    for number in range(rounds + 1):  # the first says where the doors are and warms up
        arrivals.clear()
        everyone.clear()
        report = speaker.report(datetime.now(UTC), driver_open=number % 2 == 1)
        published = time.perf_counter()
        await publisher.publish([report])
        async with asyncio.timeout(_EVENT_SECONDS):
            await publisher.confirmed()
            if number:
                await everyone.wait()
                latencies += [(at - published) * 1_000 for at in arrivals]
    note()
    publisher.close()
    for stream in streams:
        stream.close()
    return Deliveries(sorted(latencies), open_seconds, time.process_time() - cpu)

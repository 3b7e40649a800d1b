"""An outbox on a real database, its relays, and a broker and a clock in the test's hand."""

from __future__ import annotations

import asyncio
import heapq
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import MetaData, select

from services.platform.outbox import Outbox, OutboxRelay, OutgoingMessage
from services.platform.storage import StorageUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence

    from sqlalchemy import Connection

    from services.platform.database import Database

T = TypeVar("T")
METADATA = MetaData()
OUTBOX = Outbox(METADATA)
START = datetime(2031, 1, 1, tzinfo=UTC)


class WatchedDatabase:
    """A real database that knows whether it is being used, and can be away."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.in_use = 0
        self.away = False

    async def write(self, work: Callable[[Connection], T]) -> T:
        return await self._watched(self._database.write(work))

    async def read(self, work: Callable[[Connection], T]) -> T:
        return await self._watched(self._database.read(work))

    async def close(self) -> None:
        await self._database.close()

    async def _watched(self, access: Coroutine[Any, Any, T]) -> T:
        if self.away:
            access.close()
            raise StorageUnavailableError("away")
        self.in_use += 1
        try:
            return await access
        finally:
            self.in_use -= 1

    async def settle(self) -> None:
        """Return when every task waits for something else than this database."""
        quiet = 0
        while quiet < 10:
            await asyncio.sleep(0)
            quiet = 0 if self.in_use else quiet + 1


@dataclass
class FakeClock:
    """Time that passes only in `advance`."""

    settle: Callable[[], Awaitable[None]]
    time: datetime = START
    _sleepers: list[tuple[datetime, int, asyncio.Event]] = field(default_factory=list)
    _slept: int = 0

    def now(self) -> datetime:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self._slept += 1
        woken = asyncio.Event()
        heapq.heappush(self._sleepers, (self.time + timedelta(seconds=seconds), self._slept, woken))
        await woken.wait()

    async def advance(self, seconds: float) -> None:
        """Wake every sleeper in its turn; what each does until its next sleep comes first."""
        end = self.time + timedelta(seconds=seconds)
        while self._sleepers and self._sleepers[0][0] <= end:
            self.time, _, woken = heapq.heappop(self._sleepers)
            woken.set()
            await self.settle()
        self.time = end
        await self.settle()


@dataclass
class FakeBroker:
    """Keeps messages once by id, as JetStream does within its window."""

    kept: list[str] = field(default_factory=list)
    arrived: list[str] = field(default_factory=list)
    away: bool = False
    confirmations_lost: bool = False
    refused: set[str] = field(default_factory=set)
    calls: int = 0
    harness: asyncio.Event | None = None

    async def publish_all(self, messages: Sequence[OutgoingMessage]) -> list[bool]:
        self.calls += 1
        if self.away:
            return [False] * len(messages)
        if self.harness is not None:
            await self.harness.wait()
        answers = []
        for message in messages:
            self.arrived.append(message.message_id)
            if message.message_id in self.refused:
                answers.append(False)
                continue
            if message.message_id not in self.kept:
                self.kept.append(message.message_id)
            answers.append(not self.confirmations_lost)
        return answers


@dataclass
class OutboxHarness:
    """A database with an outbox, and relays that come and go."""

    database: WatchedDatabase
    clock: FakeClock
    broker: FakeBroker = field(default_factory=FakeBroker)
    running: list[asyncio.Task[None]] = field(default_factory=list)

    async def relay(self, *, knows_connection: bool = False) -> OutboxRelay:
        relay = OutboxRelay(
            self.database,
            OUTBOX,
            "vehicle",
            self.broker.publish_all,
            self.clock.now,
            ready=(lambda: not self.broker.away) if knows_connection else lambda: True,
            sleep=self.clock.sleep,
        )
        self.running.append(asyncio.create_task(relay.run()))
        await self.database.settle()
        return relay

    async def commit(self, *ids: str, queue: str = "vehicle") -> list[OutgoingMessage]:
        messages = [
            OutgoingMessage(each, queue, "vehicle.x.cmd.door", b"\x00\xff", self.clock.now(), 30)
            for each in ids
        ]
        await self.database.write(lambda connection: OUTBOX.add(connection, messages))
        return messages

    async def crash(self) -> None:
        """The process dies: nothing is marked."""
        self.database.away = True
        await self.stop()
        self.database.away = False

    async def stop(self) -> None:
        for task in self.running:
            task.cancel()
        await asyncio.gather(*self.running, return_exceptions=True)
        self.running.clear()

    async def unsent(self) -> list[str]:
        table = OUTBOX.table
        query = select(table.c.message_id).where(table.c.sent_at.is_(None)).order_by(table.c.sequence)
        return await self.database.read(lambda connection: list(connection.execute(query).scalars()))


def to(subject: str, *ids: str) -> list[OutgoingMessage]:
    return [OutgoingMessage(each, "vehicle", subject, b"\x00", START, 30) for each in ids]


async def breaking(
    service: OutboxHarness, bad: set[str], set_aside: Any = None
) -> tuple[OutboxRelay, list[list[str]]]:
    """A relay whose `send` raises when one of `bad` is among its messages, and what it was handed."""
    sent: list[list[str]] = []

    async def send(messages: Sequence[OutgoingMessage]) -> Sequence[bool]:
        sent.append([message.message_id for message in messages])
        if bad.intersection(sent[-1]):
            raise OverflowError("a defect that one row meets")
        return await service.broker.publish_all(messages)

    relay = OutboxRelay(
        service.database,
        OUTBOX,
        "vehicle",
        send,
        service.clock.now,
        sleep=service.clock.sleep,
        set_aside=set_aside,
    )
    service.running.append(asyncio.create_task(relay.run()))
    await service.database.settle()
    return relay, sent

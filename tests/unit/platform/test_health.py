"""What a process says of itself, with a clock that the test moves and databases that fail as they are told."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from services.platform.background import BackgroundTasks
from services.platform.database import open_database
from services.platform.database_watch import DatabaseWatch
from services.platform.health import ALIVE, CALLS, COMMANDS, STREAMS, Health
from services.platform.storage import StorageUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest


@dataclass
class Clock:
    seconds: float = 0.0

    def __call__(self) -> float:
        return self.seconds


@dataclass
class FakeDatabase:
    """Raises what it is told to, or never answers."""

    reads: Exception | None = None
    writes: Exception | None = None
    hangs: bool = False
    written: int = 0
    forever: asyncio.Event = field(default_factory=asyncio.Event)

    async def read(self, work: Callable[..., Any]) -> Any:  # noqa: ARG002  # a database's signature
        if self.reads is not None:
            raise self.reads

    async def write(self, work: Callable[..., Any]) -> Any:  # noqa: ARG002  # a database's signature
        if self.hangs:
            await self.forever.wait()
        if self.writes is not None:
            raise self.writes
        self.written += 1

    async def close(self) -> None:
        return


def test_a_condition_fails_after_its_patience_and_is_good_at_once() -> None:
    clock = Clock()
    health = Health(clock)
    broker = health.condition("broker", patience_seconds=10, needed_by=(COMMANDS,))
    broker.bad("not connected")
    clock.seconds = 9.9
    health.look()
    assert health.serves(COMMANDS)
    clock.seconds = 10
    health.look()
    assert health.failing == {"broker": "not connected"}
    assert [health.serves(name) for name in ("", COMMANDS, CALLS, STREAMS, ALIVE)] == [
        False,
        False,
        True,
        True,
        True,
    ]
    broker.good()
    health.look()
    assert health.serves("")
    broker.bad("it answers nothing", since=clock.seconds - 10)  # it was found out late
    health.look()
    assert health.failing == {"broker": "it answers nothing"}
    broker.good()
    health.look()
    assert health.serves("")
    broker.bad("again")
    health.look()
    assert health.serves(COMMANDS)  # patience begins anew


def test_what_is_sure_needs_no_patience() -> None:
    health = Health(Clock())
    streams = health.condition("streams", patience_seconds=10, needed_by=(STREAMS,))
    streams.bad("no answer")
    health.look()
    assert health.serves(STREAMS)
    streams.bad("VEHICLE_EVENTS: cannot be made", surely=True)
    health.look()
    assert not health.serves(STREAMS)


async def test_changes_are_told_once_each() -> None:
    health = Health()
    condition = health.condition("broker", needed_by=(CALLS,))
    told: asyncio.Queue[bool] = asyncio.Queue()

    async def tell() -> None:
        told.put_nowait(health.serves(CALLS))

    keeping = asyncio.create_task(health.keep(tell))
    assert await told.get() is True
    condition.bad("away")
    assert await told.get() is False
    condition.good()
    assert await told.get() is True
    assert told.empty()
    keeping.cancel()


def watched(database: Any, clock: Clock, answer_seconds: float = 0.05) -> tuple[Health, DatabaseWatch]:
    health = Health(clock)
    return health, DatabaseWatch(database, health, 10, answer_seconds=answer_seconds, hung_after_seconds=20)


async def test_a_full_disk_is_said_and_calls_go_on() -> None:
    clock, database = Clock(), FakeDatabase(writes=StorageUnavailableError("disk full"))
    health, watch = watched(database, clock)
    await watch.look()
    clock.seconds = 100
    health.look()
    assert health.failing == {"database_writes": "disk full"}
    assert health.serves(CALLS)
    assert health.serves(ALIVE)
    database.writes = None
    await watch.look()
    health.look()
    assert health.serves("")


async def test_a_database_that_is_away_takes_the_process_out_after_a_while() -> None:
    away = StorageUnavailableError("away")
    clock, database = Clock(), FakeDatabase(reads=away, writes=away)
    health, watch = watched(database, clock)
    await watch.look()
    health.look()
    assert health.serves(CALLS)
    clock.seconds = 10
    await watch.look()
    health.look()
    assert not health.serves(CALLS)
    assert health.serves(ALIVE)


async def test_only_a_writer_that_never_answers_asks_for_a_restart() -> None:
    clock, database = Clock(), FakeDatabase(hangs=True)
    health, watch = watched(database, clock)
    await watch.look()
    clock.seconds = 19
    await watch.look()
    health.look()
    assert health.serves(ALIVE)
    assert not health.serves("")
    clock.seconds = 20
    await watch.look()
    health.look()
    assert not health.serves(ALIVE)
    assert health.serves(CALLS)


async def test_the_watch_writes_for_real(tmp_path: Path) -> None:
    database = await open_database(f"sqlite:///{tmp_path}/room.db")
    health, watch = watched(database, Clock(), answer_seconds=10)
    before = (tmp_path / "room.db-wal").stat().st_size if (tmp_path / "room.db-wal").exists() else 0
    await watch.look()
    health.look()
    assert health.serves("")
    assert (tmp_path / "room.db-wal").stat().st_size > before
    await database.close()


async def test_an_errand_that_fails_is_told_of_and_touches_nobody(
    capsys: pytest.CaptureFixture[str],
) -> None:
    errands, done = BackgroundTasks("waking"), asyncio.Event()

    async def breaks() -> None:
        raise ValueError("one vehicle's data")

    async def works() -> None:
        done.set()

    errands.start(breaks())
    errands.start(works())
    await asyncio.wait_for(done.wait(), 30)
    await asyncio.sleep(0)
    assert "errand_failed" in capsys.readouterr().out

"""What must hold for a process to be of use, and who is told when it does not.

A condition is good until somebody who knows better says otherwise. It counts as failing once it has been bad for its
patience, so that an election of the broker or a slow moment takes nobody out, and is good again at once. The standard
health service tells of it under several names, because not everything stops with one part:

- "": everything holds. For operators and their alarms.
- the full names of the gRPC services: calls can be answered (CALLS). Envoy and the other services act on it.
- COMMANDS, STREAMS: what these need holds. Envoy acts on it for the routes that take commands or begin streams.
- ALIVE: nothing has gone wrong that only a restart can mend. For whoever supervises the process.
"""

from __future__ import annotations

import asyncio
from math import inf
from time import monotonic as now_seconds
from typing import TYPE_CHECKING

import structlog
from sqlalchemy import text

from services.runtime.database import StorageUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from sqlalchemy import Connection

    from services.runtime.database import Database

CALLS = "calls"
COMMANDS = "commands"
STREAMS = "streams"
ALIVE = "alive"
GROUPS = (CALLS, COMMANDS, STREAMS, ALIVE)

LOOK_SECONDS = 0.5
DATABASE_LOOK_SECONDS = 5.0
ANSWER_SECONDS = 7.0
"""How long the database may take to answer: longer than it waits for another writer by itself."""
HUNG_AFTER_SECONDS = 20.0
_log = structlog.get_logger()


class Condition:
    """One thing that must hold. Made by `Health.condition`."""

    def __init__(
        self,
        name: str,
        patience_seconds: float,
        needed_by: frozenset[str],
        monotonic: Callable[[], float],
    ) -> None:
        self.name = name
        self.needed_by = needed_by
        self.reason = ""
        self._patience_seconds = patience_seconds
        self._monotonic = monotonic
        self._bad_since: float | None = None

    @property
    def failing(self) -> bool:
        """Whether it has been bad for longer than there is patience."""
        return self._bad_since is not None and self._monotonic() - self._bad_since >= self._patience_seconds

    def good(self) -> None:
        """It holds."""
        self._bad_since = None
        self.reason = ""

    def bad(self, reason: str, *, surely: bool = False) -> None:
        """It does not hold, for this reason. What is sure needs no patience."""
        if surely:
            self._bad_since = -inf
        elif self._bad_since is None:
            self._bad_since = self._monotonic()
        self.reason = reason


class Health:
    """The conditions of one process. `monotonic` counts seconds."""

    def __init__(self, monotonic: Callable[[], float] = now_seconds) -> None:
        self._monotonic = monotonic
        self._conditions: list[Condition] = []
        self._failing: dict[str, str] = {}
        self._failing_groups: frozenset[str] = frozenset()

    def condition(
        self, name: str, *, patience_seconds: float = 0.0, needed_by: Iterable[str] = ()
    ) -> Condition:
        """Add one; `needed_by` are the groups that cannot go on without it. Good from the start."""
        condition = Condition(name, patience_seconds, frozenset(needed_by), self._monotonic)
        self._conditions.append(condition)
        return condition

    @property
    def failing(self) -> dict[str, str]:
        """What does not hold, by name, with the reason, as of the last look."""
        return self._failing

    def serves(self, group: str) -> bool:
        """Whether all that this group needs holds, as of the last look; "" needs everything."""
        return group not in self._failing_groups if group else not self._failing

    def look(self) -> None:
        """Bring `failing` and `serves` up to date, and log what has changed."""
        bad = [condition for condition in self._conditions if condition.failing]
        failing = {condition.name: condition.reason for condition in bad}
        for name in failing.keys() - self._failing.keys():
            _log.warning("health_condition_failing", condition=name, reason=failing[name])
        for name in self._failing.keys() - failing.keys():
            _log.info("health_condition_restored", condition=name)
        self._failing = failing
        self._failing_groups = frozenset[str]().union(*(condition.needed_by for condition in bad))

    async def keep(self, tell: Callable[[], Awaitable[None]]) -> None:
        """Look until cancelled, and `tell` whenever something has changed."""
        told: tuple[bool, frozenset[str]] | None = None
        while True:
            self.look()
            state = (not self._failing, self._failing_groups)
            if state != told:
                await tell()
                told = state
            await asyncio.sleep(LOOK_SECONDS)


class DatabaseWatch:
    """Sees to it that the database can be read and written, by doing both.

    A database that is away or full says so and comes back by itself; one that does not answer at all for long has
    lost its writer, and only a restart helps.
    """

    def __init__(
        self,
        database: Database,
        health: Health,
        patience_seconds: float,
        *,
        look_seconds: float = DATABASE_LOOK_SECONDS,
        answer_seconds: float = ANSWER_SECONDS,
        hung_after_seconds: float = HUNG_AFTER_SECONDS,
    ) -> None:
        self._database = database
        self._look_seconds = look_seconds
        self._answer_seconds = answer_seconds
        self._reads = health.condition(
            "database_reads", patience_seconds=patience_seconds, needed_by=(CALLS, COMMANDS, STREAMS)
        )
        self._writes = health.condition("database_writes")
        self._answers = health.condition(
            "database_answers", patience_seconds=hung_after_seconds, needed_by=(ALIVE,)
        )

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(self._look_seconds)

    async def look(self) -> None:
        """Look once."""
        try:
            async with asyncio.timeout(self._answer_seconds):
                await self._database.read(_read)
                self._reads.good()
                await self._database.write(_write)
        except StorageUnavailable as error:
            self._answers.good()
            self._writes.bad(str(error))
            await self._look_at_reads()
        except TimeoutError:
            self._answers.bad("it does not answer")
            self._writes.bad("it does not answer")
        else:
            self._writes.good()
            self._answers.good()

    async def _look_at_reads(self) -> None:
        try:
            async with asyncio.timeout(self._answer_seconds):
                await self._database.read(_read)
        except (StorageUnavailable, TimeoutError) as error:
            self._reads.bad(str(error) or "it does not answer")
        else:
            self._reads.good()


def _read(connection: Connection) -> None:
    connection.execute(text("SELECT 1"))


def _write(connection: Connection) -> None:
    """Something that has to reach the disk and leaves nothing behind."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(
            "PRAGMA user_version = 1"
        )  # a number for the application's use; nobody reads it
    else:
        connection.execute(
            text("SELECT pg_current_xact_id()")
        )  # its commit is logged, and a standby refuses it

"""Whether the database can be used, for health checks (services.platform.health)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sqlalchemy import text

from services.platform.health import ALIVE, CALLS, COMMANDS, STREAMS
from services.platform.storage import StorageUnavailableError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from services.platform.database import Database
    from services.platform.health import Health

DATABASE_LOOK_SECONDS = 5.0
AGAIN_SECONDS = 0.5
"""How soon one that cannot be written is looked at again."""
ANSWER_SECONDS = 7.0
"""How long the database may take to answer: longer than it waits for another writer by itself."""
HUNG_AFTER_SECONDS = 20.0


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
            writable = await self.look()
            await asyncio.sleep(self._look_seconds if writable else min(self._look_seconds, AGAIN_SECONDS))

    async def look(self) -> bool:
        """Look once; return whether it can be written."""
        try:
            async with asyncio.timeout(self._answer_seconds):
                await self._database.read(_read)
                self._reads.good()
                await self._database.write(_write)
        except StorageUnavailableError as error:
            self._answers.good()
            self._writes.bad(str(error))
            await self._look_at_reads()
        except TimeoutError:
            self._answers.bad("it does not answer")
            self._writes.bad("it does not answer")
        else:
            self._writes.good()
            self._answers.good()
            return True
        return False

    async def _look_at_reads(self) -> None:
        try:
            async with asyncio.timeout(self._answer_seconds):
                await self._database.read(_read)
        except (StorageUnavailableError, TimeoutError) as error:
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

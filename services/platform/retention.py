"""The job that deletes what is over: what each table's line says (kept_data), but for what a legal hold keeps."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from services.platform.kept_data import TablePurge, count_held, purge
from services.platform.storage import StorageUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from services.platform.database import Database
    from services.platform.kept_data import KeptTable
    from services.platform.legal_holds import LegalHolds

RUN_SECONDS = 3_600.0
_PAUSE_SECONDS = 0.01
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class RetentionRun:
    """What a run did, table by table. With `failed` it ended before its end, and the next one goes on."""

    began_at: datetime
    ended_at: datetime
    tables: tuple[TablePurge, ...]
    failed: str = ""


class Retention:
    """Deletes what is over, in small transactions between which requests have their turn."""

    def __init__(
        self,
        database: Database,
        tables: Sequence[KeptTable],
        holds: LegalHolds,
        now: Callable[[], datetime],
    ) -> None:
        self._database = database
        self.tables = tables
        self.holds = holds
        self._now = now
        self._running = asyncio.Lock()
        self.last: RetentionRun | None = None
        """What the last run of this process did; None before the first."""

    async def run_once(self) -> RetentionRun:
        """Delete all that is over now. A table that cannot be worked on keeps no other from its turn."""
        async with self._running:
            began_at, done, failed = self._now(), [], []
            for kept in self.tables:
                try:
                    done.append(await self._purged(kept, began_at))
                except StorageUnavailableError as error:
                    failed.append(f"{kept.name}: {error}")
            self.last = RetentionRun(began_at, self._now(), tuple(done), "; ".join(failed))
        _log.info(
            "retention_run",
            deleted={each.table: each.deleted for each in done if each.deleted},
            held={each.table: each.held for each in done if each.held},
            failed=failed,
        )
        return self.last

    async def run(self) -> None:
        """Do so at the start and once an hour, until cancelled."""
        while True:
            await self.run_once()
            await asyncio.sleep(RUN_SECONDS)

    async def _purged(self, kept: KeptTable, at: datetime) -> TablePurge:
        spared, deleted, more = self.holds.spared(kept), 0, kept.over is not None

        def some(connection: Connection) -> tuple[int, bool]:
            return purge(connection, kept, at, spared)

        while more:
            gone, more = await self._database.write(some)
            deleted += gone
            await asyncio.sleep(_PAUSE_SECONDS)
        held = await self._database.read(lambda connection: count_held(connection, kept, at, spared))
        return TablePurge(kept.name, deleted, held)

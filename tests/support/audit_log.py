"""A signed audit log on a database of its own, with a second place and a folder in which it is published."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.audit.adapters.log_key import LogKeys
from services.audit.adapters.publication import LogPublication
from services.audit.adapters.second_place import FolderSecondPlace
from services.audit.adapters.sequencer import Sequencer
from services.audit.adapters.store import SqlLedger, SqlTree
from services.audit.usecases.signing import LEASE, HistoryWatch, SigningDependencies
from services.platform.database import open_database
from services.platform.health import CALLS, Health
from tests.support.audit_entries import HOUSE_KEY, T0, entry, migrated_audit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from services.platform.database import Database

ORIGIN = "log.test/audit"
LOG_KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
KEYS = LogKeys(ORIGIN, LOG_KEY)
VKEY = KEYS.public[0].vkey()


@dataclass
class AuditLog:
    """A replica of the ledger. `now` is moved by the test."""

    database: Database
    folder: Path
    now: list[timedelta]
    keys: LogKeys = KEYS
    holder: str = "one"

    def __post_init__(self) -> None:
        for name in ("log", "second"):
            (self.folder / name).mkdir(exist_ok=True)
        self.ledger = SqlLedger(self.database, HOUSE_KEY, lambda: T0 + self.now[0])
        self.tree = SqlTree(self.database, lambda: T0 + self.now[0])
        self.history = HistoryWatch()
        self.second = FolderSecondPlace(self.folder / "second", ORIGIN, self.keys.public)
        self.deps = SigningDependencies(self.tree, self.second, self.keys, self.history, self.holder)
        self.health = Health()
        self.publication = LogPublication(
            self.folder / "log",
            self.tree,
            self.health.condition("publication"),
            partial(self.tree.lead, self.holder, LEASE),
        )
        self.sequencer = Sequencer(
            self.deps,
            self.tree,
            self.publication,
            self.health.condition("ledger_intact", needed_by=(CALLS,)),
            self.health.condition("second_place"),
            self.monotonic,
        )

    def monotonic(self) -> float:
        """Count seconds as the test moves them."""
        return self.now[0].total_seconds()

    async def grow(self, first: int, end: int) -> None:
        """Keep the entries of these numbers."""
        await self.ledger.append([entry(number) for number in range(first, end)])

    def failing(self) -> dict[str, str]:
        """What health says."""
        self.health.look()
        return self.health.failing


@asynccontextmanager
async def opened_log(
    url: str, folder: Path, *, holder: str = "one", now: list[timedelta] | None = None
) -> AsyncIterator[AuditLog]:
    """A replica on the database of this URL, which is made where it is not there."""
    await migrated_audit(url)
    database = await open_database(url)
    try:
        yield AuditLog(database, folder, now if now is not None else [timedelta()], holder=holder)
    finally:
        await database.close()

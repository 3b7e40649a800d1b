"""Making sure that what was deleted is not left in the free parts of a database's files.

SQLite leaves deleted rows in free pages and in its log until something is written over them: the file is written anew
without them, and the log is emptied. Of PostgreSQL only VACUUM can be asked here: it frees the place of what was
deleted for what comes next, and its own log ages out by the server's settings (docs/privacy.md).
"""

from __future__ import annotations

import asyncio
import sqlite3

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from services.platform.storage import StorageUnavailableError

_SQLITE = "sqlite:///"
_BUSY_SECONDS = 5.0


async def scrub(database_url: str) -> None:
    """Leave nothing of deleted rows in the database's files. Others wait for it for as long as the file takes to be
    written. Raises StorageUnavailableError where somebody holds it up; then nothing is lost, and it can be asked again.
    """
    if database_url.startswith(_SQLITE):
        await asyncio.to_thread(_scrub_sqlite, database_url.removeprefix(_SQLITE))
        return
    engine = create_async_engine(
        database_url.replace("postgresql://", "postgresql+asyncpg://", 1), isolation_level="AUTOCOMMIT"
    )
    try:
        async with engine.connect() as connection:
            await connection.execute(text("VACUUM"))
    finally:
        await engine.dispose()


def _scrub_sqlite(path: str) -> None:
    connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
    try:
        connection.execute("PRAGMA secure_delete=ON")
        connection.execute("VACUUM")
        busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except sqlite3.OperationalError as error:
        raise StorageUnavailableError(str(error)) from error
    finally:
        connection.close()
    if busy:
        raise StorageUnavailableError("somebody reads an older state; the log could not be emptied")

"""Making sure that what was deleted is not left in the free parts of a database's files.

In SQLite whoever deletes writes zeros over it (`secure_delete`, which is a connection's own setting: those of
platform.database and platform.migration have it). Two places keep something nevertheless. The log holds pages as they
were: it is emptied here, which costs as much as the log is long. And where SQLite moved rows to another page it may
leave a copy in the gap of the old one (measured: 3 rows of 3,600): a file is written anew without gaps, as long as it
is so small that others hardly wait for it. A large one is for its operator to write anew. Of PostgreSQL only VACUUM can
be asked: it frees the place of what was deleted for what comes next, and its own log ages out by the server's settings
(docs/privacy.md).
"""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from services.platform.storage import StorageUnavailableError

_SQLITE = "sqlite:///"
_BUSY_SECONDS = 5.0
ANEW_UP_TO_BYTES = 128 * 1024 * 1024
"""Files up to this size are written anew: within a second, where others' writes give up after five."""


async def scrub(database_url: str, *, anew_up_to_bytes: int = ANEW_UP_TO_BYTES) -> None:
    """Leave nothing of deleted rows in the database's files.

    Raises StorageUnavailableError where somebody holds it up; then nothing is lost, and it can be asked again.
    """
    if database_url.startswith(_SQLITE):
        await asyncio.to_thread(_scrub_sqlite, Path(database_url.removeprefix(_SQLITE)), anew_up_to_bytes)
        return
    engine = create_async_engine(
        database_url.replace("postgresql://", "postgresql+asyncpg://", 1), isolation_level="AUTOCOMMIT"
    )
    try:
        async with engine.connect() as connection:
            await connection.execute(text("VACUUM"))
    finally:
        await engine.dispose()


def _scrub_sqlite(path: Path, anew_up_to_bytes: int) -> None:
    connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
    try:
        if path.stat().st_size <= anew_up_to_bytes:
            connection.execute("VACUUM")
        busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except sqlite3.OperationalError as error:
        raise StorageUnavailableError(str(error)) from error
    finally:
        connection.close()
    if busy:
        raise StorageUnavailableError("somebody reads an older state; the log could not be emptied")

"""Bringing a room's tables to the version its code needs, with Alembic.

A room's `migrations/` folder holds its revisions and nothing else; the environment is beside this
file, the same for all. A database that is already there costs one query and no import of Alembic,
because every start pays for it.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine, event, inspect, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

if TYPE_CHECKING:
    from collections.abc import Callable

    from alembic.config import Config
    from sqlalchemy import Connection, Engine, MetaData

_ENVIRONMENT = Path(__file__).with_name("alembic_environment")
_LOCK_NUMBER = 7_340_113
"""Any number; it names the PostgreSQL advisory lock that lets one replica migrate at a time."""


def migrate(url: str, revisions: Path, head: str) -> None:
    """Upgrade the database at `url` to revision `head` of the folder `revisions`.

    Blocks; call it where no event loop runs. Raises what SQLAlchemy raises when the database is away
    or a script fails; a failed upgrade leaves nothing behind.
    """

    def upgrade(connection: Connection) -> None:
        _upgrade(connection, revisions, head)

    if url.startswith("sqlite:///"):
        Path(url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
        engine = _sqlite_engine(url)
        with engine.begin() as connection:
            upgrade(connection)
        engine.dispose()
    else:
        asyncio.run(_on_postgresql(url, upgrade))


def _sqlite_engine(url: str) -> Engine:
    """An engine whose transactions hold table definitions too, and whose first statement takes the write lock."""
    engine = create_engine(url, poolclass=NullPool)

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


async def _on_postgresql(url: str, upgrade: Callable[[Connection], None]) -> None:
    engine = create_async_engine(url.replace("postgresql://", "postgresql+asyncpg://", 1), poolclass=NullPool)
    async with engine.begin() as connection:
        await connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _LOCK_NUMBER})
        await connection.run_sync(upgrade)
    await engine.dispose()


def _upgrade(connection: Connection, revisions: Path, head: str) -> None:
    if _revision(connection) == head:
        return
    from alembic import command  # noqa: PLC0415  # half a second, needed only when there is something to do

    command.upgrade(config_for(connection, revisions), head)


def config_for(connection: Connection, revisions: Path, metadata: MetaData | None = None) -> Config:
    """Alembic's configuration for one room's revisions, on this connection."""
    from alembic.config import Config  # noqa: PLC0415  # see above

    config = Config()
    config.set_main_option("script_location", str(_ENVIRONMENT))
    config.set_main_option("version_locations", str(revisions))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    config.attributes["metadata"] = metadata
    return config


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()

"""Bringing a service's tables to the version its code needs, with Alembic.

A service's `migrations/` folder holds its revisions and nothing else; the environment is beside this
file, the same for all. A database that is already there costs one query and no import of Alembic,
because every start pays for it.

Revisions only add, so the code of one revision also works on a later one: an old replica starts beside
new ones, and a new version can be rolled back, without touching the database.
"""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog
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


_NUMBER = re.compile(r"(\d{4})_\w+")
_log = structlog.get_logger()


class SchemaError(Exception):
    """The database is not one that this code can work on; the text says why."""


def migrate(url: str, revisions: Path, head: str, metadata: MetaData | None = None) -> None:
    """Upgrade the database at `url` to revision `head` of the folder `revisions`.

    One that is at a later revision, by its number, stays as it is, as long as it has all the tables and columns
    of `metadata`. Blocks; call it where no event loop runs. Raises SchemaError, and what SQLAlchemy raises when
    the database is away or a script fails; a failed upgrade leaves nothing behind.
    """

    def upgrade(connection: Connection) -> None:
        _upgrade(connection, revisions, head, metadata)

    if url.startswith("sqlite:///"):
        Path(url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
        engine = _sqlite_engine(url)
        with engine.begin() as connection:
            upgrade(connection)
        engine.dispose()
    else:
        asyncio.run(_on_postgresql(url, upgrade))


def _sqlite_engine(url: str) -> Engine:
    """Return an engine whose transactions hold table definitions too, and whose first statement takes the write
    lock.
    """
    engine = create_engine(url, poolclass=NullPool)

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA secure_delete=ON")  # a revision that moves rows leaves none behind

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


def _upgrade(connection: Connection, revisions: Path, head: str, metadata: MetaData | None) -> None:
    found = _revision(connection)
    if found == head:
        return
    if found is not None and not (revisions / f"{found}.py").is_file():
        _check_later(connection, found, head, metadata)
        _log.warning("schema_is_newer", found=found, known=head)
        return
    from alembic import command  # noqa: PLC0415  # half a second, needed only when there is something to do

    command.upgrade(config_for(connection, revisions), head)


def config_for(connection: Connection, revisions: Path, metadata: MetaData | None = None) -> Config:
    """Return alembic's configuration for one service's revisions, on this connection."""
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


def _check_later(connection: Connection, found: str, head: str, metadata: MetaData | None) -> None:
    """Raise SchemaError unless the database is at a later revision of the same tables."""
    theirs, ours = _NUMBER.fullmatch(found), _NUMBER.fullmatch(head)
    if theirs is None or ours is None or int(theirs[1]) <= int(ours[1]):
        raise SchemaError(
            f"the database is at revision {found}, which is not known here and not after {head}"
        )
    inspector = inspect(connection)
    there = set(inspector.get_table_names())
    for table in metadata.sorted_tables if metadata is not None else ():
        columns = (
            {column["name"] for column in inspector.get_columns(table.name)} if table.name in there else set()
        )
        missing = sorted(column.name for column in table.columns if column.name not in columns)
        if missing:
            raise SchemaError(
                f"the database at revision {found} has no {table.name}.{missing[0]}: not this service's"
            )

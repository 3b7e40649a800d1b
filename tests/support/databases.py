"""Databases that are at a revision already: each run migrates one for all, and every test gets a copy of it."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import asyncpg

from services.platform.migration import migrate
from tests.support.run import locked, run_folder

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import MetaData

_SQLITE = "sqlite:///"
_copied: set[str] = set()


def migrated(url: str, revisions: Path, head: str, metadata: MetaData | None = None) -> None:
    """Make the database of this URL, as `migrate` leaves one that was empty, in a tenth of the time. Blocks as it does.

    One that was made here before is migrated, which finds nothing to do.
    """
    if url in _copied:
        migrate(url, revisions, head, metadata)
        return
    name = "migrated_" + hashlib.sha256(f"{revisions} {head}".encode()).hexdigest()[:16]
    if url.startswith(_SQLITE):
        shutil.copyfile(_sqlite_template(name, revisions, head), url.removeprefix(_SQLITE))
    else:
        asyncio.run(_copy_on_postgresql(url, name, revisions, head))
    _copied.add(url)


def _sqlite_template(name: str, revisions: Path, head: str) -> Path:
    template = run_folder() / f"{name}.sqlite3"
    with locked(name):
        if not template.exists():
            fresh = template.with_suffix(".new")
            migrate(f"{_SQLITE}{fresh}", revisions, head)
            fresh.rename(template)
    return template


async def _copy_on_postgresql(url: str, name: str, revisions: Path, head: str) -> None:
    own = urlsplit(url)
    server = await asyncpg.connect(own._replace(path="/postgres").geturl())
    template = own._replace(path=f"/{name}").geturl()
    try:
        with locked(f"{name}_on_postgresql"):
            if not await server.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name):
                fresh = f"{name}_new"
                await server.execute(f"CREATE DATABASE {fresh}")
                await asyncio.to_thread(migrate, template + "_new", revisions, head)
                await server.execute(f"ALTER DATABASE {fresh} RENAME TO {name}")
        await server.execute(f"CREATE DATABASE {own.path[1:]} TEMPLATE {name}")
    finally:
        await server.close()

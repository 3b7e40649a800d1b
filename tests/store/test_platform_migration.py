"""Migrating: from nothing, again, by two at once, and not at all when a script fails; on both databases."""

from __future__ import annotations

import asyncio
import textwrap
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import inspect, text

from services.platform.database import open_database
from services.platform.migration import migrate

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection

FIRST = """
    import sqlalchemy as sa
    from alembic import op

    revision = "0001_first"
    down_revision = None

    def upgrade():
        op.create_table("door", sa.Column("name", sa.String(20), primary_key=True))

    def downgrade():
        op.drop_table("door")
"""
SECOND = """
    import sqlalchemy as sa
    from alembic import op

    revision = "0002_second"
    down_revision = "0001_first"

    def upgrade():
        op.create_table("window", sa.Column("name", sa.String(20), primary_key=True))
        op.execute("INSERT INTO door (name) VALUES ('front')")
        {then}

    def downgrade():
        op.drop_table("window")
"""


@pytest.fixture
def revisions(tmp_path: Path) -> Path:
    folder = tmp_path / "migrations"
    folder.mkdir()
    (folder / "0001_first.py").write_text(textwrap.dedent(FIRST))
    return folder


def add_second(revisions: Path, then: str = "pass") -> None:
    (revisions / "0002_second.py").write_text(textwrap.dedent(SECOND).format(then=then))


async def tables_and_doors(url: str) -> tuple[set[str], list[str], str | None]:
    def look(connection: Connection) -> tuple[set[str], list[str], str | None]:
        tables = set(inspect(connection).get_table_names())
        doors = connection.execute(text("SELECT name FROM door")).scalars().all() if "door" in tables else []
        version = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        return tables - {"alembic_version"}, list(doors), version

    database = await open_database(url)
    try:
        return await database.read(look)
    finally:
        await database.close()


async def up(url: str, revisions: Path, head: str) -> None:
    await asyncio.to_thread(migrate, url, revisions, head)


async def test_from_nothing_to_the_newest_and_again(empty_database_url: str, revisions: Path) -> None:
    add_second(revisions)
    for _ in range(2):
        await up(empty_database_url, revisions, "0002_second")
        assert await tables_and_doors(empty_database_url) == ({"door", "window"}, ["front"], "0002_second")


async def test_a_script_that_fails_leaves_nothing_behind(empty_database_url: str, revisions: Path) -> None:
    await up(empty_database_url, revisions, "0001_first")
    add_second(revisions, then="raise RuntimeError('half way')")
    with pytest.raises(RuntimeError, match="half way"):
        await up(empty_database_url, revisions, "0002_second")
    assert await tables_and_doors(empty_database_url) == ({"door"}, [], "0001_first")


async def test_replicas_that_start_together_migrate_once(empty_database_url: str, revisions: Path) -> None:
    add_second(revisions)
    await asyncio.gather(*(up(empty_database_url, revisions, "0002_second") for _ in range(3)))
    assert await tables_and_doors(empty_database_url) == ({"door", "window"}, ["front"], "0002_second")


async def test_the_folder_of_a_new_database_is_made(tmp_path: Path, revisions: Path) -> None:
    url = f"sqlite:///{tmp_path}/new/folder/room.sqlite3"
    await up(url, revisions, "0001_first")
    assert await tables_and_doors(url) == ({"door"}, [], "0001_first")

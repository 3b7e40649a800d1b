"""A database for every store test, once on SQLite and once on a real PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.postgres import CannotStartError, Postgres, shared_postgres

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def postgres() -> Postgres:
    try:
        return shared_postgres()
    except CannotStartError as reason:
        pytest.skip(f"PostgreSQL cannot run here: {reason}")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database that nobody else has, as DOORS_DATABASE_URL spells it. `tests.support.databases.migrated`
    makes it.
    """
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/room.sqlite3"
    server: Postgres = request.getfixturevalue("postgres")
    return server.new_url()


@pytest.fixture
def empty_database_url(request: pytest.FixtureRequest, database_url: str) -> str:
    """The same, where the database is there, and empty."""
    if not database_url.startswith("sqlite"):
        server: Postgres = request.getfixturevalue("postgres")
        server.create(database_url)
    return database_url

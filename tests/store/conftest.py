"""An empty database for every store test, once on SQLite and once on a real PostgreSQL."""

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
    """The URL of an empty database, as DOORS_DATABASE_URL spells it."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/room.sqlite3"
    server: Postgres = request.getfixturevalue("postgres")
    return server.new_database()

"""A revision that the tool writes is one: it runs as it stands, and leaves nothing to the next."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003  # SQLModel reads the annotations
from typing import TYPE_CHECKING

import sqlalchemy
from sqlmodel import Field, MetaData, SQLModel

from services.platform.database import Instant
from services.platform.dead_letters import DeadLetters
from services.platform.migration import migrate
from services.platform.outbox import Outbox
from tools.revision import write_revision

if TYPE_CHECKING:
    from pathlib import Path


class Model(SQLModel):
    metadata = MetaData()


class Entry(Model, table=True):
    __tablename__ = "entry"
    name: str = Field(primary_key=True, max_length=64)
    at: datetime = Field(sa_type=Instant)


DeadLetters(Model.metadata, lambda _subject: "")
Outbox(Model.metadata)


def test_a_revision_runs_as_it_is_written_and_the_next_finds_nothing_to_do(tmp_path: Path) -> None:
    folder = tmp_path / "migrations"
    folder.mkdir()
    first = write_revision(folder, Model.metadata, "first tables")
    assert first.name == "0001_first_tables.py"
    url = f"sqlite:///{tmp_path}/made.sqlite3"
    migrate(url, folder, first.stem, Model.metadata)
    made = sqlalchemy.inspect(sqlalchemy.create_engine(url))
    assert set(made.get_table_names()) == {"alembic_version", *Model.metadata.tables}
    assert "pass" in write_revision(folder, Model.metadata, "nothing").read_text(encoding="utf-8")

"""A statement that is compiled once runs as it would have been compiled each time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import (
    Column,
    Integer,
    MetaData,
    String,
    Table,
    bindparam,
    create_engine,
    insert,
    select,
    update,
)
from sqlalchemy.dialects import sqlite

from services.platform.prepared import PreparedStatement

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

metadata = MetaData()
things = Table("thing", metadata, Column("name", String, primary_key=True), Column("count", Integer))
ADD = PreparedStatement(insert(things).inline(), "name", "count")
ONE = PreparedStatement(select(things.c.count).where(things.c.name == bindparam("of")))


@pytest.fixture
def connection() -> Iterator[Connection]:
    engine = create_engine("sqlite://")
    metadata.create_all(engine)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def test_rows_are_written_and_found(connection: Connection) -> None:
    ADD(connection, {"count": 1, "name": "a", "of no interest": 7})
    ADD.for_each(connection, [{"name": "b", "count": 2}, {"count": None, "name": "c"}])
    found = [ONE(connection, {"of": name}).scalar_one() for name in "abc"]
    assert found == [1, 2, None]


def test_the_text_for_this_database_is_chosen(connection: Connection) -> None:
    add = PreparedStatement(
        {"sqlite": sqlite.insert(things).on_conflict_do_nothing(), "postgresql": insert(things)},
        "name",
        "count",
    )
    assert [add(connection, {"name": "a", "count": n}).rowcount for n in (1, 2)] == [1, 0]


def test_a_parameter_that_is_not_given_is_an_error(connection: Connection) -> None:
    with pytest.raises(KeyError, match="count"):
        ADD(connection, {"name": "a"})


def test_a_statement_with_a_value_of_its_own_is_refused(connection: Connection) -> None:
    with pytest.raises(TypeError, match="values of its own"):
        PreparedStatement(update(things).values(count=5))(connection, {})

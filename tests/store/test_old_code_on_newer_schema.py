"""Revisions only add: the code of the revision before starts on the newest schema, and reads and writes there."""

from __future__ import annotations

import asyncio
import importlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
from sqlalchemy import (
    BigInteger,
    Boolean,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    insert,
    inspect,
    select,
    text,
)

from services import registry
from services.platform.database import open_database
from services.platform.migration import SchemaError, migrate
from tests.support.service_modules import adapter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Column, Connection, Table

SERVICES = registry.WITH_DATABASE
WIDER = {("INTEGER", "BIGINT")}
"""Changes of a type after which old code reads and writes all that it could before."""
Schema: TypeAlias = "tuple[MetaData, dict[str, list[set[str]]]]"
"""Tables, and for each the sets of columns that must be unique."""


def folder_of(service: str) -> Path:
    return Path(importlib.import_module(f"services.{service}").__file__ or "").with_name("migrations")


def revisions_of(service: str) -> list[str]:
    return sorted(path.stem for path in folder_of(service).glob("[0-9]*.py"))


def head_of(service: str) -> str:
    return str(adapter(service, "store").HEAD)


async def reflected(url: str) -> Schema:
    """The tables of a database, and what must be unique in each."""

    def look(connection: Connection) -> Schema:
        found = MetaData()
        found.reflect(connection)
        looker: Any = inspect(connection)
        unique = {
            name: [
                {str(column) for column in one["column_names"]}
                for one in (*looker.get_unique_constraints(name), *looker.get_indexes(name))
                if one.get("unique", True)
            ]
            for name in found.tables
        }
        return found, unique

    database = await open_database(url)
    try:
        return await database.read(look)
    finally:
        await database.close()


def value_for(column: Column[Any]) -> Any:
    if isinstance(column.type, (Boolean,)):
        return False
    if isinstance(column.type, (Integer, BigInteger, Numeric)):
        return 1
    if isinstance(column.type, LargeBinary):
        return b"\x01"
    return "x"


def rows(tables: Sequence[Table]) -> list[tuple[Table, dict[str, Any]]]:
    """One row of each, with a value in every column; parents before their children."""
    return [
        (table, {column.name: value_for(column) for column in table.columns})
        for table in tables
        if table.name != "alembic_version"
    ]


def test_every_revision_is_a_step_and_the_last_is_the_head() -> None:
    assert {service: revisions_of(service)[-1] for service in SERVICES} == {
        service: head_of(service) for service in SERVICES
    }
    numbers = {service: [int(revision[:4]) for revision in revisions_of(service)] for service in SERVICES}
    assert all(found == list(range(1, len(found) + 1)) for found in numbers.values())


@pytest.mark.parametrize("service", SERVICES)
async def test_a_revision_only_adds(empty_database_url: str, service: str) -> None:
    first, *later = revisions_of(service)
    await asyncio.to_thread(migrate, empty_database_url, folder_of(service), first)
    before = await reflected(empty_database_url)
    for new in later:
        await asyncio.to_thread(migrate, empty_database_url, folder_of(service), new)
        after = await reflected(empty_database_url)
        only_adds(new, before, after)
        before = after


def only_adds(new: str, earlier: Schema, later: Schema) -> None:
    """What code of before the revision `new` needs is there after it, and it can write what it knows."""
    (before, unique_before), (after, unique_after) = earlier, later
    for name, table in before.tables.items():
        assert name in after.tables, f"{new} drops {name}"
        for column in table.columns:
            assert column.name in after.tables[name].columns, f"{new} drops {name}.{column.name}"
            now = after.tables[name].columns[column.name]
            same = str(now.type) == str(column.type) or (str(column.type), str(now.type)) in WIDER
            assert same, f"{new} changes the type of {name}.{column.name}"
            assert now.nullable or not column.nullable, f"{new} asks for {name}.{column.name}"
        added = [column for column in after.tables[name].columns if column.name not in table.columns]
        for column in added:
            has_default = column.server_default is not None
            assert column.nullable or has_default, (
                f"old code cannot write {name} without {column.name} of {new}"
            )
        fresh = {column.name for column in added}
        for columns in unique_after[name]:
            assert columns in unique_before[name] or columns & fresh, (
                f"{new} makes {columns} of {name} unique"
            )


@pytest.mark.parametrize("service", [service for service in SERVICES if len(revisions_of(service)) > 1])
async def test_old_code_starts_reads_and_writes_on_the_newest_schema(
    empty_database_url: str, service: str, tmp_path: Path
) -> None:
    *_, previous, newest = revisions_of(service)
    old_folder = tmp_path / "migrations"
    shutil.copytree(
        folder_of(service), old_folder, ignore=shutil.ignore_patterns(f"{newest}.py", "__pycache__")
    )
    scratch = f"sqlite:///{tmp_path}/old.db"
    await asyncio.to_thread(migrate, scratch, old_folder, previous)
    old_tables, _ = await reflected(scratch)
    await asyncio.to_thread(migrate, empty_database_url, folder_of(service), newest)

    own = MetaData()
    for table in old_tables.sorted_tables:
        if table.name != "alembic_version":
            table.to_metadata(own)
    await asyncio.to_thread(migrate, empty_database_url, old_folder, previous, own)

    database = await open_database(empty_database_url)
    try:
        version = text("SELECT version_num FROM alembic_version")
        assert await database.read(lambda c: c.execute(version).scalar()) == newest
        for table, row in rows(own.sorted_tables):
            await database.write(lambda c, t=table, r=row: c.execute(insert(t).values(r)) and None)  # type: ignore[misc]
            kept = await database.read(lambda c, t=table: c.execute(select(t)).one()._mapping)  # type: ignore[misc]
            assert {name: kept[name] for name in row} == row
    finally:
        await database.close()


@pytest.mark.parametrize("service", SERVICES)
async def test_a_later_revision_than_any_that_is_known_is_worked_on(
    empty_database_url: str, service: str
) -> None:
    """As this code will find it, once there is a next revision."""
    metadata = getattr(adapter(service, "store"), f"{service.capitalize()}Model").metadata
    await asyncio.to_thread(migrate, empty_database_url, folder_of(service), head_of(service), metadata)
    number = int(head_of(service)[:4]) + 1
    await say_version(empty_database_url, f"{number:04d}_not_yet_written")
    await asyncio.to_thread(migrate, empty_database_url, folder_of(service), head_of(service), metadata)


@pytest.mark.parametrize("found", ["0001_another_start", "0000_before", "no_number", "9999", "1975ea8b31c0"])
async def test_what_is_unknown_and_not_later_is_refused(empty_database_url: str, found: str) -> None:
    await asyncio.to_thread(migrate, empty_database_url, folder_of("status"), head_of("status"))
    await say_version(empty_database_url, found)
    with pytest.raises(SchemaError, match=found):
        await asyncio.to_thread(migrate, empty_database_url, folder_of("status"), head_of("status"))


async def test_another_rooms_database_is_refused_however_late_its_revision(empty_database_url: str) -> None:
    metadata = importlib.import_module("services.status.adapters.store").StatusModel.metadata
    await asyncio.to_thread(migrate, empty_database_url, folder_of("config"), head_of("config"))
    await say_version(empty_database_url, "0999_of_the_config_room")
    with pytest.raises(SchemaError, match="not this service's"):
        await asyncio.to_thread(migrate, empty_database_url, folder_of("status"), head_of("status"), metadata)


async def say_version(url: str, version: str) -> None:
    database = await open_database(url)
    try:
        statement = text("UPDATE alembic_version SET version_num = :version")
        await database.write(lambda c: c.execute(statement, {"version": version}) and None)
    finally:
        await database.close()

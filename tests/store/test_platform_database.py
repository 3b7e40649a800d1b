"""What `Database` promises on both databases, and how SQLite shares its commits."""

from __future__ import annotations

import asyncio
import sqlite3
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import (
    Column,
    Connection,
    MetaData,
    String,
    Table,
    delete,
    event,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.exc import DBAPIError, IntegrityError

from services.platform.database import Database, Instant, PostgresDatabase, SqliteDatabase, open_database
from services.platform.scrub import ANEW_UP_TO_BYTES, scrub
from services.platform.storage import CommitUncertainError, StorageUnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

METADATA = MetaData()
DOOR = Table(
    "door",
    METADATA,
    Column("name", String(40), primary_key=True),
    Column("note", String),
    Column("seen_at", Instant),
)


def add(name: str, note: str = "") -> Callable[[Connection], str]:
    def work(connection: Connection) -> str:
        connection.execute(insert(DOOR).values(name=name, note=note))
        return name

    return work


def count(connection: Connection) -> int:
    return connection.execute(select(func.count()).select_from(DOOR)).scalar_one()


@pytest.fixture
async def database(empty_database_url: str) -> AsyncIterator[Database]:
    opened = await open_database(empty_database_url)
    await opened.write(METADATA.create_all)
    yield opened
    await opened.close()


@pytest.fixture
def sqlite_without_zeros(monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that was built with `secure_delete` off: some systems' are, others' are not."""
    connect = sqlite3.dbapi2.connect

    def without(*args: Any, **options: Any) -> sqlite3.Connection:
        connection = connect(*args, **options)
        connection.execute("PRAGMA secure_delete=OFF")
        return connection

    monkeypatch.setattr(sqlite3.dbapi2, "connect", without)


@pytest.fixture
async def sqlite_database(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    opened = SqliteDatabase(f"sqlite:///{tmp_path}/room.sqlite3")
    await opened.write(METADATA.create_all)
    yield opened
    await opened.close()


def commits_of(database: SqliteDatabase) -> list[str]:
    """Filled with a word for every commit from now on."""
    seen: list[str] = []
    event.listen(database._engine, "commit", lambda _connection: seen.append("commit"))
    return seen


async def test_sixty_four_writers_are_all_kept(database: Database) -> None:
    answers = await asyncio.gather(*(database.write(add(f"door-{n}")) for n in range(64)))
    assert answers == [f"door-{n}" for n in range(64)]
    assert await database.read(count) == 64


async def test_a_failing_piece_of_work_undoes_itself_alone(database: Database) -> None:
    await database.write(add("taken"))

    def adds_then_clashes(connection: Connection) -> None:
        add("half")(connection)
        add("taken")(connection)

    def adds_then_raises(connection: Connection) -> None:
        add("other half")(connection)
        raise KeyError("its own")

    outcomes = await asyncio.gather(
        database.write(add("before")),
        database.write(adds_then_clashes),
        database.write(adds_then_raises),
        database.write(add("after")),
        return_exceptions=True,
    )
    assert outcomes[0] == "before"
    assert isinstance(outcomes[1], IntegrityError)
    assert isinstance(outcomes[2], KeyError)
    assert outcomes[3] == "after"
    names = await database.read(lambda c: set(c.execute(select(DOOR.c.name)).scalars()))
    assert names == {"taken", "before", "after"}


async def test_a_lone_failing_piece_of_work_leaves_nothing(database: Database) -> None:
    def work(connection: Connection) -> None:
        add("half")(connection)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await database.write(work)
    assert await database.read(count) == 0


async def test_a_wrong_statement_is_its_authors_fault(database: Database) -> None:
    wrong, right = await asyncio.gather(
        database.write(lambda c: c.execute(text("SELECT nothing FROM nowhere"))),
        database.write(add("right")),
        return_exceptions=True,
    )
    assert isinstance(wrong, DBAPIError)
    assert right == "right"


async def test_later_writes_see_earlier_ones_of_the_same_commit(database: Database) -> None:
    await asyncio.gather(*(database.write(add(str(n))) for n in range(5)))

    def rename(connection: Connection) -> int:
        return connection.execute(DOOR.update().where(DOOR.c.note == "").values(note="seen")).rowcount

    touched = await asyncio.gather(database.write(rename), database.write(rename))
    assert sorted(touched) == [0, 5]


async def test_instants_are_exact_and_utc(database: Database) -> None:
    seen = datetime(2031, 5, 6, 23, 59, 59, 999_999, tzinfo=timezone(timedelta(hours=-7)))
    before_the_epoch = datetime(1969, 12, 31, 23, 59, 59, 1, tzinfo=UTC)

    def work(connection: Connection) -> None:
        connection.execute(
            insert(DOOR), [{"name": "a", "seen_at": seen}, {"name": "b", "seen_at": before_the_epoch}]
        )

    await database.write(work)
    rows = await database.read(
        lambda c: c.execute(select(DOOR.c.seen_at).order_by(DOOR.c.name)).scalars().all()
    )
    assert rows == [seen, before_the_epoch]
    assert rows[0].utcoffset() == timedelta(0)


async def test_a_cancelled_caller_hurts_nobody(database: Database) -> None:
    leaving = asyncio.create_task(database.write(add("leaving")))
    staying = asyncio.create_task(database.write(add("staying")))
    await asyncio.sleep(0)
    leaving.cancel()
    assert await staying == "staying"
    assert await database.write(add("next")) == "next"


async def test_sqlite_shares_commits(sqlite_database: SqliteDatabase) -> None:
    commits = commits_of(sqlite_database)
    await asyncio.gather(*(sqlite_database.write(add(f"door-{n}")) for n in range(64)))
    assert 1 <= len(commits) <= 4


@pytest.mark.usefixtures("sqlite_without_zeros")
@pytest.mark.parametrize("is_small", [True, False])
async def test_nothing_of_what_was_deleted_is_left_in_sqlite_s_files(
    sqlite_database: SqliteDatabase, tmp_path: Path, is_small: bool
) -> None:
    """Deleted, replaced, or moved to another page; a large file is not written anew, and keeps next to nothing."""
    name, rows = "canary-7d41", 4_000
    file, log = tmp_path / "room.sqlite3", tmp_path / "room.sqlite3-wal"

    def left() -> int:
        return sum(each.read_bytes().count(name.encode()) for each in (file, log))

    def plant(connection: Connection) -> None:
        notes = [f"{name} {'x' * (number % 700)}" for number in range(rows)]
        connection.execute(
            insert(DOOR), [{"name": f"{n * 7919 % rows}", "note": n_} for n, n_ in enumerate(notes)]
        )

    await sqlite_database.write(plant)
    assert left() >= rows
    await sqlite_database.write(
        lambda c: c.execute(update(DOOR).where(DOOR.c.name.like("%3")).values(note="y" * 900)).rowcount
    )
    await sqlite_database.write(lambda c: c.execute(delete(DOOR).where(DOOR.c.name.not_like("%3"))).rowcount)
    await scrub(f"sqlite:///{file}", anew_up_to_bytes=ANEW_UP_TO_BYTES if is_small else 0)
    assert await sqlite_database.read(count) == rows // 10
    assert log.stat().st_size == 0
    free = await sqlite_database.read(lambda c: c.execute(text("PRAGMA freelist_count")).scalar_one())
    assert (free == 0) is is_small
    assert left() <= (0 if is_small else rows // 200)


@pytest.mark.usefixtures("sqlite_without_zeros")
async def test_sqlite_is_durable_and_checks_keys(sqlite_database: SqliteDatabase, tmp_path: Path) -> None:
    def pragma(name: str) -> Callable[[Connection], Any]:
        return lambda connection: connection.execute(text(f"PRAGMA {name}")).scalar()

    for access in (sqlite_database.read, sqlite_database.write):
        assert await access(pragma("journal_mode")) == "wal"
        assert await access(pragma("synchronous")) == 2  # FULL
        assert await access(pragma("foreign_keys")) == 1
        assert await access(pragma("secure_delete")) == 1
    # Another process sees what was answered for at once.
    await sqlite_database.write(add("answered"))
    other = sqlite3.connect(tmp_path / "room.sqlite3")
    assert other.execute("SELECT name FROM door").fetchall() == [("answered",)]
    other.close()


async def test_a_full_disk_is_told_to_all_and_passes(sqlite_database: SqliteDatabase) -> None:
    def limit(connection: Connection, pages: int) -> None:
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")

    pages = await sqlite_database.read(lambda c: c.execute(text("PRAGMA page_count")).scalar_one())
    await sqlite_database.write(lambda c: limit(c, pages + 1))
    outcomes = await asyncio.gather(
        *(sqlite_database.write(add(f"big-{n}", "x" * 4_000)) for n in range(8)), return_exceptions=True
    )
    assert {type(outcome) for outcome in outcomes} == {StorageUnavailableError}
    assert await sqlite_database.read(count) == 0
    await sqlite_database.write(lambda c: limit(c, 1_000_000))
    assert await sqlite_database.write(add("fits")) == "fits"
    assert await sqlite_database.read(count) == 1


async def test_another_process_that_writes_is_waited_for(
    sqlite_database: SqliteDatabase, tmp_path: Path
) -> None:
    other = sqlite3.connect(tmp_path / "room.sqlite3", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    waiting = asyncio.create_task(sqlite_database.write(add("patient")))
    # The loop stays free meanwhile: reads are served.
    for _ in range(20):
        await asyncio.sleep(0)
        assert await sqlite_database.read(count) == 0
    assert not waiting.done()
    other.execute("COMMIT")
    assert await waiting == "patient"
    other.close()


async def test_closing_finishes_what_was_asked_and_takes_no_more(tmp_path: Path) -> None:
    database = SqliteDatabase(f"sqlite:///{tmp_path}/room.sqlite3")
    await database.write(METADATA.create_all)
    asked = [asyncio.create_task(database.write(add(f"door-{n}"))) for n in range(300)]
    await asyncio.sleep(0)
    await database.close()
    assert len(await asyncio.gather(*asked)) == 300
    with pytest.raises(StorageUnavailableError):
        await database.write(add("late"))
    with pytest.raises(StorageUnavailableError):
        await database.read(count)


async def test_a_database_that_cannot_be_opened_answers(tmp_path: Path) -> None:
    database = SqliteDatabase(f"sqlite:///{tmp_path}/missing/room.sqlite3")
    with pytest.raises(StorageUnavailableError):
        await database.write(add("lost"))
    (tmp_path / "missing").mkdir()
    await database.write(METADATA.create_all)
    assert await database.write(add("found")) == "found"
    await database.close()


@pytest.fixture
async def two_postgres(
    request: pytest.FixtureRequest,
) -> AsyncIterator[tuple[PostgresDatabase, PostgresDatabase]]:
    url = request.getfixturevalue("postgres").new_database()
    pair = PostgresDatabase(url), PostgresDatabase(url)
    await pair[0].write(METADATA.create_all)
    yield pair
    for database in pair:
        await database.close()


KILL_OTHERS = text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


@pytest.mark.postgres
async def test_postgresql_that_drops_its_sessions_is_unavailable_once(
    two_postgres: tuple[PostgresDatabase, PostgresDatabase],
) -> None:
    database, operator = two_postgres
    await database.write(add("first"))
    await operator.read(lambda c: c.execute(KILL_OTHERS).all())
    with pytest.raises(StorageUnavailableError) as away:
        await database.write(add("second"))
    assert not isinstance(away.value, CommitUncertainError)
    assert await database.write(add("third")) == "third"
    assert await database.read(count) == 2


@pytest.mark.postgres
async def test_a_session_lost_in_its_commit_is_uncertain(
    two_postgres: tuple[PostgresDatabase, PostgresDatabase],
) -> None:
    database, operator = two_postgres
    slow_commit = text(
        """
        CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(30); RETURN NULL; END';
        """
    )
    await operator.write(lambda c: c.execute(slow_commit) and None)
    await operator.write(
        lambda c: (
            c.execute(
                text(
                    "CREATE CONSTRAINT TRIGGER late AFTER INSERT ON door"
                    " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION slow()"
                )
            )
            and None
        )
    )
    writing = asyncio.create_task(database.write(add("perhaps")))
    committing = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'")
    async with asyncio.timeout(60):
        while await operator.read(lambda c: c.execute(committing).scalar_one()) == 0:
            assert not writing.done()
    await operator.read(lambda c: c.execute(KILL_OTHERS).all())
    with pytest.raises(CommitUncertainError):
        await writing


@pytest.mark.postgres
async def test_postgresql_that_is_away_is_unavailable(unused_tcp_port: int) -> None:
    database = PostgresDatabase(f"postgresql://nobody@127.0.0.1:{unused_tcp_port}/nothing")
    with pytest.raises(StorageUnavailableError):
        await database.write(add("nowhere"))
    with pytest.raises(StorageUnavailableError):
        await database.read(count)
    await database.close()

"""A disk that is really full: under the database, under its log, under both, and empty again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

import asyncpg
import pytest
from sqlalchemy import text

from services.platform.database import PostgresDatabase
from services.platform.storage import CommitUncertainError, StorageUnavailableError
from tests.support.small_disk import small_disk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.postgres import Postgres
    from tests.support.small_disk import SmallDisk

ROOT = Path(__file__).resolve().parents[2]
SERVICE = Path(__file__).with_name("full_disk_service.py")


class FullDiskHarness:
    """The process of `full_disk_service.py`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, word: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(word + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()

    def end(self) -> int:
        assert self._process.stdin is not None
        self._process.stdin.close()
        return self._process.wait(20)


@contextmanager
def service(database: Path, log: IO[bytes] | int) -> Iterator[FullDiskHarness]:
    words = [sys.executable, str(SERVICE), f"sqlite:///{database}/room.sqlite3"]
    with subprocess.Popen(
        words,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'gen'}"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
    ) as process:
        try:
            yield FullDiskHarness(process)
        finally:
            process.kill()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "small") as mounted:
        yield mounted


@pytest.mark.parametrize("on_it", ["database", "log", "both"])
def test_writes_are_refused_while_it_is_full_and_go_on_afterwards(
    disk: SmallDisk, tmp_path: Path, on_it: str
) -> None:
    database = tmp_path if on_it == "log" else disk.folder
    log_file = (tmp_path if on_it == "database" else disk.folder) / "room.log"
    with log_file.open("ab") as log, service(database, log) as running:
        assert running.ask("write") == "kept"
        before = int(running.ask("count"))
        for _ in range(2):  # as often as it happens
            disk.fill()
            for _ in range(8):
                answer = running.ask("write")
                if on_it == "log":
                    assert answer == "kept"
                    continue
                if answer != "StorageUnavailableError":  # what was still there in its own files
                    assert answer == "kept"
            if on_it != "log":
                assert running.ask("write") == "StorageUnavailableError"
                full = int(running.ask("count"))  # reads go on
                assert full >= before
            disk.free()
            assert running.ask("write") == "kept"
            assert running.ask("count").isdecimal()
        after = int(running.ask("count"))
        assert after >= before + 8
        assert running.end() == 0
    if on_it == "database":
        assert '"event": "write_failed"' in log_file.read_text()
    if on_it == "both":
        lines = [json.loads(line) for line in log_file.read_text().splitlines() if line.startswith("{")]
        assert [line["event"] for line in lines[-2:]] == ["log_lines_lost", "room_ends"]
        assert lines[-2]["count"] >= 2


def test_a_log_that_takes_nothing_stops_no_write(tmp_path: Path) -> None:
    with Path("/dev/full").open("wb") as log, service(tmp_path, log) as running:
        assert running.ask("write") == "kept"
        assert running.end() == 0


BIG = text("INSERT INTO big SELECT repeat(md5(random()::text), 3000) FROM generate_series(1, 30)")


@pytest.fixture
def disk_of_postgres(postgres: Postgres) -> Iterator[SmallDisk]:
    """Where the server, whoever it runs as, may keep tables."""
    with tempfile.TemporaryDirectory(prefix="store-small-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with small_disk(folder / "disk") as disk:
            tables = disk.folder / "tables"
            tables.mkdir()
            os.chown(tables, postgres.owner, -1)
            yield disk


@pytest.mark.postgres
async def test_postgresql_on_a_full_disk_refuses_and_goes_on_afterwards(
    postgres: Postgres, disk_of_postgres: SmallDisk
) -> None:
    url = postgres.new_database()
    direct = await asyncpg.connect(url)
    await direct.execute(f"CREATE TABLESPACE small LOCATION '{disk_of_postgres.folder}/tables'")
    await direct.execute("CREATE TABLE big (text text) TABLESPACE small")
    database = PostgresDatabase(url)
    await database.write(lambda c: c.execute(BIG) and None)
    disk_of_postgres.fill()
    with pytest.raises(StorageUnavailableError, match="No space left") as full:
        await database.write(lambda c: [c.execute(BIG) for _ in range(20)] and None)
    assert not isinstance(full.value, CommitUncertainError)
    disk_of_postgres.free()
    await database.write(lambda c: c.execute(BIG) and None)
    assert await database.read(lambda c: c.execute(text("SELECT count(*) FROM big")).scalar_one()) == 60
    await database.close()
    await direct.execute("DROP TABLE big")
    await direct.execute("DROP TABLESPACE small")
    await direct.close()


@pytest.mark.postgres
async def test_a_commit_that_the_server_refuses_for_lack_of_space_is_not_uncertain(
    postgres: Postgres,
) -> None:
    database = PostgresDatabase(postgres.new_database())
    for statement in (
        "CREATE TABLE door (name text)",
        "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN RAISE EXCEPTION USING ERRCODE = ''53100'', MESSAGE = ''disk full''; END'",
        "CREATE CONSTRAINT TRIGGER late AFTER INSERT ON door DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION full_disk()",
    ):
        await database.write(lambda c, statement=statement: c.execute(text(statement)) and None)
    with pytest.raises(StorageUnavailableError) as full:
        await database.write(lambda c: c.execute(text("INSERT INTO door VALUES ('a')")) and None)
    assert not isinstance(full.value, CommitUncertainError)
    assert await database.read(lambda c: c.execute(text("SELECT count(*) FROM door")).scalar_one()) == 0
    await database.close()

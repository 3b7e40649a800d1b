"""One durable store per service: SQLite by default, PostgreSQL through the same functions.

A store is a set of plain functions over a SQLAlchemy `Connection`. `Database.write` runs one in a
transaction and returns after the commit is on disk; `Database.read` runs one that only reads.

SQLite allows one writer, and a commit costs a flush of the disk. So what has gathered since the last
commit shares the next one, each piece of work in a savepoint of its own: sixty-four concurrent requests
share one flush, and a lone one waits for nobody. The statements run in the event loop, because they take
tens of microseconds, while handing the interpreter's lock to a thread and back for each of them takes
longer and, beside a busy loop, can take seconds; only the flush leaves the loop.

PostgreSQL shares its flushes itself, so there each piece of work is an ordinary transaction.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import structlog
from sqlalchemy import BigInteger, Connection, create_engine, event
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.types import TypeDecorator

from services.platform.storage import CommitUncertainError, StorageUnavailableError
from services.platform.times import microseconds, moment

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from sqlalchemy import Dialect, Engine, RootTransaction

T = TypeVar("T")

MAX_SHARED = 128
_RUN_AT_ONCE = 16
"""So many pieces of work run before other tasks of the loop get their turn."""
_BUSY_MILLISECONDS = 5_000
_CONNECT_SECONDS = 5
_log = structlog.get_logger()


class Instant(TypeDecorator[datetime]):
    """A moment in UTC as whole microseconds since 1970: exact, sortable, and the same in both databases."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:  # noqa: ARG002  # the base class's signature
        """To microseconds."""
        return None if value is None else microseconds(value)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002  # the base class's signature
        """From microseconds."""
        return None if value is None else moment(int(value))


class Database(Protocol):
    """Where a service keeps its record."""

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a transaction and return its answer once the commit is durable.

        What `work` raises rolls it back and is raised here. `work` is run at most once, and neither
        waits nor blocks. A caller that is cancelled does not learn whether it was run.
        Raises StorageUnavailableError when the database is away or the commit failed.
        """

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work`, which only reads. Raises StorageUnavailableError when the database is away."""

    async def close(self) -> None:
        """Finish what has begun and let go of every connection."""


async def open_database(url: str) -> Database:
    """Open `sqlite:///<path>` or `postgresql://...`. Tables are the migrations' business."""
    if url.startswith("sqlite:"):
        return SqliteDatabase(url)
    return PostgresDatabase(url)


@dataclass(slots=True)
class _Work:
    run: Callable[[Connection], Any]
    done: asyncio.Future[Any]
    answer: Any = None
    error: Exception | None = None

    def resolve(self, failure: Exception | None = None) -> None:
        """Tell the caller, unless it has gone."""
        if self.done.done():
            return
        error = failure or self.error
        if error is None:
            self.done.set_result(self.answer)
        else:
            self.done.set_exception(error)


def _reason(error: Exception) -> str:
    """Return what the driver said, without the statement."""
    return f"{type(error).__name__}: {error.orig if isinstance(error, DBAPIError) else error}"


class SqliteDatabase:
    """SQLite in WAL mode with `synchronous=FULL`: a commit survives the loss of power.

    Made inside the event loop that uses it.
    """

    def __init__(self, url: str) -> None:
        self._engine = _sqlite_engine(url)
        self._waiting: deque[_Work] = deque()
        self._arrived = asyncio.Event()
        self._closing = False
        self._flusher = ThreadPoolExecutor(max_workers=1, thread_name_prefix="flush")
        self._connection: Connection | None = None
        self._reader: Connection | None = None
        self._writer = asyncio.create_task(self._write_until_closed())
        self._writer.add_done_callback(self._refuse_what_waits)

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a transaction and return its answer once the commit is durable.

        What `work` raises rolls it back and is raised here. `work` is run at most once, and neither
        waits nor blocks. A caller that is cancelled does not learn whether it was run.
        Raises StorageUnavailableError when the database is away or the commit failed.
        """
        self._refuse_when_closed()
        if self._writer.done():  # nobody would ever run it
            raise StorageUnavailableError("the writer has ended")
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Work(work, done))
        self._arrived.set()
        return await done

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work`, which only reads. Raises StorageUnavailableError when the database is away."""
        self._refuse_when_closed()
        try:
            connection = self._reading_connection()
            driver = _driver(connection)
            driver.execute("BEGIN")  # all that `work` reads is of one moment
            try:
                return work(connection)
            finally:
                driver.execute("ROLLBACK")
        except DBAPIError as error:
            if _sqlite_is_away(error):
                raise StorageUnavailableError(_reason(error)) from error
            raise

    async def close(self) -> None:
        """Finish what has begun and let go of every connection."""
        self._closing = True
        self._arrived.set()
        await self._writer
        for connection in (self._connection, self._reader):
            if connection is not None:
                connection.close()
        self._flusher.shutdown()
        self._engine.dispose()

    def _reading_connection(self) -> Connection:
        """Kept, because taking one from the pool costs more than most of what is read."""
        if self._reader is None or self._reader.closed or self._reader.invalidated:
            self._reader = self._engine.connect()
            self._reader.info["reader"] = True
        return self._reader

    def _refuse_when_closed(self) -> None:
        if self._closing:
            raise StorageUnavailableError("the database has been closed")

    def _refuse_what_waits(self, _writer: asyncio.Task[None]) -> None:
        """However the writer ended, none of its callers waits for ever."""
        for work in self._take(len(self._waiting)):
            work.resolve(StorageUnavailableError("the writer has ended"))

    async def _write_until_closed(self) -> None:
        while True:
            if self._waiting:
                await self._write_together()
            elif self._closing:
                return
            else:
                self._arrived.clear()
                await self._arrived.wait()

    async def _write_together(self) -> None:
        """Run what waits in one transaction and tell every caller after its commit."""
        batch: list[_Work] = []
        try:
            connection, transaction = await self._begin()
            try:
                await self._run_waiting(connection, batch)
                if any(work.error is None for work in batch):
                    await self._off_the_loop(_driver(connection).commit)
                    transaction.commit()
            finally:
                if transaction.is_active:
                    transaction.rollback()
        except Exception as error:  # noqa: BLE001  # every caller must hear of it, whatever it is
            # Before anything else that could fail: a caller that is not told waits for ever.
            failed = batch or self._take(MAX_SHARED)
            reason = _reason(error)
            for work in failed:
                work.resolve(StorageUnavailableError(reason))
            self._let_go_of_a_broken_connection()
            _log.warning("write_failed", reason=reason, pieces=len(failed))
        else:
            for work in batch:
                work.resolve()

    def _let_go_of_a_broken_connection(self) -> None:
        """One whose transaction could not be undone would refuse every later one."""
        connection = self._connection
        if connection is None or connection.closed or connection.invalidated:
            return
        if _driver(connection).in_transaction:
            self._connection = None
            with contextlib.suppress(DBAPIError):  # it is given up, whatever it says to that
                connection.invalidate()

    async def _begin(self) -> tuple[Connection, RootTransaction]:
        """Return the writing connection with a transaction begun."""
        if self._connection is None or self._connection.closed or self._connection.invalidated:
            self._connection = self._engine.connect()
            self._connection.info["writer"] = True
            _driver(self._connection).execute("PRAGMA busy_timeout=0")
        connection = self._connection
        try:
            return connection, connection.begin()
        except OperationalError as error:
            if getattr(error.orig, "sqlite_errorname", "") != "SQLITE_BUSY":
                raise
        # Another process writes; waiting for it is no work for the event loop.
        driver = _driver(connection)
        driver.execute(f"PRAGMA busy_timeout={_BUSY_MILLISECONDS}")
        try:
            return connection, await self._off_the_loop(connection.begin)
        finally:
            driver.execute("PRAGMA busy_timeout=0")

    async def _run_waiting(self, connection: Connection, batch: list[_Work]) -> None:
        """Move what waits to `batch`, running each; what arrives meanwhile may join."""
        driver = _driver(connection)
        while self._waiting and len(batch) < MAX_SHARED:
            taken = self._take(_RUN_AT_ONCE)
            batch += taken
            for work in taken:
                _run_one(connection, driver, work)
            if self._waiting:
                await asyncio.sleep(0)

    def _take(self, most: int) -> list[_Work]:
        taken = [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]
        return [work for work in taken if not work.done.done()]

    async def _off_the_loop(self, blocking: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._flusher, blocking)


def _driver(connection: Connection) -> sqlite3.Connection:
    """Return the driver's own connection: a savepoint through SQLAlchemy costs ten times as much."""
    driver: sqlite3.Connection = connection.connection.dbapi_connection  # type: ignore[assignment]  # the dialect's own
    return driver


def _run_one(connection: Connection, driver: sqlite3.Connection, work: _Work) -> None:
    """Run it; a failure of its own undoes it alone. A database that is away is everybody's failure."""
    driver.execute("SAVEPOINT work")
    try:
        work.answer = work.run(connection)
    except Exception as error:
        if isinstance(error, DBAPIError) and _sqlite_is_away(error):
            raise
        work.error = error
        driver.execute("ROLLBACK TO work")
    driver.execute("RELEASE work")


def _sqlite_is_away(error: DBAPIError) -> bool:
    """Return whether it cannot be read, is locked or full. A wrong statement is the work's own fault."""
    return (
        isinstance(error, (OperationalError, InterfaceError))
        and getattr(error.orig, "sqlite_errorname", None) != "SQLITE_ERROR"
    )


def _sqlite_engine(url: str) -> Engine:
    engine = create_engine(
        url,
        connect_args={"check_same_thread": False, "timeout": _BUSY_MILLISECONDS / 1_000},
        hide_parameters=True,  # an error's text ends in logs
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        # SQLAlchemy opens transactions itself (below); the driver's own habit would open them late.
        connection.isolation_level = None
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON"):
            connection.execute(f"PRAGMA {pragma}")  # secure_delete: see platform.scrub

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        if connection.info.get("reader"):
            return  # it begins and ends its transactions itself
        # A writer takes the write lock at once: upgrading a read later fails when another replica wrote.
        connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.info.get("writer") else "BEGIN")

    return engine


class PostgresDatabase:
    """PostgreSQL over asyncpg: each piece of work is a transaction."""

    def __init__(self, url: str) -> None:
        self._engine: AsyncEngine = create_async_engine(
            url.replace("postgresql://", "postgresql+asyncpg://", 1),
            pool_size=16,
            max_overflow=0,
            pool_timeout=5,
            connect_args={"timeout": _CONNECT_SECONDS},
            hide_parameters=True,
        )

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a transaction and return its answer once the commit is durable.

        What `work` raises rolls it back and is raised here. `work` is run at most once, and neither
        waits nor blocks. A caller that is cancelled does not learn whether it was run.
        Raises StorageUnavailableError when the database is away or the commit failed.
        """
        committing = False
        try:
            async with self._engine.connect() as connection:
                transaction = await connection.begin()
                answer = await connection.run_sync(work)
                committing = True
                await transaction.commit()
                return answer
        except (DBAPIError, PoolTimeout, OSError, TimeoutError) as error:
            if not _postgres_is_away(error):
                raise
            if committing and not _server_refused(error):
                raise CommitUncertainError(_reason(error)) from error
            raise StorageUnavailableError(_reason(error)) from error

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work`, which only reads. Raises StorageUnavailableError when the database is away."""
        try:
            async with self._engine.connect() as connection:
                return await connection.run_sync(work)
        except (DBAPIError, PoolTimeout, OSError, TimeoutError) as error:
            if not _postgres_is_away(error):
                raise
            raise StorageUnavailableError(_reason(error)) from error

    async def close(self) -> None:
        """Finish what has begun and let go of every connection."""
        await self._engine.dispose()


_AWAY_CLASSES = ("08", "53", "57", "58")
"""SQLSTATE: connection lost, out of resources, stopped by an operator, a fault of its system."""
_RETRY_STATES = ("40001", "40P01", "55P03")
"""SQLSTATE: not serializable, deadlock, lock not available: nothing was kept, and later it may work."""


_REFUSING_CLASSES = ("40", "53", "55")
"""SQLSTATE of a session that goes on: whatever the statement was, a commit too, it was undone."""


def _server_refused(error: Exception) -> bool:
    """Return whether the server itself said that it did not do it (its disk is full), as opposed to going silent."""
    state = getattr(error.orig, "sqlstate", None) or "" if isinstance(error, DBAPIError) else ""
    lost = isinstance(error, DBAPIError) and error.connection_invalidated
    return state[:2] in _REFUSING_CLASSES and not lost


def _postgres_is_away(error: Exception) -> bool:
    if not isinstance(error, DBAPIError):
        return True
    state = getattr(error.orig, "sqlstate", None) or ""
    return (
        error.connection_invalidated
        or isinstance(error, (OperationalError, InterfaceError))
        or state[:2] in _AWAY_CLASSES
        or state in _RETRY_STATES
    )

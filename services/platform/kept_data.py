"""What a table is kept for, how long, and whom it is about: one line for each table of each service.

From these lines come the job that deletes what is over (retention.py), what a person is given of theirs and what is
erased of them (subject_data.py), and the table of the page on privacy. A table without a line fails a test.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Any

from sqlalchemy import Integer, LargeBinary, delete, false, func, literal, not_, or_, select, tuple_, update
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from services.platform.mentions import mentions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sqlalchemy import ColumnElement, Connection, Row, Table

AT_ONCE = 500
"""So many rows are deleted, read or rewritten in one transaction: no request waits for more."""


class OnErasure(Enum):
    """What becomes of a person's rows when they are erased."""

    DELETED = "deleted"
    PSEUDONYMISED = "kept without their name"
    """Their name becomes a pseudonym that is made for it and forgotten; words that they chose go."""
    STAYS = "stays"
    NOT_THEIRS = "-"
    """It is about nobody."""


@dataclass(frozen=True, slots=True)
class KeptTable:
    """One table: `what` it holds and `why`, and in words how long (`until`).

    `over` says which rows' time is up at a moment; None where another job sees to that, or nothing ends them.
    `persons` are the columns that name whom a row is about, `mentions` those that name others, `words` those that hold
    what these people chose. `about` says for what no column says: whether a row is about somebody. `resource` is the
    column of the resource that a row is about.
    """

    table: Table
    what: str
    why: str
    until: str
    over: Callable[[datetime], ColumnElement[bool]] | None = None
    persons: tuple[str, ...] = ()
    mentions: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    about: Callable[[str], ColumnElement[bool]] | None = None
    message: str = ""
    """The column of a message that may name people. `about` finds those in which the name's bytes are; whether it is a
    word there is looked at then (mentions.py).
    """
    resource: str = ""
    on_erasure: OnErasure = OnErasure.NOT_THEIRS
    secret: tuple[str, ...] = ()
    """Columns that nobody is given: hashes of keys, proofs."""
    not_told: Callable[[], ColumnElement[bool]] | None = None
    """Which rows a person is not given, because they would tell them of somebody else what that one may keep secret."""

    @property
    def name(self) -> str:
        """The table's."""
        return self.table.name

    def is_about(self, row: Any, person: str) -> bool:
        """Return whether a row that `concerns` found is about them."""
        return not self.message or mentions(bytes(getattr(row, self.message)), person)

    def concerns(self, person: str) -> ColumnElement[bool] | None:
        """Return which rows are about somebody; None where none is about anybody."""
        said = [self.table.c[name] == person for name in self.persons]
        if self.about is not None:
            said.append(self.about(person))
        return or_(*said) if said else None


@dataclass(frozen=True, slots=True)
class TablePurge:
    """What a run did to a table."""

    table: str
    deleted: int
    held: int
    """Rows whose time is up, and that a legal hold keeps."""


class bytes_within(FunctionElement[int]):  # noqa: N801  # a function of SQL
    """Where bytes begin within others, from 1; 0 where they do not: instr of SQLite, position of PostgreSQL."""

    inherit_cache = True
    type = Integer()


@compiles(bytes_within, "sqlite")
def _in_sqlite(element: Any, compiler: Any, **more: Any) -> str:
    within, wanted = element.clauses
    return f"instr({compiler.process(within, **more)}, {compiler.process(wanted, **more)})"


@compiles(bytes_within, "postgresql")
def _in_postgresql(element: Any, compiler: Any, **more: Any) -> str:
    within, wanted = element.clauses
    return f"position({compiler.process(wanted, **more)} IN {compiler.process(within, **more)})"


def contains(column: ColumnElement[bytes], text: str) -> ColumnElement[bool]:
    """Return whether a column's bytes have the text in them."""
    return bytes_within(column, literal(text.encode(), LargeBinary)) > 0


def purge(
    connection: Connection, kept: KeptTable, at: datetime, spared: ColumnElement[bool]
) -> tuple[int, bool]:
    """Delete some of the rows whose time is up and that are not `spared`; how many, and whether there may be more."""
    if kept.over is None:
        return 0, False
    key = list(kept.table.primary_key)
    due = select(*key).where(kept.over(at), not_(spared)).limit(AT_ONCE)
    rows = connection.execute(due).all()
    if rows:
        connection.execute(delete(kept.table).where(_among(key, rows)))
    return len(rows), len(rows) == AT_ONCE


def count_held(connection: Connection, kept: KeptTable, at: datetime, spared: ColumnElement[bool]) -> int:
    """Return how many rows are there only because they are held."""
    if kept.over is None:
        return 0
    query = select(func.count()).select_from(kept.table).where(kept.over(at), spared)
    return int(connection.execute(query).scalar_one())


def rows_about(
    connection: Connection, kept: KeptTable, person: str, after: Sequence[Any] | None
) -> tuple[list[str], Sequence[Any] | None]:
    """Return some of a person's rows, each as a JSON object, and after which key there may be more."""
    concerns = kept.concerns(person)
    if concerns is None:
        return [], None
    key = list(kept.table.primary_key)
    query = select(kept.table).where(concerns).order_by(*key).limit(AT_ONCE)
    if after is not None:
        query = query.where(tuple_(*key) > tuple_(*after))
    if kept.not_told is not None:
        query = query.where(not_(kept.not_told()))
    rows = connection.execute(query).all()
    last = [getattr(rows[-1], column.name) for column in key] if len(rows) == AT_ONCE else None
    return [_as_json(kept, row) for row in rows if kept.is_about(row, person)], last


def erase(connection: Connection, kept: KeptTable, person: str, pseudonym: str) -> int:
    """Delete or rewrite all that is about a person, and rewrite where they are mentioned; how many rows."""
    touched = 0
    concerns = kept.concerns(person)
    if concerns is not None and kept.on_erasure is OnErasure.DELETED:
        touched += _delete_about(connection, kept, person, concerns)
    elif concerns is not None and kept.on_erasure is OnErasure.PSEUDONYMISED:
        blanked = dict.fromkeys(kept.words, pseudonym)
        for name in kept.persons:
            changed = update(kept.table).where(kept.table.c[name] == person)
            touched += connection.execute(changed.values({**blanked, name: pseudonym})).rowcount
    if kept.on_erasure is not OnErasure.STAYS:
        for name in kept.mentions:
            changed = update(kept.table).where(kept.table.c[name] == person)
            touched += connection.execute(changed.values({name: pseudonym})).rowcount
    return touched


def _delete_about(connection: Connection, kept: KeptTable, person: str, concerns: ColumnElement[bool]) -> int:
    if not kept.message:
        return connection.execute(delete(kept.table).where(concerns)).rowcount
    key = list(kept.table.primary_key)
    found = connection.execute(select(*key, kept.table.c[kept.message]).where(concerns)).all()
    theirs = [row[: len(key)] for row in found if kept.is_about(row, person)]
    for begin in range(0, len(theirs), AT_ONCE):
        connection.execute(delete(kept.table).where(_among(key, theirs[begin : begin + AT_ONCE])))
    return len(theirs)


def held_by(
    kept: KeptTable, resource: Callable[[Any], ColumnElement[bool]], person: Any
) -> ColumnElement[bool]:
    """Return which rows a hold keeps: `resource` and `person` say of a column whether a hold names its value."""
    said = [person(kept.table.c[name]) for name in (*kept.persons, *kept.mentions)]
    if kept.resource:
        said.append(resource(kept.table.c[kept.resource]))
    return or_(*said) if said else false()


def _among(key: list[Any], rows: Sequence[Sequence[Any]]) -> ColumnElement[bool]:
    if len(key) == 1:
        return key[0].in_([row[0] for row in rows])  # type: ignore[no-any-return]  # a column's
    return tuple_(*key).in_([tuple(row) for row in rows])


def _as_json(kept: KeptTable, row: Row[Any]) -> str:
    values = {
        column.name: _plain(getattr(row, column.name))
        for column in kept.table.columns
        if column.name not in kept.secret and getattr(row, column.name) is not None
    }
    return json.dumps(values, ensure_ascii=False)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if isinstance(value, bytes | memoryview):
        return base64.b64encode(bytes(value)).decode()
    return value


def lines(tables: Sequence[KeptTable]) -> Iterator[tuple[str, str, str, str, str]]:
    """Return what the page on privacy says of each: name, what, why, until, what becomes of it at an erasure."""
    for each in tables:
        yield each.name, each.what, each.why, each.until, each.on_erasure.value

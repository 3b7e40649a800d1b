"""Statements that are run for every command: compiled once, which is most of what running them costs otherwise."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy import Connection, CursorResult, Dialect
    from sqlalchemy.sql.dml import UpdateBase
    from sqlalchemy.sql.selectable import Select


class PreparedStatement:
    """One statement with always the same parameters.

    Values go to the driver as they are, and come from it so: moments are microseconds, as `Instant` stores them. A
    statement that differs between databases is given for each, by its dialect's name. `columns` are those that an
    insert names.
    """

    def __init__(
        self,
        statement: Select[Any] | UpdateBase | Mapping[str, UpdateBase],
        *columns: str,
    ) -> None:
        self._statement = statement
        self._columns = columns
        self._texts: dict[str, tuple[str, Callable[[Mapping[str, object]], tuple[object, ...]]]] = {}

    def __call__(self, connection: Connection, values: Mapping[str, object]) -> CursorResult[Any]:
        """Run it with these values, which name every parameter."""
        text, in_order = self._texts.get(connection.dialect.name) or self._compile(connection.dialect)
        return connection.exec_driver_sql(text, in_order(values))

    def for_each(self, connection: Connection, rows: Sequence[Mapping[str, object]]) -> None:
        """Run it for every row, of which there is at least one."""
        text, in_order = self._texts.get(connection.dialect.name) or self._compile(connection.dialect)
        connection.exec_driver_sql(text, list(map(in_order, rows)))

    def _compile(self, dialect: Dialect) -> tuple[str, Callable[[Mapping[str, object]], tuple[object, ...]]]:
        """Return its text, and what takes its parameters in order. Raises TypeError for a statement with a value
        in it.
        """
        chosen: Any = self._statement
        statement = chosen[dialect.name] if isinstance(chosen, dict) else chosen
        compiled = statement.compile(dialect=dialect, column_keys=list(self._columns) or None)
        if compiled.positiontup is None:
            raise TypeError(f"{dialect.name} does not number its parameters")
        if fixed := [name for name, bound in compiled.binds.items() if not bound.required]:
            raise TypeError(f"it holds values of its own: {fixed}")
        names = compiled.positiontup
        in_order = itemgetter(*names) if len(names) > 1 else _alone(*names)
        return self._texts.setdefault(dialect.name, (str(compiled), in_order))


def _alone(name: str) -> Callable[[Mapping[str, object]], tuple[object, ...]]:
    return lambda values: (values[name],)

"""How SQLite would run statements: which of them walk through a whole table."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sqlalchemy import event

if TYPE_CHECKING:
    from collections.abc import Iterator

BOUNDED = {"command_in_flight", "command_overdue", "outbox_unsent", "expectation_doubted"}
"""Indexes of what is in flight: to walk through them is to walk through that."""
_WALK = re.compile(r"SCAN (\w+)(?: USING (?:COVERING )?INDEX (\w+))?")


class Watch:
    """The statements that were run, each once."""

    def __init__(self, engine: Any) -> None:
        self.ran: dict[str, Any] = {}
        event.listen(engine, "before_cursor_execute", self._note)

    def _note(self, _c: Any, _cursor: Any, text: str, parameters: Any, _x: Any, _many: bool) -> None:
        self.ran.setdefault(text, parameters[0] if isinstance(parameters, list) else parameters)


def walks(connection: Any, ran: dict[str, Any], tables: set[str]) -> Iterator[tuple[str, str]]:
    """Each walk through one of these tables (or aliases), but for those that are bounded, with the statement."""
    for text, parameters in ran.items():
        if not text.lstrip().upper().startswith(("SELECT", "INSERT", "UPDATE", "DELETE")):
            continue
        for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", parameters):
            found = _WALK.search(row[-1])
            if found and found[1] in tables and found[2] not in BOUNDED:
                yield row[-1], text

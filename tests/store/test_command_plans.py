"""Nothing on the way of a command walks through all that ever was: what it costs does not grow with the record.

SQLite says how it would run each statement (EXPLAIN QUERY PLAN). PostgreSQL chooses by what is in the tables, so there
it would say nothing of tables that are full.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event

from protocol.domains import Domain
from services.command import usecases
from services.command.domain import Action, RightEnded, StatusCheck
from services.command.store import tables
from services.command.store.orders import SqlOrders
from services.command.vehicle_usecases import Received
from services.runtime.outbox import OutboxRelay
from tests.store.command_desk import LOCK, OWNER, UNLOCK, VIN, open_room

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.store.command_desk import Room

BOUNDED = {"command_in_flight", "command_overdue", "outbox_unsent"}
"""Indexes of what is in flight: to walk through them is to walk through that."""
_WALK = re.compile(r"SCAN (\w+)(?: USING (?:COVERING )?INDEX (\w+))?")


class Watch:
    """The statements that were run, each once."""

    def __init__(self, engine: Any) -> None:
        self.ran: dict[str, Any] = {}
        event.listen(engine, "before_cursor_execute", self._note)

    def _note(self, _c: Any, _cursor: Any, text: str, parameters: Any, _x: Any, _many: bool) -> None:
        self.ran.setdefault(text, parameters[0] if isinstance(parameters, list) else parameters)


def walks(connection: Any, ran: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Each walk through a table, but for those that are bounded, with the statement."""
    grown = set(tables.RoomModel.metadata.tables) | {"earlier"}
    for text, parameters in ran.items():
        if not text.lstrip().upper().startswith(("SELECT", "INSERT", "UPDATE", "DELETE")):
            continue
        for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", parameters):
            found = _WALK.search(row[-1])
            if found and found[1] in grown and found[2] not in BOUNDED:
                yield row[-1], text


async def a_day(room: Room) -> None:
    """Everything that happens to commands."""
    orders = SqlOrders(room.database, lambda: 1)
    first = await room.request()
    await orders.places([(VIN, Domain.COMMAND, 30_000)])
    await room.commands.wake(VIN, first.command_id, room.now)
    room.dispatch.leave()
    await room.commands.take_over([first.command_id], room.now)
    await room.report(Received("m-0", VIN, first.command_id, room.now))
    await room.commands.live(RightEnded(OWNER.subject, VIN))
    await room.request("c-2", LOCK)
    await room.report(room.succeeded(first))
    await usecases.time_out_overdue(room.desk)
    await room.commands.unanswered(room.now, room.now, 100)
    await room.commands.unreceived(VIN, room.now)
    await room.commands.in_flight(VIN)
    room.pass_seconds(60)
    await usecases.time_out_overdue(room.desk)
    await room.request("c-3", UNLOCK)
    await room.cancel("x-3", "c-3")
    check = StatusCheck("check-1", VIN, room.now, OWNER, "c-4", 0.001)
    await room.commands.add_status_checks([check], room.now)
    await room.history(limit=1)
    await room.history(action=Action.UNLOCK)
    relay = OutboxRelay(room.database, tables.outbox, "vehicle", _nobody, lambda: room.now)
    await relay._scan(room.now + timedelta(hours=1))
    relay._unmarked[first.command_id] = room.now
    await relay._mark()


async def _nobody(_messages: Any) -> list[bool | None]:
    return []


async def test_no_statement_walks_through_the_record(tmp_path: Path) -> None:
    async with open_room(f"sqlite:///{tmp_path}/room.sqlite3") as room:
        watch = Watch(room.database._real._engine)  # type: ignore[attr-defined]  # SQLite's
        await a_day(room)
        assert len(watch.ran) > 20
        found = await room.database.read(lambda connection: list(walks(connection, dict(watch.ran))))
    assert found == []


@pytest.mark.parametrize("text", ["SELECT vin FROM history", "SELECT vin FROM history WHERE recorded_at = 0"])
async def test_a_walk_is_seen(tmp_path: Path, text: str) -> None:
    async with open_room(f"sqlite:///{tmp_path}/room.sqlite3") as room:
        found = await room.database.read(lambda connection: list(walks(connection, {text: ()})))
    assert [statement for _, statement in found] == [text]

"""Nothing on the way of a command walks through all that ever was: what it costs does not grow with the record.

SQLite says how it would run each statement (EXPLAIN QUERY PLAN). PostgreSQL chooses by what is in the tables, so there
it would say nothing of tables that are full.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from protocol.domains import Domain
from services.command.adapters.store import tables
from services.command.adapters.store.orders import SqlOrders
from services.command.domain.commands import CommandAction, CommandRightEnded, StatusCheck
from services.command.domain.reports import CommandReceipt
from services.command.usecases import requests as usecases
from services.command.usecases.vehicle_reports import count_wake_up
from services.platform.outbox import OutboxRelay
from tests.store.query_plans import Watch, walks
from tests.support.command_store_harness import LOCK, OWNER, UNLOCK, VIN, open_room

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.command_store_harness import CommandStoreHarness

GROWS = {*tables.CommandModel.metadata.tables, "earlier"}


async def a_day(service: CommandStoreHarness) -> None:
    """Everything that happens to commands."""
    orders = SqlOrders(service.database, lambda: 1)
    first = await service.request()
    await orders.reserve_slots([(VIN, Domain.COMMAND, 30_000)])
    await count_wake_up(service.deps, first.command_id)
    service.dispatch.leave()
    await service.commands.take_over([first.command_id], service.now)
    await service.report(CommandReceipt("m-0", VIN, first.command_id, service.now))
    await service.commands.live(CommandRightEnded(OWNER.subject, VIN))
    await service.request("c-2", LOCK)
    await service.report(service.succeeded(first))
    await usecases.time_out_overdue(service.deps)
    await service.commands.unanswered(service.now, service.now, 100)
    await service.commands.unreceived(VIN, service.now)
    await service.commands.in_flight(VIN)
    service.pass_seconds(60)
    await usecases.time_out_overdue(service.deps)
    await service.request("c-3", UNLOCK)
    await service.cancel("x-3", "c-3")
    check = StatusCheck("check-1", VIN, service.now, OWNER, "c-4", 0.001)
    await service.commands.add_status_checks([check], service.now)
    await service.history(limit=1)
    await service.history(action=CommandAction.UNLOCK)
    relay = OutboxRelay(service.database, tables.outbox, "vehicle", _nobody, lambda: service.now)
    await relay._scan(service.now + timedelta(hours=1))
    relay._unmarked[first.command_id] = service.now
    await relay._mark()


async def _nobody(_messages: Any) -> list[bool | None]:
    return []


async def test_no_statement_walks_through_the_record(tmp_path: Path) -> None:
    async with open_room(f"sqlite:///{tmp_path}/room.sqlite3") as service:
        watch = Watch(service.database._real._engine)  # type: ignore[attr-defined]  # SQLite's
        await a_day(service)
        assert len(watch.ran) > 20
        found = await service.database.read(
            lambda connection: list(walks(connection, dict(watch.ran), GROWS))
        )
    assert found == []


@pytest.mark.parametrize("text", ["SELECT vin FROM history", "SELECT vin FROM history WHERE recorded_at = 0"])
async def test_a_walk_is_seen(tmp_path: Path, text: str) -> None:
    async with open_room(f"sqlite:///{tmp_path}/room.sqlite3") as service:
        found = await service.database.read(lambda connection: list(walks(connection, {text: ()}, GROWS)))
    assert [statement for _, statement in found] == [text]

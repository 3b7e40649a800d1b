"""The whole fleet's counts, on both databases: of which time, and how many vehicles are behind them."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import event

from services.command.adapters.store import SqlFailureCounts, SqlFleetCounts
from services.command.adapters.store.failure_counts import fleet_count
from services.command.domain.commands import DoorResult, Ending, FailureReason, Status
from services.command.domain.failures import DAY, begin_of
from services.command.domain.fleet import FleetCell, FleetOverview, FleetQuery
from services.command.domain.reports import ReportedResult
from services.command.usecases.failures import FailureDependencies, count_failures
from services.command.usecases.fleet import FleetDependencies, analyse_fleet
from tests.store.query_plans import Watch, walks
from tests.support.command_store_harness import LOCK, OWNER, VIN, CommandStoreHarness, open_room

if TYPE_CHECKING:
    from pathlib import Path

FAULT = FailureReason.ACTUATOR_FAULT
SEDANS = [VIN, "KMHSH81C7LU100001", "KMHSH81C7LU100002"]
VANS = ["KMFVN31C7LU100001", "KMFVN31C7LU100002"]
SETTLED = 31


def model_of(vin: str) -> str:
    return "Van" if vin in VANS else "Sedan"


async def end(service: CommandStoreHarness, vin: str, place: str, *, fails: bool) -> None:
    command = await service.request(f"c-{place}-{vin}", LOCK, OWNER, vin)
    doors = (
        DoorResult("driver", success=not fails, locked=not fails, failure_reason=FAULT if fails else None),
    )
    ending = (
        Ending(Status.FAILED, service.now, "No.", FAULT, door_results=doors)
        if fails
        else Ending(Status.SUCCESS, service.now, "Done.", door_results=doors)
    )
    assert await service.report(ReportedResult(f"m-{place}-{vin}", vin, command.command_id, ending)) == []


async def read(service: CommandStoreHarness, days: int = 7, model: str | None = None) -> FleetOverview:
    service.pass_seconds(SETTLED)
    counts = SqlFailureCounts(service.database)
    await count_failures(FailureDependencies(counts, model_of, 2, lambda: service.now))
    deps = FleetDependencies(SqlFleetCounts(service.database), 2, lambda: service.now)
    return await analyse_fleet(deps, FleetQuery(service.now, timedelta(days=days), model))


async def test_causes_doors_models_and_days_of_enough_vehicles(service: CommandStoreHarness) -> None:
    for vin in (*SEDANS, *VANS):
        await end(service, vin, "1", fails=False)
    for vin in (SEDANS[0], SEDANS[1], VANS[0]):
        await end(service, vin, "2", fails=True)
    overview = await read(service)
    assert overview.totals is not None
    assert (overview.totals.commands, overview.totals.failures, overview.totals.before) == (8, 3, None)
    assert [(each.reason, each.failures) for each in overview.causes] == [(FAULT, 3)]
    assert [(each.name, each.failures) for each in overview.doors] == [("driver", 3)]
    assert [(each.name, each.commands, each.reasons) for each in overview.models] == [
        ("Sedan", 5, ((FAULT, 2),)),
        ("Van", 3, ()),  # one van alone had it
    ]
    (today,) = overview.parts
    assert (today.commands, today.failures) == (8, 3)
    assert FleetCell("Van", FAULT) not in dict(overview.rows)
    van = await read(service, model="Van")
    assert van.totals is not None
    assert (van.totals.commands, van.other_failures, van.causes) == (3, 1, ())
    assert [(each.commands, each.failures) for each in van.parts] == [(3, 1)]


async def test_what_was_before_is_compared_and_not_added(service: CommandStoreHarness) -> None:
    for vin in SEDANS:
        await end(service, vin, "1", fails=True)
    service.pass_seconds(8 * 86_400)
    assert (await read(service)).totals is None
    for vin in SEDANS:
        await end(service, vin, "2", fails=False)
    overview = await read(service)
    assert overview.totals is not None
    assert (overview.totals.commands, overview.totals.failures, overview.totals.before) == (3, 0, 1.0)
    assert len((await read(service, days=30)).causes) == 1


async def test_it_walks_through_no_whole_table_of_vehicles(tmp_path: Path) -> None:
    async with open_room(f"sqlite:///{tmp_path}/room.sqlite3") as service:
        await end(service, VIN, "1", fails=True)
        watch = Watch(service.database._real._engine)  # type: ignore[attr-defined]  # SQLite's
        await read(service)
        assert any("failure_count.vin" in text for text in watch.ran)
        found = await service.database.read(
            lambda connection: list(walks(connection, dict(watch.ran), {"failure_count"}))
        )
    assert found == []


async def test_others_have_their_turn_however_many_counts_there_are(tmp_path: Path) -> None:
    models = 60
    async with open_room(f"sqlite:///{tmp_path}/room.sqlite3") as service:
        today = begin_of(service.now, DAY)
        rows = [
            {"model": f"M{n}", "day": today, "reason": "", "door": "", "requests": 1} for n in range(models)
        ]
        await service.database.write(lambda connection: connection.execute(fleet_count.insert(), rows))
        statements = 0

        def note(*_: Any) -> None:
            nonlocal statements
            statements += 1

        event.listen(service.database._real._engine, "before_cursor_execute", note)  # type: ignore[attr-defined]
        query = FleetQuery(service.now, timedelta(days=7))
        reading = asyncio.ensure_future(SqlFleetCounts(service.database).of_fleet(query, 2))
        most = before = 0
        while not reading.done():
            await asyncio.sleep(0)
            most, before = max(most, statements - before), statements
        assert len((await reading).now.requests) == models
        assert statements > models
    assert most < models / 2


async def test_one_vehicle_is_found_nowhere_however_often_it_fails(service: CommandStoreHarness) -> None:
    for vin in SEDANS:
        await end(service, vin, "0", fails=False)
    for place in range(1, 6):
        await end(service, VANS[0], str(place), fails=True)
    overview = await read(service)
    assert (overview.causes, overview.doors, overview.rows) == ((), (), ())
    assert [each.name for each in overview.models] == ["other"]  # all of them together
    assert overview.totals is not None
    assert overview.other_failures == overview.totals.failures == 5
    assert (await read(service, model="Van")).totals is None
    assert (await read(service, model="Sedan")).totals is None  # else the van would be what is missing

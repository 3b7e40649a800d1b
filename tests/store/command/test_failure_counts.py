"""The counts of failures, on both databases: once each, of whom they are, and of the fleet without anybody."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import delete, update

from services.command.adapters.store import SqlFailureCounts, tables
from services.command.adapters.store.failure_counts import failure_count, fleet_count
from services.command.domain.commands import (
    AdvisoryState,
    DoorResult,
    Ending,
    FailureReason,
    Requester,
    Status,
)
from services.command.domain.failures import FailureQuery
from services.command.domain.refusals import CommandForbiddenError
from services.command.domain.reports import ReportedResult
from services.command.usecases import requests as usecases
from services.command.usecases.failures import FailureDependencies, analyse, count_failures
from services.command.usecases.history import RefusedRequests
from tests.support.command_store_harness import LOCK, OTHER, OWNER, UNLOCK, VIN, CommandStoreHarness

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from services.command.domain.failures import FailureAnalysis

FAULT = FailureReason.ACTUATOR_FAULT
GUEST = Requester("user-9", "user-9", "MOBILE_APP")
_SETTLED = 31


def deps_of(service: CommandStoreHarness, minimum_vehicles: int = 2) -> FailureDependencies:
    counts = SqlFailureCounts(service.database)
    return FailureDependencies(counts, lambda _: "SEDAN", minimum_vehicles, lambda: service.now)


async def read(
    service: CommandStoreHarness, vin: str = VIN, *, count: bool = True, **whose: str
) -> FailureAnalysis:
    """What is told once everything is counted that has settled."""
    deps = deps_of(service)
    if count:
        service.pass_seconds(_SETTLED)
        await count_failures(deps)
    since = datetime(2025, 1, 1, tzinfo=UTC)
    return await analyse(deps, FailureQuery(vin, service.now, timedelta(days=1), since, **whose))


async def fail(
    service: CommandStoreHarness, correlation_id: str, who: Requester = OWNER, vin: str = VIN
) -> None:
    command = await service.request(correlation_id, LOCK, who, vin)
    doors = (DoorResult("driver", success=False, locked=False, failure_reason=FAULT),)
    ending = Ending(Status.FAILED, service.now, "No.", FAULT, door_results=doors)
    rejected = await service.report(ReportedResult(f"m-{correlation_id}", vin, command.command_id, ending))
    assert rejected == []


async def test_what_ended_is_counted_once_however_often_and_by_how_many(service: CommandStoreHarness) -> None:
    await fail(service, "c-1")
    command = await service.request("c-2", UNLOCK)
    await service.report(service.succeeded(command))
    service.pass_seconds(_SETTLED)
    deps = deps_of(service)
    await asyncio.gather(*(count_failures(deps) for _ in range(4)))
    found = await read(service)
    assert (found.commands, found.failures) == (2, 1)
    assert [(each.reason, each.doors) for each in found.causes] == [(FAULT, (("driver", 1),))]
    assert found.counted_until >= command.accepted_at


async def test_a_command_on_its_way_is_counted_when_it_has_ended(service: CommandStoreHarness) -> None:
    await service.request("c-1", UNLOCK)
    assert (await read(service)).commands == 0
    service.pass_seconds(60)

    await usecases.time_out_overdue(service.deps)
    found = await read(service)
    assert [(each.reason, each.failures) for each in found.causes] == [(FailureReason.TTL_EXPIRED, 1)]


async def test_what_was_refused_at_once_is_counted_once(service: CommandStoreHarness) -> None:
    service.advisory_states[VIN] = AdvisoryState(service.now, open_doors=frozenset({"driver"}))
    refused = RefusedRequests(service.commands, lambda: service.now)
    for _ in range(2):
        with (
            pytest.raises(CommandForbiddenError),
            refused.noting(OWNER, VIN, LOCK.action, "c-1", LOCK.target_doors),
        ):
            await service.request("c-1", LOCK)
        await refused.flush()
    found = await read(service)
    assert [(each.reason, each.failures) for each in found.causes] == [(FailureReason.DOOR_OPEN, 1)]


async def test_each_sees_their_own_and_who_asks_for_one_car_sees_no_other(
    service: CommandStoreHarness,
) -> None:
    await fail(service, "c-1")
    await fail(service, "c-2", GUEST)
    await fail(service, "c-3", vin=OTHER)
    assert (await read(service)).failures == 2
    assert (await read(service, of_subject="user-9")).failures == 1
    assert (await read(service, OTHER)).failures == 1


async def test_who_does_not_consent_to_the_history_is_not_counted(service: CommandStoreHarness) -> None:
    await fail(service, "c-1", Requester("user-123", "user-123", "MOBILE_APP", recorded=False))
    assert (await read(service)).commands == 0
    assert await service.count(fleet_count) == 0


async def test_the_fleet_is_compared_with_where_others_had_the_same(service: CommandStoreHarness) -> None:
    vins = [VIN, "KMHSH81C7LU100001", "KMHSH81C7LU100002"]
    for place, vin in enumerate(vins[:2]):
        await fail(service, f"c-{place}", vin=vin)
    assert (await read(service)).fleet is None  # one other vehicle
    command = await service.request("c-9", UNLOCK, vin=vins[2])
    await service.report(_as_of(service, command, vins[2]))
    fleet = (await read(service)).fleet
    assert fleet is not None  # two others, but one of them alone had a fault
    assert (fleet.commands, fleet.total_failures, dict(fleet.failures)) == (3, 2, {})
    await fail(service, "c-3", vin=vins[2])
    fleet = (await read(service)).fleet
    assert fleet is not None
    assert dict(fleet.failures) == {FAULT: 2 + 1}


def _as_of(service: CommandStoreHarness, command: object, vin: str) -> ReportedResult:
    doors = (DoorResult("driver", success=True, locked=False),)
    ending = Ending(Status.SUCCESS, service.now, "Done.", door_results=doors)
    return ReportedResult("m-9", vin, command.command_id, ending)  # type: ignore[attr-defined]


async def test_counts_go_with_the_history(service: CommandStoreHarness) -> None:
    await fail(service, "c-1")
    await read(service)
    service.now += timedelta(days=91)
    await service.purge()
    assert await service.count(failure_count) == 0
    assert await service.count(fleet_count) > 0
    service.now += timedelta(days=400)
    await service.purge()
    assert await service.count(fleet_count) == 0


async def test_whoever_ends_a_command_counts_nothing_with_it(service: CommandStoreHarness) -> None:
    await fail(service, "c-1")
    assert await service.count(failure_count) == 0
    assert await service.count(tables.history) == 1


@pytest.mark.parametrize("later", [1, 3, 5])
async def test_rows_that_are_numbered_from_the_begin_again_are_counted(
    service: CommandStoreHarness, later: int
) -> None:
    for number in range(3):
        await fail(service, f"c-{number}")
    assert (await read(service)).commands == 3
    # As retention does when all of it is old.
    await service.database.write(lambda connection: connection.execute(delete(tables.audit)).rowcount)
    for number in range(later):
        service.pass_seconds(1)
        await fail(service, f"d-{number}")
    assert (await read(service)).commands == 3 + later
    assert (await read(service)).commands == 3 + later


async def test_what_a_newer_replica_wrote_is_counted_as_far_as_it_is_known(
    service: CommandStoreHarness,
) -> None:
    await fail(service, "c-1")
    await fail(service, "c-2")
    await fail(service, "c-3")

    def work(connection: Connection) -> None:
        history = update(tables.history).where(tables.history.c.correlation_id == "c-1")
        connection.execute(history.values(failure_reason="NEWER_REASON"))
        commands = update(tables.command).where(tables.command.c.correlation_id == "c-1")
        connection.execute(commands.values(door_results='[["driver", false, false, "NEWER_REASON"]]'))
        history = update(tables.history).where(tables.history.c.correlation_id == "c-3")
        connection.execute(history.values(action="NEWER_ACTION"))

    await service.database.write(work)
    found = await read(service)
    assert (found.commands, found.failures) == (2, 2)
    assert {each.reason: each.doors for each in found.causes} == {
        FAULT: (("driver", 1),),
        FailureReason.INTERRUPTED: (("driver", 1),),
    }


async def test_counts_of_a_newer_replica_are_shown_as_far_as_they_are_known(
    service: CommandStoreHarness,
) -> None:
    for number in range(3):
        await fail(service, f"c-{number}")
        await fail(service, f"d-{number}", vin=f"KMHSH81C7LU65432{number}")
    await read(service)

    def work(connection: Connection) -> None:
        for table in (failure_count, fleet_count):
            connection.execute(
                update(table).where(table.c.reason == FAULT.value).values(reason="NEWER_REASON")
            )

    await service.database.write(work)
    found = await read(service)
    assert [each.reason for each in found.causes] == [FailureReason.INTERRUPTED]
    assert found.failures == 3

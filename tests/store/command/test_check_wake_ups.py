"""Wake-ups for self-checks: within the budget of a vehicle, which commands share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.command.adapters.store import tables
from services.command.usecases.vehicle_reports import count_check_wake_up, count_wake_up
from tests.support.command_store_harness import OTHER, VIN

if TYPE_CHECKING:
    from tests.support.command_store_harness import CommandStoreHarness


async def test_checks_wake_a_vehicle_within_its_budget(service: CommandStoreHarness) -> None:
    woken = 0
    for _ in range(60):
        woken += await count_check_wake_up(service.deps, VIN)
        service.pass_seconds(60)
    assert woken == 4
    assert await service.count(tables.wake_up, tables.wake_up.c.subject == "") == 4
    assert await count_check_wake_up(service.deps, OTHER)


async def test_the_owner_s_command_wakes_a_vehicle_that_was_woken_for_checks(
    service: CommandStoreHarness,
) -> None:
    for _ in range(4):
        assert await count_check_wake_up(service.deps, VIN)
        service.pass_seconds(60)
    assert not await count_check_wake_up(service.deps, VIN)
    command = await service.request()
    assert await count_wake_up(service.deps, command.command_id)

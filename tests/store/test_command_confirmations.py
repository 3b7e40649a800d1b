"""What the status service says a vehicle's next report showed, on the command it is about; on both databases."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from services.command.domain.commands import Confirmation, Ending, FailureReason, ObservedOutcome, Status
from services.command.domain.reports import ReportedResult
from services.command.usecases.vehicle_reports import record_outcomes
from tests.support.command_store_harness import OTHER, VIN, CommandStoreHarness, open_room

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest_asyncio.fixture
async def service(database_url: str) -> AsyncIterator[CommandStoreHarness]:
    async with open_room(database_url) as opened:
        yield opened


@pytest.mark.parametrize("first", ["result", "word"])
async def test_what_the_next_report_showed_is_kept_whichever_comes_first(
    service: CommandStoreHarness, first: str
) -> None:
    command = await service.request()
    shown = Confirmation(True, service.now, (("driver", False),))
    if first == "word":
        await record_outcomes(service.deps, [ObservedOutcome(VIN, command.command_id, shown)])
    await service.report(service.succeeded(command))
    if first == "result":
        await record_outcomes(service.deps, [ObservedOutcome(VIN, command.command_id, shown)])
    await record_outcomes(
        service.deps, [ObservedOutcome(VIN, command.command_id, replace(shown, confirmed=False))]
    )
    found = await service.find(command)
    assert (found.status, found.confirmation) == (Status.SUCCESS, shown)


async def test_what_a_report_showed_says_nothing_about_a_command_that_failed(
    service: CommandStoreHarness,
) -> None:
    command = await service.request()
    failed = Ending(Status.FAILED, service.now, "No.", FailureReason.ENGINE_ON)
    await service.report(ReportedResult("m-1", VIN, command.command_id, failed))
    await record_outcomes(
        service.deps, [ObservedOutcome(VIN, command.command_id, Confirmation(True, service.now, ()))]
    )
    assert (await service.find(command)).confirmation is None


async def test_no_vehicle_speaks_of_anothers_command(service: CommandStoreHarness) -> None:
    command = await service.request()
    await service.report(service.succeeded(command))
    shown = Confirmation(True, service.now, (("driver", False),))
    await record_outcomes(service.deps, [ObservedOutcome(OTHER, command.command_id, shown)])
    assert (await service.find(command)).confirmation is None

"""What the status room says a vehicle's next report showed, on the command it is about; on both databases."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from services.command.domain import Confirmation, Ending, FailureReason, ObservedOutcome, Status
from services.command.vehicle_usecases import ReportedResult
from tests.support.command_store_harness import OTHER, VIN, CommandStoreHarness, open_room

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest_asyncio.fixture
async def room(database_url: str) -> AsyncIterator[CommandStoreHarness]:
    async with open_room(database_url) as opened:
        yield opened


@pytest.mark.parametrize("first", ["result", "word"])
async def test_what_the_next_report_showed_is_kept_whichever_comes_first(
    room: CommandStoreHarness, first: str
) -> None:
    command = await room.request()
    shown = Confirmation(True, room.now, (("driver", False),))
    if first == "word":
        await room.commands.confirm([ObservedOutcome(VIN, command.command_id, shown)], room.now)
    await room.report(room.succeeded(command))
    if first == "result":
        await room.commands.confirm([ObservedOutcome(VIN, command.command_id, shown)], room.now)
    await room.commands.confirm(
        [ObservedOutcome(VIN, command.command_id, replace(shown, confirmed=False))], room.now
    )
    found = await room.find(command)
    assert (found.status, found.confirmation) == (Status.SUCCESS, shown)


async def test_what_a_report_showed_says_nothing_about_a_command_that_failed(
    room: CommandStoreHarness,
) -> None:
    command = await room.request()
    failed = Ending(Status.FAILED, room.now, "No.", FailureReason.ENGINE_ON)
    await room.report(ReportedResult("m-1", VIN, command.command_id, failed))
    await room.commands.confirm(
        [ObservedOutcome(VIN, command.command_id, Confirmation(True, room.now, ()))], room.now
    )
    assert (await room.find(command)).confirmation is None


async def test_no_vehicle_speaks_of_anothers_command(room: CommandStoreHarness) -> None:
    command = await room.request()
    await room.report(room.succeeded(command))
    shown = Confirmation(True, room.now, (("driver", False),))
    await room.commands.confirm([ObservedOutcome(OTHER, command.command_id, shown)], room.now)
    assert (await room.find(command)).confirmation is None

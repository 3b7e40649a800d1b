"""What is said of a command is what is known: of one that came too late, of a late success, of doors that stand."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from services.command.adapters.store import tables
from services.command.domain.commands import (
    CommandAction,
    DoorAction,
    DoorResult,
    Ending,
    FailureReason,
    Mode,
    Status,
)
from services.command.domain.endings import arrived_too_late
from services.command.domain.history import HistoryQuery
from services.command.domain.reports import OrderRefusal, ReportedResult
from services.command.usecases import requests as usecases
from services.command.usecases.history import list_history
from services.command.usecases.vehicle_reports import ingest_messages
from services.telematics.signing_again import SigningAgain
from tests.support.command_store_harness import LOCK, OTHER, VIN, CommandStoreHarness, admitted, open_room

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from services.command.domain.commands import Command, HistoryEntry


@pytest_asyncio.fixture
async def service(database_url: str) -> AsyncIterator[CommandStoreHarness]:
    async with open_room(database_url) as opened:
        yield opened


async def timed_out(service: CommandStoreHarness) -> Command:
    command = await service.request()
    service.dispatch.leave()
    service.pass_seconds(31)
    await usecases.time_out_overdue(service.deps)
    found = (await service.find(command)).ending
    assert found
    assert (found.status, found.may_have_succeeded) == (Status.TIMEOUT, True)
    return command


def expired(service: CommandStoreHarness, command: Command) -> OrderRefusal:
    return OrderRefusal(
        "m-1", VIN, command.command_id, command.command_id, "EXPIRED", again=True, at=service.now
    )


async def may_have_succeeded(service: CommandStoreHarness, command: Command) -> bool | None:
    found = (await service.find(command)).ending
    assert found
    assert (found.status, found.failure_reason) == (Status.TIMEOUT, FailureReason.TTL_EXPIRED)
    return found.may_have_succeeded


async def listed(service: CommandStoreHarness) -> list[HistoryEntry]:
    page = await list_history(service.deps, VIN, HistoryQuery(service.now, timedelta(hours=24), 50))
    return list(page.entries)


async def test_a_signed_refusal_as_expired_proves_that_nothing_moved(service: CommandStoreHarness) -> None:
    command = await timed_out(service)
    assert await service.report(expired(service, command)) == []
    assert await may_have_succeeded(service, command) is False
    assert await service.count(tables.audit, tables.audit.c.event == "COMMAND_DID_NOT_ACT") == 1
    # Also when it is known before the sweep comes.
    sooner = await service.request("c-2")
    service.dispatch.leave()
    service.pass_seconds(30)
    assert await service.report(replace(expired(service, sooner), message_id="m-2")) == []
    assert await may_have_succeeded(service, sooner) is False


async def test_one_that_is_alive_is_signed_again_and_proves_nothing(service: CommandStoreHarness) -> None:
    command = await service.request()
    service.dispatch.leave()
    service.pass_seconds(29)
    assert await service.report(expired(service, command)) == []
    assert service.dispatch.restored == [command.command_id]
    service.pass_seconds(1)
    other = replace(expired(service, command), message_id="m-2", fault="WRONG_EPOCH")
    assert await service.report(other) == []
    await usecases.time_out_overdue(service.deps)
    assert await may_have_succeeded(service, command) is True


async def test_a_late_result_that_says_that_nothing_moved_is_believed(service: CommandStoreHarness) -> None:
    command = await timed_out(service)
    assert (
        await service.report(ReportedResult("m-1", VIN, command.command_id, arrived_too_late(service.now)))
        == []
    )
    assert await may_have_succeeded(service, command) is False


async def test_a_late_success_is_in_the_history(service: CommandStoreHarness) -> None:
    command = await timed_out(service)
    assert (await listed(service))[0].late_result is None
    assert await service.report(service.succeeded(command)) == []
    [entry] = await listed(service)
    assert (entry.status, entry.late_result) == (Status.TIMEOUT, (await service.find(command)).late_result)
    assert entry.late_result
    assert entry.late_result.status is Status.SUCCESS
    assert await may_have_succeeded(service, command) is True


@pytest.mark.parametrize("action", [CommandAction.LOCK, CommandAction.UNLOCK])
@pytest.mark.parametrize(
    ("stands", "reason"),
    [
        ((False,), FailureReason.ACTUATOR_FAULT),
        ((True, False), FailureReason.PARTIAL_SUCCESS),
        ((True, True), None),
    ],
)
async def test_done_is_what_stands_as_asked(
    service: CommandStoreHarness,
    action: CommandAction,
    stands: tuple[bool, ...],
    reason: FailureReason | None,
) -> None:
    names = ("driver", "trunk")[: len(stands)]
    command = await service.request(order=DoorAction(action, names, Mode.NORMAL))
    doors = tuple(
        DoorResult(door, success=True, locked=(action is CommandAction.LOCK) is right)
        for door, right in zip(names, stands, strict=True)
    )
    said = Ending(Status.SUCCESS, service.now, "Done.", door_results=doors)
    assert await service.report(ReportedResult("m-1", VIN, command.command_id, said)) == []
    found = (await service.find(command)).ending
    assert found
    assert (found.status, found.failure_reason) == (Status.FAILED if reason else Status.SUCCESS, reason)
    assert tuple(door.success for door in found.door_results) == stands
    assert (found.guidance is None) is (reason is None)


async def test_so_it_is_with_a_late_one(service: CommandStoreHarness) -> None:
    command = await service.request(order=LOCK)
    service.dispatch.leave()
    service.pass_seconds(31)
    await usecases.time_out_overdue(service.deps)
    said = Ending(
        Status.SUCCESS, service.now, "Done.", door_results=(DoorResult("driver", success=True, locked=False),)
    )
    assert await service.report(ReportedResult("m-1", VIN, command.command_id, said)) == []
    late = (await service.find(command)).late_result
    assert late
    assert (late.status, late.failure_reason) == (Status.FAILED, FailureReason.ACTUATOR_FAULT)


async def test_a_vehicle_that_refuses_every_copy_is_sent_few_and_the_others_theirs(
    service: CommandStoreHarness,
) -> None:
    command = await service.request()
    service.dispatch.leave()
    refused = replace(expired(service, command), fault="WRONG_EPOCH")
    deps = replace(service.deps, again=SigningAgain(lambda: 0.0))
    for number in range(50):
        await ingest_messages(deps, admitted(replace(refused, message_id=f"m-{number}")))
    assert service.dispatch.restored == [command.command_id]
    other = await service.request("c-2", vin=OTHER)
    theirs = replace(refused, vin=OTHER, command_id=other.command_id, order_id=other.command_id)
    await ingest_messages(deps, admitted(theirs))
    assert service.dispatch.restored == [command.command_id, other.command_id]

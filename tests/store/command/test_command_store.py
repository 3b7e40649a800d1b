"""Commands as they are kept: one answer to one request, and one end."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from services.command.adapters import store
from services.command.adapters.store import tables
from services.command.domain.commands import (
    AdvisoryState,
    Command,
    CommandAction,
    DoorAction,
    DoorResult,
    Ending,
    FailureReason,
    Mode,
    Status,
)
from services.command.domain.refusals import (
    CommandForbiddenError,
    CommandInProgressError,
    CorrelationIdReusedError,
)
from services.command.domain.reports import CancellationDecision, CommandReceipt, ReportedResult
from services.command.usecases import requests as usecases
from services.command.usecases.vehicle_reports import wake_the_silent
from services.platform.storage import StorageUnavailableError
from tests.support.command_store_harness import (
    AGENT,
    LOCK,
    OTHER,
    OWNER,
    UNLOCK,
    VIN,
    CommandStoreHarness,
)

if TYPE_CHECKING:
    from sqlalchemy import Connection


async def test_the_migrated_tables_are_the_ones_the_code_uses(service: CommandStoreHarness) -> None:
    def differences(connection: Connection) -> list[Any]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        found = compare_metadata(context, store.CommandModel.metadata)
        return [each for each in found if "alembic_version" not in str(each)]

    assert await service.database.read(differences) == []


async def test_the_same_request_has_one_answer_also_after_its_end(service: CommandStoreHarness) -> None:
    first = await service.request()
    assert (await service.request()).command_id == first.command_id
    await service.report(CommandReceipt("m-0", VIN, first.command_id, service.now), service.succeeded(first))
    again = await service.request()
    assert (again.command_id, again.status, again.ending) == (first.command_id, Status.PENDING, None)


async def test_another_body_under_the_same_id_is_refused_and_changes_nothing(
    service: CommandStoreHarness,
) -> None:
    await service.request()
    with pytest.raises(CorrelationIdReusedError):
        await service.request(order=DoorAction(CommandAction.UNLOCK, ("driver",), Mode.NORMAL))
    assert await service.count(tables.command) == 1


async def test_two_agents_who_act_for_one_customer_make_one_command(service: CommandStoreHarness) -> None:
    agents = [replace(AGENT, principal=f"agent-{n}") for n in range(8)]
    commands = await asyncio.gather(*(service.request(who=who) for who in (OWNER, *agents)))
    assert len({command.command_id for command in commands}) == 1
    answers = await asyncio.gather(*(service.cancel(who=who) for who in agents))
    assert len({answer.command_id for answer in answers}) == 1
    assert await service.count(tables.cancellation) == 1


async def test_another_customer_operation_and_vehicle_have_their_own_ids(
    service: CommandStoreHarness,
) -> None:
    first = await service.request()
    await service.report(service.succeeded(first))
    second = await service.request(who=replace(AGENT, subject="user-456"))
    await service.report(service.succeeded(second, "m-2"))
    third = await service.request(order=LOCK)
    fourth = await service.request(vin=OTHER)
    assert len({first.command_id, second.command_id, third.command_id, fourth.command_id}) == 4


async def test_an_id_is_free_again_after_a_day(service: CommandStoreHarness) -> None:
    first = await service.request()
    await service.report(service.succeeded(first))
    service.pass_seconds(24 * 3600)
    assert (await service.request()).command_id == first.command_id
    service.pass_seconds(1)
    assert (await service.request(order=UNLOCK)).command_id != first.command_id


async def test_twenty_identical_requests_at_once_are_one_command(service: CommandStoreHarness) -> None:
    commands = await asyncio.gather(*(service.request() for _ in range(20)))
    assert len({command.command_id for command in commands}) == 1
    for table in (tables.command, tables.history, tables.audit):
        assert await service.count(table) == 1
    assert await service.count(tables.outbox.table) == 2


async def test_of_twenty_different_requests_at_once_one_is_taken_and_named_to_the_rest(
    service: CommandStoreHarness,
) -> None:
    answers = await asyncio.gather(*(service.request(f"c-{n}") for n in range(20)), return_exceptions=True)
    taken = [a for a in answers if isinstance(a, Command)]
    refused = [a for a in answers if isinstance(a, CommandInProgressError)]
    assert (len(taken), len(refused)) == (1, 19)
    assert {refusal.command_id for refusal in refused} == {taken[0].command_id}


async def test_a_condition_refuses_but_not_what_was_accepted_before(service: CommandStoreHarness) -> None:
    first = await service.request()
    service.advisory_states[VIN] = AdvisoryState(service.now, speed_kmh=3)
    assert (await service.request()).command_id == first.command_id
    with pytest.raises(CommandForbiddenError):
        await service.request("c-2")
    service.pass_seconds(16)
    with pytest.raises(CommandInProgressError):
        await service.request("c-2")


async def test_received_then_result_and_result_then_received_end_alike(service: CommandStoreHarness) -> None:
    first = await service.request()
    received = CommandReceipt("m-1", VIN, first.command_id, service.now)
    assert await service.report(received) == []
    assert (await service.find(first)).status is Status.IN_PROGRESS
    assert await service.report(service.succeeded(first, "m-2")) == []
    second = await service.request("c-2")
    late = CommandReceipt("m-3", VIN, second.command_id, service.now)
    assert await service.report(service.succeeded(second, "m-4"), late) == []
    for command in (first, second):
        found = await service.find(command)
        assert (found.status, found.received_at) == (Status.SUCCESS, service.now)


async def test_a_result_that_comes_twice_or_differs_changes_nothing(service: CommandStoreHarness) -> None:
    command = await service.request()
    await service.report(service.succeeded(command))
    failed = Ending(Status.FAILED, service.now, "No.", FailureReason.ENGINE_ON)
    assert (
        await service.report(
            service.succeeded(command), ReportedResult("m-2", VIN, command.command_id, failed)
        )
        == []
    )
    assert (await service.find(command)).status is Status.SUCCESS
    assert await service.count(tables.audit) == 2


async def test_what_can_not_be_is_not_believed(service: CommandStoreHarness) -> None:
    command = await service.request(order=DoorAction(CommandAction.UNLOCK, ("driver", "trunk"), Mode.NORMAL))
    good = service.succeeded(command)
    lacking = replace(good, ending=replace(good.ending, door_results=good.ending.door_results[:1]))
    strange = (*good.ending.door_results, DoorResult("rearLeft", success=True, locked=False))
    assert await service.report(
        replace(good, vin=OTHER),
        replace(good, message_id="m-2", command_id="cmd-unknown"),
        replace(lacking, message_id="m-3"),
        replace(good, message_id="m-5", ending=replace(good.ending, door_results=strange)),
        CancellationDecision(
            "m-6", VIN, command.command_id, "cancel-no", service.now, too_late=True, ending=None
        ),
    ) == [
        "about another vehicle's command",
        "about a command that was never given",
        "a success that leaves out a door",
        "about doors that were not asked for",
        "about a cancellation that was never asked for",
    ]
    assert (await service.find(command)).status is Status.PENDING
    assert await service.report(good) == []


async def test_a_command_without_result_times_out_and_its_late_result_is_kept_once(
    service: CommandStoreHarness,
) -> None:
    command = await service.request()
    service.dispatch.leave()
    service.pass_seconds(29.9)
    assert await usecases.time_out_overdue(service.deps) == 0
    service.pass_seconds(0.1)
    await usecases.time_out_overdue(service.deps)
    timed_out = await service.find(command)
    assert timed_out.ending is not None
    assert (timed_out.status, timed_out.ending.may_have_succeeded) == (Status.TIMEOUT, True)
    await service.report(service.succeeded(command), service.succeeded(command, "m-2"))
    late = await service.find(command)
    assert (late.status, late.ending) == (Status.TIMEOUT, timed_out.ending)
    assert late.late_result is not None
    assert late.late_result.status is Status.SUCCESS
    announced = tables.outbox.table.c.message_id == f"{command.command_id}:late"
    assert await service.count(tables.outbox.table, announced) == 1


async def test_what_never_left_timed_out_for_sure(service: CommandStoreHarness) -> None:
    command = await service.request()
    service.pass_seconds(30)
    await usecases.time_out_overdue(service.deps)
    ended = await service.find(command)
    assert ended.ending is not None
    assert ended.ending.may_have_succeeded is False
    assert ended.sent_at is None


async def test_what_another_process_took_over_may_have_succeeded(service: CommandStoreHarness) -> None:
    command = await service.request()
    assert await usecases.take_over(service.deps, [command.command_id, "cmd-x"]) == {command.command_id}
    service.pass_seconds(30)
    await usecases.time_out_overdue(service.deps)
    ended = await service.find(command)
    assert ended.ending is not None
    assert ended.ending.may_have_succeeded is True


async def test_a_failed_write_is_no_command(service: CommandStoreHarness) -> None:
    service.database.fail_next = True
    with pytest.raises(StorageUnavailableError):
        await service.request()
    assert await service.count(tables.command) == 0
    assert service.dispatch.held == {}


async def test_the_time_it_was_sent_is_the_outboxs_until_the_vehicle_answers(
    service: CommandStoreHarness,
) -> None:
    command = await service.request()
    mark = tables.outbox.table.update().where(tables.outbox.table.c.message_id == command.command_id)
    sent = service.now + timedelta(seconds=1)
    await service.database.write(lambda c: c.execute(mark.values(sent_at=sent)) and None)
    assert (await service.find(command)).sent_at == sent
    service.pass_seconds(2)
    await service.report(CommandReceipt("m-0", VIN, command.command_id, service.now))
    await service.report(service.succeeded(command))
    assert (await service.find(command)).sent_at == sent


async def test_a_command_that_cannot_be_ended_does_not_keep_the_others_alive(
    service: CommandStoreHarness,
) -> None:
    bad = await service.request("c-bad")
    good = await service.request("c-good", vin=OTHER)
    spoil = tables.command.update().where(tables.command.c.command_id == bad.command_id)
    await service.database.write(lambda c: c.execute(spoil.values(target_doors="not JSON")) and None)
    service.pass_seconds(31)
    deps = service.deps
    await usecases.time_out_overdue(deps)
    assert (await service.find(good)).status is Status.TIMEOUT
    assert len(deps.left_open) == 1
    assert await usecases.time_out_overdue(deps) == 0  # it is left alone for a while


async def test_a_vehicle_that_cannot_be_woken_does_not_let_the_others_sleep(
    service: CommandStoreHarness,
) -> None:
    bad = await service.request("c-bad")
    good = await service.request("c-good", vin=OTHER)
    service.pass_seconds(3)
    woken: list[str] = []

    async def wake(_vin: str, command_id: str) -> None:
        if command_id == bad.command_id:
            raise ValueError("a defect that one row meets")
        woken.append(command_id)

    deps = service.deps
    for _ in range(2):
        await wake_the_silent(deps, wake)
    assert woken == [good.command_id] * 2
    assert len(deps.left_asleep) == 1

"""What is withdrawn, cancelled, and listed afterwards."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from services.command.adapters.outbox_messages import TO_VEHICLES
from services.command.adapters.store import tables
from services.command.domain.commands import (
    Command,
    CommandAction,
    Ending,
    FailureReason,
    Status,
    StatusCheck,
)
from services.command.domain.history import HistoryQuery
from services.command.domain.refusals import CommandAlreadyFinishedError, CommandNotFoundError
from services.command.domain.reports import CancellationDecision
from services.command.usecases import requests as usecases
from services.command.usecases.history import list_history, record_status_checks
from services.platform.storage import StorageUnavailableError
from tests.support.command_store_harness import (
    AGENT,
    LOCK,
    OWNER,
    VIN,
    CommandStoreHarness,
)


async def test_a_command_that_has_not_left_is_withdrawn(service: CommandStoreHarness) -> None:
    command = await service.request()
    service.pass_seconds(1)
    answer = await service.cancel()
    assert answer.status is Status.CANCELLED
    assert (await service.cancel()).ending == answer.ending
    unsent = (tables.outbox.table.c.queue == TO_VEHICLES, tables.outbox.table.c.sent_at.is_(None))
    assert await service.count(tables.outbox.table, *unsent) == 0
    assert await usecases.take_over(service.deps, [command.command_id]) == set()
    assert (await service.find(command)).sent_at is None
    assert (await service.history())[0] == [
        (CommandAction.CANCEL, Status.SUCCESS, None),
        (CommandAction.UNLOCK, Status.CANCELLED, None),
    ]
    with pytest.raises(CommandAlreadyFinishedError):
        await service.cancel("x-2")


async def test_withdrawing_and_taking_over_at_once_agree(service: CommandStoreHarness) -> None:
    for n in range(10):
        command = await service.request(f"c-{n}")
        answer, alive = await asyncio.gather(
            service.cancel(f"x-{n}", f"c-{n}"), usecases.take_over(service.deps, [command.command_id])
        )
        assert (answer.status is Status.CANCELLED) is not bool(alive)
        service.pass_seconds(31)
        await usecases.time_out_overdue(service.deps)


async def test_a_withdrawal_that_can_not_be_kept_lets_the_command_go_on(service: CommandStoreHarness) -> None:
    command = await service.request()
    service.database.fail_next = True
    with pytest.raises(StorageUnavailableError):
        await service.cancel()
    assert service.dispatch.restored == [command.command_id]
    assert await usecases.take_over(service.deps, [command.command_id]) == {command.command_id}
    assert await service.count(tables.cancellation) == 0


@pytest.mark.parametrize(
    ("too_late", "will_not_act", "expected", "status"),
    [
        (False, True, (Status.SUCCESS, None), Status.CANCELLED),
        (True, False, (Status.FAILED, FailureReason.TOO_LATE), Status.PENDING),
        (False, False, (Status.SUCCESS, None), Status.PENDING),
    ],
    ids=["will not act", "too late", "stopped"],
)
async def test_a_command_that_has_left_is_the_vehicles_to_cancel(
    service: CommandStoreHarness,
    too_late: bool,
    will_not_act: bool,
    expected: tuple[Any, Any],
    status: Status,
) -> None:
    command = await service.request()
    service.dispatch.leave()
    assert (await service.cancel()).status is Status.PENDING
    [cancel_id] = service.dispatch.leave()
    ending = Ending(Status.CANCELLED, service.now, "Will not act.") if will_not_act else None
    word = CancellationDecision(
        "m-1", VIN, command.command_id, cancel_id, service.now, too_late=too_late, ending=ending
    )
    assert await service.report(word, word) == []
    assert (await service.find(command)).status is status
    assert (await service.history(action=CommandAction.CANCEL))[0] == [(CommandAction.CANCEL, *expected)]
    assert (await service.cancel()).status is Status.PENDING  # the first answer


async def test_a_cancellation_ends_with_its_command(service: CommandStoreHarness) -> None:
    command = await service.request()
    service.dispatch.leave()
    await service.cancel()
    await service.report(service.succeeded(command))
    assert (await service.history(action=CommandAction.CANCEL))[0] == [
        (CommandAction.CANCEL, Status.FAILED, FailureReason.TOO_LATE)
    ]


async def test_cancelling_at_the_moment_of_the_end_leaves_no_open_cancellation(
    service: CommandStoreHarness,
) -> None:
    for n in range(10):
        command = await service.request(f"c-{n}")
        service.dispatch.leave()
        await asyncio.gather(
            service.cancel(f"x-{n}", f"c-{n}"),
            service.report(service.succeeded(command, f"m-{n}")),
            return_exceptions=True,
        )
    assert await service.count(tables.cancellation, tables.cancellation.c.finished_at.is_(None)) == 0
    assert await service.count(tables.history, tables.history.c.finished_at.is_(None)) == 0


async def test_two_cancellations_at_once_are_one_or_told_of_the_end(service: CommandStoreHarness) -> None:
    await service.request()
    answers = await asyncio.gather(*(service.cancel() for _ in range(8)), return_exceptions=True)
    assert {a.status for a in answers if isinstance(a, Command)} <= {Status.CANCELLED, Status.PENDING}
    assert await service.count(tables.cancellation) == 1


async def test_the_end_of_a_right_ends_what_has_not_left_only(service: CommandStoreHarness) -> None:
    first = await service.request()
    await usecases.end_unsigned(service.deps, [first.command_id], proven=True)
    ended = await service.find(first)
    assert ended.ending is not None
    assert (ended.status, ended.ending.failure_reason) == (Status.FAILED, FailureReason.GRANT_REVOKED)
    strange = await service.request("c-3")
    await usecases.end_unsigned(service.deps, [strange.command_id], proven=False)
    told = (await service.find(strange)).ending
    assert told is not None
    assert (told.failure_reason, told.may_have_succeeded) == (FailureReason.NOT_PROVEN, False)
    second = await service.request("c-2")
    await usecases.take_over(service.deps, [second.command_id])
    await usecases.end_unsigned(service.deps, [second.command_id], proven=True)
    assert (await service.find(second)).status is Status.PENDING


async def test_pages_do_not_shift_when_something_ends_in_between(service: CommandStoreHarness) -> None:
    for n in range(5):
        await service.report(service.succeeded(await service.request(f"c-{n}"), f"m-{n}"))
        service.pass_seconds(1)
    query = HistoryQuery(service.now, timedelta(hours=1), limit=2)
    first = await list_history(service.deps, VIN, query)
    service.pass_seconds(1)
    await service.report(service.succeeded(await service.request("c-5"), "m-5"))
    pages = [first]
    for offset in (2, 4):
        page = await list_history(service.deps, VIN, replace(query, as_of=first.as_of, offset=offset))
        assert page.total == first.total == 5
        pages.append(page)
    listed = [entry.correlation_id for page in pages for entry in page.entries]
    assert listed == ["c-4", "c-3", "c-2", "c-1", "c-0"]


async def test_the_history_is_filtered(service: CommandStoreHarness) -> None:
    await service.report(service.succeeded(await service.request("c-1", who=AGENT), "m-1"))
    service.pass_seconds(1)
    await service.request("c-2", LOCK)
    service.pass_seconds(30)
    await usecases.time_out_overdue(service.deps)
    check = StatusCheck("check-1", VIN, service.now, OWNER, "c-3", 0.004)
    await record_status_checks(service.deps, [check, check])
    await record_status_checks(service.deps, [check])
    timeout = (CommandAction.LOCK, Status.TIMEOUT, FailureReason.TTL_EXPIRED)
    unlock, look = (
        (CommandAction.UNLOCK, Status.SUCCESS, None),
        (CommandAction.STATUS_CHECK, Status.SUCCESS, None),
    )
    assert await service.history() == ([look, timeout, unlock], 3)
    assert await service.history(action=CommandAction.LOCK) == ([timeout], 1)
    assert await service.history(status=Status.SUCCESS) == ([look, unlock], 2)
    assert await service.history(source="CALL_CENTER") == ([unlock], 1)
    assert await service.history(not_before=service.now) == ([look], 1)
    assert await service.history(limit=1, offset=1) == ([timeout], 3)


async def test_without_consent_a_command_is_kept_as_long_as_it_is_recognised(
    service: CommandStoreHarness,
) -> None:
    owner = replace(OWNER, recorded=False)
    command = await service.request(who=owner)
    await service.cancel(who=owner)
    assert await service.history() == ([], 0)
    assert (
        await service.count(tables.audit) == 3
    )  # that it was asked, cancelled and how it ended: the law's part
    service.pass_seconds(23 * 3_600)
    await service.purge()
    assert (await service.request(who=owner)).command_id == command.command_id
    service.pass_seconds(2 * 3_600)
    listed = await service.request("c-2")
    await service.purge()
    with pytest.raises(CommandNotFoundError):
        await service.find(command)
    assert await service.count(tables.cancellation) == 0
    assert (await service.find(listed)).status is Status.PENDING


async def test_the_retention_period_is_kept(service: CommandStoreHarness) -> None:
    await service.report(service.succeeded(await service.request()))
    service.pass_seconds(89 * 86_400)
    await service.purge()
    assert await service.count(tables.history) == 1
    service.pass_seconds(2 * 86_400)
    running = await service.request("c-2")
    await service.purge()
    assert await service.count(tables.command) == await service.count(tables.history) == 1
    assert (await service.find(running)).status is Status.PENDING

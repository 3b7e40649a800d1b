"""The history as lists: pages that hold still however much is written beside them, on both databases."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from sqlalchemy import select, update

from services.command.adapters.store import tables
from services.command.domain.commands import (
    AdvisoryState,
    CommandAction,
    DoorAction,
    FailureReason,
    Status,
    StatusCheck,
)
from services.command.domain.history import SETTLED, HistoryPage, HistoryQuery
from services.command.domain.refusals import (
    CommandAlreadyFinishedError,
    CommandForbiddenError,
    CommandInProgressError,
    CorrelationIdReusedError,
)
from services.command.usecases import requests as usecases
from services.command.usecases.history import (
    RefusedRequests,
    list_history,
    record_status_checks,
)
from services.platform.storage import StorageUnavailableError
from tests.support.command_store_harness import (
    LOCK,
    OTHER,
    OWNER,
    UNLOCK,
    VIN,
    CommandStoreHarness,
    open_room,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ROUNDS = 12
LOOKS_AT_ONCE = 7


@pytest_asyncio.fixture
async def service(database_url: str) -> AsyncIterator[CommandStoreHarness]:
    async with open_room(database_url) as opened:
        yield opened


@pytest_asyncio.fixture
async def twins(database_url: str) -> AsyncIterator[tuple[CommandStoreHarness, CommandStoreHarness]]:
    async with AsyncExitStack() as opened:
        one = await opened.enter_async_context(open_room(database_url))
        yield one, await opened.enter_async_context(open_room(database_url))


def a_look(name: str, at: datetime, vin: str = VIN) -> StatusCheck:
    return StatusCheck(name, vin, at, OWNER, f"s-{name}", 0.004)


async def whole(service: CommandStoreHarness, query: HistoryQuery) -> list[str]:
    """The correlation ids on all pages of the list of the query's moment, by offset."""
    listed: list[str] = []
    while True:
        page = await list_history(service.deps, VIN, replace(query, offset=len(listed)))
        listed += [entry.correlation_id for entry in page.entries]
        if not page.has_more:
            assert page.total == len(listed)
            return listed


async def test_what_is_written_later_and_dated_earlier_shifts_no_page(service: CommandStoreHarness) -> None:
    for n in range(4):
        await service.report(service.succeeded(await service.request(f"c-{n}"), f"m-{n}"))
        service.pass_seconds(1)
    query = HistoryQuery(service.now, timedelta(hours=1), limit=2)
    first = await list_history(service.deps, VIN, query)
    late = a_look("late", service.now - timedelta(seconds=3.5))
    await record_status_checks(service.deps, [late])
    by_offset = await list_history(service.deps, VIN, replace(query, as_of=first.as_of, offset=2))
    by_place = await list_history(service.deps, VIN, replace(query, as_of=first.as_of, after=first.last))
    assert [entry.correlation_id for entry in by_offset.entries] == ["c-1", "c-0"]
    assert by_place.entries == by_offset.entries
    assert (by_offset.total, by_offset.has_more, by_place.has_more) == (4, False, False)
    assert "s-late" in await whole(service, query)


async def test_both_ends_of_a_list_hold_still_while_time_passes(service: CommandStoreHarness) -> None:
    for n in range(3):
        await service.report(service.succeeded(await service.request(f"c-{n}"), f"m-{n}"))
        service.pass_seconds(1_000)
    first = await list_history(service.deps, VIN, HistoryQuery(service.now, timedelta(hours=1), limit=1))
    service.pass_seconds(1_800)
    later = HistoryQuery(service.now, timedelta(hours=1), limit=1, as_of=first.as_of)
    assert await whole(service, later) == ["c-2", "c-1", "c-0"]
    assert await whole(service, replace(later, as_of=None)) == ["c-2"]


async def test_the_period_counts_from_the_moment_of_the_list_by_the_time_that_is_shown(
    service: CommandStoreHarness,
) -> None:
    await service.report(service.succeeded(await service.request("c-0")))
    [entry] = (
        await list_history(service.deps, VIN, HistoryQuery(service.now, timedelta(hours=1), 9))
    ).entries
    assert entry.requested_at == service.now
    service.pass_seconds(3_600 + SETTLED.total_seconds())
    query = HistoryQuery(service.now, timedelta(hours=1), 9)
    page = await list_history(service.deps, VIN, query)
    assert page.as_of == service.now - SETTLED
    assert [each.correlation_id for each in page.entries] == ["c-0"]
    service.pass_seconds(0.001)
    assert await whole(service, replace(query, now=service.now)) == []


async def test_a_moment_that_has_not_come_is_taken_as_now(service: CommandStoreHarness) -> None:
    await service.report(service.succeeded(await service.request("c-0")))
    query = HistoryQuery(service.now, timedelta(hours=1), 9, as_of=service.now + timedelta(days=1))
    page = await list_history(service.deps, VIN, query)
    assert (page.total, page.as_of) == (1, service.now)


async def test_entries_are_recorded_in_order_whatever_the_clocks_say(service: CommandStoreHarness) -> None:
    await service.report(service.succeeded(await service.request("c-0"), "m-0"))
    first = await list_history(service.deps, VIN, HistoryQuery(service.now, timedelta(hours=1), 9))
    service.pass_seconds(-5)  # the clock is set back
    await service.report(service.succeeded(await service.request("c-1"), "m-1"))
    under_it = HistoryQuery(service.now, timedelta(hours=1), 9, as_of=first.as_of)
    assert await whole(service, under_it) == ["c-0"]
    assert await whole(service, HistoryQuery(service.now, timedelta(hours=1), 9)) == ["c-0", "c-1"]
    query = select(tables.history.c.recorded_at).order_by(tables.history.c.recorded_at)
    recorded = await service.database.read(lambda connection: connection.execute(query).scalars().all())
    assert len(set(recorded)) == len(recorded) == 2


async def test_entries_from_before_are_listed_by_their_end(service: CommandStoreHarness) -> None:
    await service.report(service.succeeded(await service.request("c-0")))
    await service.database.write(lambda c: c.execute(update(tables.history).values(recorded_at=None)))
    service.pass_seconds(60)
    assert await whole(service, HistoryQuery(service.now, timedelta(hours=1), 9)) == ["c-0"]
    before = HistoryQuery(service.now, timedelta(hours=1), 9, as_of=service.now - timedelta(seconds=61))
    assert await whole(service, before) == []


async def test_nothing_stays_undated(service: CommandStoreHarness) -> None:
    await service.request("c-0")
    await service.cancel("x-0", "c-0")
    command = await service.request("c-1", vin=OTHER)
    await service.report(replace(service.succeeded(command), vin=OTHER))
    await service.request("c-2")
    service.pass_seconds(31)
    await usecases.time_out_overdue(service.deps)
    await record_status_checks(service.deps, [a_look("1", service.now), a_look("2", service.now, OTHER)])
    undated = (tables.history.c.recorded_at.is_(None)) | (tables.history.c.recorded_at == tables.RECORDED_NOW)
    assert await service.count(tables.history) == 6
    assert await service.count(tables.history, undated) == 0


@pytest.mark.timeout(120)
async def test_pages_hold_while_two_replicas_write(
    twins: tuple[CommandStoreHarness, CommandStoreHarness],
) -> None:
    """Looks, endings and refusals from two replicas, all of one vehicle, while pages are turned."""
    done = asyncio.Event()

    async def write(replica: CommandStoreHarness, name: str) -> None:
        refused = RefusedRequests(replica.commands, lambda: datetime.now(UTC))
        for n in range(ROUNDS):
            replica.now = datetime.now(UTC)
            # Dated when they happened, written when they were gathered, and several vehicles' at once.
            at = replica.now - timedelta(milliseconds=n % 5 * 9)
            looks = [a_look(f"{name}-{n}-{k}", at, VIN if k % 3 else OTHER) for k in range(LOOKS_AT_ONCE)]
            writes = [record_status_checks(replica.deps, [*looks[k:], *looks[:k]]) for k in (0, 3)]
            with refused.noting(OWNER, VIN, CommandAction.LOCK, f"r-{name}-{n}", ("all",)):
                try:
                    command = await replica.request(f"c-{name}-{n}")
                except CommandInProgressError:
                    command = None
            ends = [replica.report(replica.succeeded(command, f"m-{name}-{n}"))] if command else []
            await asyncio.gather(*writes, *ends, refused.flush())

    async def turn(
        replica: CommandStoreHarness, step: int, lists: list[tuple[HistoryQuery, list[str]]]
    ) -> None:
        while not done.is_set():
            query = HistoryQuery(datetime.now(UTC), timedelta(hours=1), limit=step)
            page: HistoryPage = await list_history(replica.deps, VIN, query)
            query = replace(query, as_of=page.as_of)
            listed = [entry.correlation_id for entry in page.entries]
            turned = 1
            while page.has_more and turned < 40:
                where = {"after": page.last} if step % 2 else {"offset": turned * step}
                page = await list_history(replica.deps, VIN, replace(query, **where))
                listed += [entry.correlation_id for entry in page.entries]
                turned += 1
                await asyncio.sleep(0)
            lists.append((query, listed))
            await asyncio.sleep(0.02)  # lets the writers write: reading SQLite waits for nothing

    lists: list[tuple[HistoryQuery, list[str]]] = []
    readers = [asyncio.create_task(turn(twins[n], 4 + n, lists)) for n in (0, 1)]
    try:
        await asyncio.gather(write(twins[0], "a"), write(twins[1], "b"))
    finally:
        done.set()
        await asyncio.gather(*readers)
    assert len(lists) > 4
    assert any(listed for _, listed in lists)
    for query, listed in lists:
        after_all = await whole(twins[0], replace(query, limit=200))
        assert listed == after_all[: len(listed)]
        assert len(listed) == len(after_all) or len(listed) >= 40 * query.limit


async def test_what_is_refused_at_once_is_in_the_history_with_its_reason(
    service: CommandStoreHarness,
) -> None:
    refused = RefusedRequests(service.commands, lambda: service.now)

    async def ask(order: DoorAction, correlation_id: str) -> None:
        with refused.noting(OWNER, VIN, order.action, correlation_id, order.target_doors):
            await service.request(correlation_id, order)

    service.advisory_states[VIN] = AdvisoryState(service.now, open_doors=frozenset({"driver"}))
    with pytest.raises(CommandForbiddenError):
        await ask(LOCK, "c-0")
    service.advisory_states[VIN] = AdvisoryState(service.now, speed_kmh=30.0)
    with pytest.raises(CommandForbiddenError):
        await ask(UNLOCK, "c-1")
    del service.advisory_states[VIN]
    command = await service.request("c-2")
    with pytest.raises(CommandInProgressError):
        await ask(UNLOCK, "c-3")
    await service.report(service.succeeded(command))
    with pytest.raises(CommandAlreadyFinishedError), refused.noting(OWNER, VIN, CommandAction.CANCEL, "x-1"):
        await service.cancel("x-1", "c-2")
    with pytest.raises(CorrelationIdReusedError):  # the caller's own fault, and nothing about the vehicle
        await ask(DoorAction(CommandAction.UNLOCK, ("trunk",), UNLOCK.mode), "c-2")

    assert len((await service.history())[0]) == 1  # nobody waited
    await refused.flush()
    page = await list_history(service.deps, VIN, HistoryQuery(service.now, timedelta(hours=1), 9))
    assert {
        (e.correlation_id, e.action, e.status, e.failure_reason, e.target_doors) for e in page.entries
    } == {
        ("c-0", CommandAction.LOCK, Status.FAILED, FailureReason.DOOR_OPEN, ("driver",)),
        ("c-1", CommandAction.UNLOCK, Status.FAILED, FailureReason.VEHICLE_MOVING, ("all",)),
        ("c-2", CommandAction.UNLOCK, Status.SUCCESS, None, ("all",)),
        ("c-3", CommandAction.UNLOCK, Status.FAILED, FailureReason.COMMAND_IN_PROGRESS, ("all",)),
        ("x-1", CommandAction.CANCEL, Status.FAILED, FailureReason.TOO_LATE, ()),
    }
    [about] = [e.command_id for e in page.entries if e.correlation_id == "x-1"]
    assert about == command.command_id


async def test_a_refused_request_does_not_use_up_its_id(service: CommandStoreHarness) -> None:
    refused = RefusedRequests(service.commands, lambda: service.now)
    service.advisory_states[VIN] = AdvisoryState(service.now, open_doors=frozenset({"driver"}))
    for _ in range(3):
        with (
            pytest.raises(CommandForbiddenError),
            refused.noting(OWNER, VIN, CommandAction.LOCK, "c-0", LOCK.target_doors),
        ):
            await service.request("c-0", LOCK)
        await refused.flush()
    del service.advisory_states[VIN]
    command = await service.request("c-0", LOCK)
    await service.report(service.succeeded(command))
    assert await service.history() == (
        [
            (CommandAction.LOCK, Status.FAILED, FailureReason.DOOR_OPEN),
            (CommandAction.LOCK, Status.SUCCESS, None),
        ],
        2,
    )


async def test_refused_requests_wait_for_the_store_and_no_more_than_allowed(
    service: CommandStoreHarness,
) -> None:
    refused = RefusedRequests(service.commands, lambda: service.now, most=3)
    service.advisory_states[VIN] = AdvisoryState(service.now, open_doors=frozenset({"driver"}))
    for n in range(5):
        with (
            pytest.raises(CommandForbiddenError),
            refused.noting(OWNER, VIN, CommandAction.LOCK, f"c-{n}", LOCK.target_doors),
        ):
            await service.request(f"c-{n}", LOCK)
    service.database.fail_next = True
    with pytest.raises(StorageUnavailableError):
        await refused.flush()
    await refused.flush()
    assert (await service.history())[1] == 3


async def test_looks_are_kept_as_long_as_the_setting_says_and_left_out_on_request(
    service: CommandStoreHarness,
) -> None:
    await service.report(service.succeeded(await service.request("c-0")))
    await record_status_checks(service.deps, [a_look("1", service.now)])
    unlock, look = (
        (CommandAction.UNLOCK, Status.SUCCESS, None),
        (CommandAction.STATUS_CHECK, Status.SUCCESS, None),
    )
    assert sorted((await service.history())[0]) == sorted([unlock, look])
    assert await service.history(excluded_action=CommandAction.STATUS_CHECK) == ([unlock], 1)
    assert await service.history(excluded_action=CommandAction.UNLOCK) == ([look], 1)
    service.pass_seconds(31 * 86_400)
    await service.purge()
    assert await service.count(tables.history) == 1
    none_kept = replace(service.deps, rules=replace(service.deps.rules, checks_kept=timedelta(0)))
    await record_status_checks(none_kept, [a_look("2", service.now)])
    assert await service.count(tables.history) == 1

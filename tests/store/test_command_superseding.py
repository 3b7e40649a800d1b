"""A lock takes the place of an unlock in flight and is the last word; on both databases, by replicas at once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from ecarus.remotecontrol.vehicle.v1 import command_pb2

from protocol.domains import Domain
from protocol.session import CloudSession, EpochRecord
from services.command.adapters.store import SqlCommands, tables
from services.command.adapters.store.orders import SqlOrders
from services.command.adapters.store.tables import sessions
from services.command.domain.commands import CommandAction, DoorAction, Ending, FailureReason, Mode, Status
from services.command.domain.own_cancellations import superseded_id
from services.command.domain.refusals import CommandInProgressError
from services.command.domain.reports import CancellationDecision, CommandReceipt, OrderRefusal, ReportedResult
from services.command.usecases import requests as usecases
from services.platform.storage import StorageUnavailableError
from tests.support.command_store_harness import LOCK, VIN, CommandStoreHarness, FakeDispatch, open_room

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy import Connection

    from services.command.domain.commands import Command

NEVER = b""
EPOCH = b"an epoch, 16 byt"


@pytest_asyncio.fixture
async def service(database_url: str) -> AsyncIterator[CommandStoreHarness]:
    async with open_room(database_url) as opened:
        yield opened


async def ending(
    service: CommandStoreHarness, command: Command
) -> tuple[Status, FailureReason | None, bool | None]:
    found = (await service.find(command)).ending
    assert found is not None
    return found.status, found.failure_reason, found.may_have_succeeded


async def on_its_way(service: CommandStoreHarness) -> Command:
    unlock = await service.request()
    service.dispatch.leave()
    return unlock


async def test_an_unlock_that_has_not_left_ends_with_the_lock(service: CommandStoreHarness) -> None:
    unlock = await service.request()
    lock = await service.request("c-2", LOCK)
    assert await ending(service, unlock) == (Status.CANCELLED, FailureReason.SUPERSEDED, False)
    assert service.dispatch.leave() == [lock.command_id]
    assert await service.report(service.succeeded(lock)) == []
    history = [
        (CommandAction.LOCK, Status.SUCCESS, None),
        (CommandAction.UNLOCK, Status.CANCELLED, FailureReason.SUPERSEDED),
    ]
    service.pass_seconds(1)
    assert sorted((await service.history())[0]) == sorted(history)
    assert await service.count(tables.cancellation) == 0


async def test_one_that_may_have_left_is_the_vehicles_to_give_up(service: CommandStoreHarness) -> None:
    unlock = await on_its_way(service)
    lock = await service.request("c-2", LOCK)
    cancel_id = superseded_id(unlock.command_id)
    assert service.dispatch.leave() == [cancel_id, lock.command_id]
    assert (await service.find(unlock)).status is Status.PENDING
    cancelled = Ending(Status.CANCELLED, service.now, "Cancelled: the vehicle will not act on it.")
    decided = CancellationDecision(
        "m-1", VIN, unlock.command_id, cancel_id, service.now, too_late=False, ending=cancelled
    )
    assert await service.report(decided, ReportedResult("m-2", VIN, unlock.command_id, cancelled)) == []
    assert await ending(service, unlock) == (Status.CANCELLED, FailureReason.SUPERSEDED, False)
    assert (await service.find(lock)).status is Status.PENDING
    assert await service.count(tables.cancellation, tables.cancellation.c.finished_at.is_(None)) == 0
    assert await service.count(tables.audit, tables.audit.c.event == "SUPERSEDED") == 1


async def test_one_that_had_acted_has_its_own_result(service: CommandStoreHarness) -> None:
    unlock = await on_its_way(service)
    lock = await service.request("c-2", LOCK)
    too_late = CancellationDecision(
        "m-1",
        VIN,
        unlock.command_id,
        superseded_id(unlock.command_id),
        service.now,
        too_late=True,
        ending=None,
    )
    assert (
        await service.report(too_late, service.succeeded(unlock, "m-2"), service.succeeded(lock, "m-3")) == []
    )
    assert [(await service.find(each)).status for each in (unlock, lock)] == [Status.SUCCESS, Status.SUCCESS]


async def test_it_is_not_signed_again_when_the_vehicle_had_the_lock_first(
    service: CommandStoreHarness,
) -> None:
    unlock = await on_its_way(service)
    await service.request("c-2", LOCK)
    refused = OrderRefusal(
        "m-1", VIN, unlock.command_id, unlock.command_id, "COUNTER_NOT_NEW", again=True, at=service.now
    )
    assert await service.report(refused) == []
    assert unlock.command_id not in service.dispatch.restored
    assert unlock.command_id not in {
        m.message_id for m in await service.commands.unreceived(VIN, service.now)
    }
    assert await service.commands.take_over([unlock.command_id], service.now) == set()
    service.pass_seconds(20)
    waiting = [command_id for command_id, _ in await service.commands.unanswered(service.now, service.now, 9)]
    assert unlock.command_id not in waiting


async def test_a_vehicle_that_says_nothing_may_have_acted_on_both(service: CommandStoreHarness) -> None:
    unlock = await on_its_way(service)
    lock = await service.request("c-2", LOCK)
    service.dispatch.leave()
    service.pass_seconds(30)
    await usecases.time_out_overdue(service.deps)
    for each in (unlock, lock):
        assert await ending(service, each) == (Status.TIMEOUT, FailureReason.TTL_EXPIRED, True)


@pytest.mark.parametrize("first", [LOCK, replace(LOCK, mode=Mode.SECURE)])
async def test_the_other_way_round_has_to_wait_and_so_has_a_second_lock(
    service: CommandStoreHarness, first: DoorAction
) -> None:
    unlock = await on_its_way(service)
    lock = await service.request("c-2", first)
    for again in (
        DoorAction(CommandAction.UNLOCK, ("all",), Mode.EMERGENCY),
        replace(LOCK, target_doors=("all",)),
    ):
        with pytest.raises(CommandInProgressError) as refused:
            await service.request("c-3", again)
        assert refused.value.command_id == lock.command_id
    assert await service.report(service.succeeded(lock)) == []
    # The unlock has no result yet and is in nobody's way any more.
    assert (await service.find(unlock)).status is Status.PENDING
    next_unlock = await service.request("c-4")
    service.dispatch.leave()
    next_lock = await service.request("c-5", LOCK)
    assert service.dispatch.leave() == [superseded_id(next_unlock.command_id), next_lock.command_id]


async def test_the_same_lock_twenty_times_at_once_is_one(service: CommandStoreHarness) -> None:
    unlock = await on_its_way(service)
    locks = await asyncio.gather(*(service.request("c-2", LOCK) for _ in range(20)))
    assert len({lock.command_id for lock in locks}) == 1
    assert service.dispatch.leave() == [superseded_id(unlock.command_id), locks[0].command_id]
    assert (await service.request("c-2", LOCK)).command_id == locks[0].command_id


async def test_of_twenty_locks_at_once_one_takes_its_place(service: CommandStoreHarness) -> None:
    unlock = await service.request()
    answers = await asyncio.gather(
        *(service.request(f"c-{number}", LOCK) for number in range(2, 22)), return_exceptions=True
    )
    [taken] = [answer for answer in answers if not isinstance(answer, BaseException)]
    assert {answer.command_id for answer in answers if isinstance(answer, CommandInProgressError)} == {
        taken.command_id
    }
    found = await service.find(
        unlock
    )  # ended, or the vehicle's to give up where not the one who held it was first
    assert found.superseded or (await ending(service, unlock))[1] is FailureReason.SUPERSEDED


async def test_what_a_replica_took_over_is_not_called_unsent(service: CommandStoreHarness) -> None:
    unlock = await service.request()
    await service.commands.take_over([unlock.command_id], service.now)
    lock = await service.request("c-2", LOCK)
    assert (await service.find(unlock)).status is Status.PENDING
    assert service.dispatch.leave() == [superseded_id(unlock.command_id), lock.command_id]


async def test_a_lock_that_cannot_be_kept_changes_nothing(service: CommandStoreHarness) -> None:
    unlock = await service.request()
    write = service.commands.write

    async def then_fail(work: Any) -> Any:
        try:
            return await write(work)
        finally:
            service.database.fail_next = True

    service.commands.write = then_fail  # type: ignore[method-assign]
    with pytest.raises(StorageUnavailableError):
        await service.request("c-2", LOCK)
    assert service.dispatch.restored == [unlock.command_id]
    found = await service.find(unlock)
    assert (found.status, found.superseded) == (Status.PENDING, False)
    assert await service.count(tables.command) == 1


async def test_another_replica_never_issues_the_unlock_above_the_lock(service: CommandStoreHarness) -> None:
    """Whichever commits first: what is issued of the unlock is below the lock's counter, or nothing is."""

    def meet(connection: Connection) -> None:
        sessions.store(connection).save(VIN, CloudSession(EpochRecord(EPOCH)))

    await service.database.write(meet)
    other = SqlCommands(service.database)
    orders = SqlOrders(service.database, lambda: 1_000)

    async def issue(command: Command) -> tuple[int, bytes | None]:
        [place] = await orders.reserve_slots([(VIN, Domain.COMMAND, 5_000)])
        assert place is not None
        order = command_pb2.DoorCommand(command_id=command.command_id)
        [issued] = await orders.issue([(VIN, order, place, f"{command.command_id} {place.counter}".encode())])
        return place.counter, issued

    never = 0
    for number in range(12):
        unlock = await service.request(f"u-{number}")
        service.dispatch.leave()
        deps = replace(service.deps, commands=other, dispatch=FakeDispatch())
        locking = usecases.request_doors(deps, unlock.requester, VIN, LOCK, f"l-{number}")
        if number % 3 == 0:
            lock = await locking
            of_unlock = await issue(unlock)
        elif number % 3 == 1:
            of_unlock = await issue(unlock)
            lock = await locking
        else:
            lock, of_unlock = await asyncio.gather(locking, issue(unlock))
        counter, issued = await issue(lock)
        assert issued
        never += of_unlock[1] == NEVER
        assert of_unlock[1] in {NEVER, None} or of_unlock[0] < counter
        assert (await issue(unlock))[1] == NEVER
        assert await service.report(CommandReceipt(f"r-{number}", VIN, lock.command_id, service.now)) == []
        assert (
            await service.report(
                service.succeeded(lock, f"s-{number}"), service.succeeded(unlock, f"t-{number}")
            )
            == []
        )
    assert never >= 4

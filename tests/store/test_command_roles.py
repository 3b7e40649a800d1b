"""What a role means for cancelling, reading and waking; on both databases."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from ecarus.remotecontrol.access.v1 import order_signing_service_pb2 as signing
from ecarus.remotecontrol.door.v1 import door_command_service_pb2 as rpc
from sqlalchemy import select

from services.command.adapters import translate
from services.command.adapters.store import tables
from services.command.domain.commands import CommandAction, PersonRole, Requester, Status, StatusCheck, Viewer
from services.command.domain.refusals import CommandNotFoundError, NotYoursToCancelError
from services.command.usecases import requests as usecases
from services.command.usecases.history import list_history, record_status_checks
from services.command.usecases.vehicle_reports import count_wake_up
from tests.support.command_store_harness import LOCK, START, UNLOCK, VIN, CommandStoreHarness, open_room

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from services.command.domain.commands import DoorAction

OWNER = Requester("user-123", "user-123", "MOBILE_APP", role=PersonRole.OWNER)
KEY = Requester("guest-9", "guest-9", "MOBILE_APP", role=PersonRole.DIGITAL_KEY)
FAMILY = Requester("family-1", "family-1", "MOBILE_APP", role=PersonRole.SHARED_USER)


@pytest_asyncio.fixture
async def service(database_url: str) -> AsyncIterator[CommandStoreHarness]:
    async with open_room(database_url) as opened:
        yield opened


@pytest.mark.parametrize("left", [False, True])
async def test_a_digital_key_does_not_cancel_the_owners_lock(
    service: CommandStoreHarness, left: bool
) -> None:
    command = await service.request(order=LOCK, who=OWNER)
    if left:
        service.dispatch.leave()
    for who in (KEY, FAMILY):
        with pytest.raises(NotYoursToCancelError):
            await service.cancel(f"x-{who.subject}", force=True, who=who)
    assert (await service.find(command)).status is Status.PENDING
    assert await service.count(tables.cancellation) == 0
    assert service.dispatch.leave() == ([] if left else [command.command_id])


async def test_the_role_a_command_was_given_in_outlives_it(service: CommandStoreHarness) -> None:
    await service.request(order=UNLOCK, who=FAMILY)
    service.dispatch.leave()
    with pytest.raises(NotYoursToCancelError):
        await service.cancel(who=KEY)
    assert (await service.cancel(who=OWNER)).requester.role is PersonRole.SHARED_USER
    assert await service.count(tables.cancellation) == 1


@pytest.mark.parametrize(("order", "asked"), [(LOCK, False), (UNLOCK, True)], ids=["lock", "unlock"])
async def test_a_vehicle_is_never_asked_to_stop_a_lock_between_doors(
    service: CommandStoreHarness, order: DoorAction, asked: bool
) -> None:
    await service.request(order=order, who=OWNER)
    service.dispatch.leave()
    await service.cancel(force=True, who=OWNER)
    [cancel_id] = service.dispatch.leave()
    table = tables.outbox.table
    query = select(table.c.payload).where(table.c.message_id == cancel_id)
    payload = await service.database.read(lambda connection: connection.execute(query).scalar_one())
    assert signing.RequestedOrder.FromString(payload).cancel.force is asked


async def listed(service: CommandStoreHarness, viewer: Viewer) -> list[tuple[str, CommandAction]]:
    query = translate.history_query(rpc.ListCommandHistoryRequest(vin=VIN), viewer, service.now)
    page = await list_history(service.deps, VIN, query)
    assert page.total == len(page.entries)
    return [(entry.user_id, entry.action) for entry in reversed(page.entries)]


async def test_the_history_begins_with_ones_own_right(service: CommandStoreHarness) -> None:
    first = await service.request("c-1", who=OWNER)
    await service.report(service.succeeded(first, "m-1"))
    looked = StatusCheck("check-1", VIN, service.now, replace(OWNER), "c-9", 0.004)
    await record_status_checks(service.deps, [looked])
    service.pass_seconds(60)
    began = service.now
    second = await service.request("c-2", who=KEY)
    await service.report(service.succeeded(second, "m-2"))
    third = await service.request("c-3", who=FAMILY)
    await service.report(service.succeeded(third, "m-3"))
    unlock, look = CommandAction.UNLOCK, CommandAction.STATUS_CHECK
    everything = [("user-123", look), ("user-123", unlock), ("guest-9", unlock), ("family-1", unlock)]
    assert sorted(await listed(service, Viewer("user-123", PersonRole.OWNER, START))) == sorted(everything)
    # Whoever buys the car sees nothing of the time before.
    assert sorted(await listed(service, Viewer("user-999", PersonRole.OWNER, began))) == sorted(
        everything[2:]
    )
    assert await listed(service, Viewer("guest-9", PersonRole.DIGITAL_KEY, began)) == [("guest-9", unlock)]
    assert await listed(service, Viewer("family-1", PersonRole.SHARED_USER, START)) == [("family-1", unlock)]
    assert await listed(service, Viewer("guest-9", None, START)) == [("guest-9", unlock)]
    # A new grant of somebody who was there before begins anew.
    assert (
        await listed(service, Viewer("guest-9", PersonRole.SHARED_USER, began + timedelta(seconds=1))) == []
    )


async def test_a_command_from_before_ones_right_is_not_there(service: CommandStoreHarness) -> None:
    command = await service.request(who=OWNER)
    before = Viewer("guest-9", PersonRole.DIGITAL_KEY, service.now)
    assert (await usecases.read(service.deps, before, VIN, command.command_id)) == command
    after = replace(before, since=service.now + timedelta(microseconds=1))
    with pytest.raises(CommandNotFoundError):
        await usecases.read(service.deps, after, VIN, command.command_id)


async def wakes(service: CommandStoreHarness, who: Requester, times: int) -> int:
    """How many of so many commands, one after another, wake the vehicle."""
    woken = 0
    for n in range(times):
        command = await service.request(f"{who.subject}-{n}", who=who)
        woken += await count_wake_up(service.deps, command.command_id)
        service.pass_seconds(31)
        await usecases.time_out_overdue(service.deps)
    return woken


async def test_a_guest_does_not_use_up_the_wake_ups_that_the_owner_needs(
    service: CommandStoreHarness,
) -> None:
    assert await wakes(service, KEY, 8) == 4
    assert await wakes(service, FAMILY, 8) == 2
    assert await wakes(service, OWNER, 8) == 6
    assert not await count_wake_up(service.deps, "cmd-nobodys")

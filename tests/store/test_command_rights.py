"""What the record makes of a right that ends, on both databases."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest_asyncio

from services.command.adapters.outbox_messages import TO_VEHICLES
from services.command.adapters.store import tables
from services.command.domain.commands import (
    CommandAction,
    CommandRightEnded,
    Ending,
    FailureReason,
    RequestedOrder,
    Requester,
    Status,
)
from services.command.domain.own_cancellations import taken_back_id
from services.command.domain.reports import CancellationDecision, ReportedResult
from services.command.usecases.rights import end_rights
from tests.support.command_store_harness import AGENT, OTHER, OWNER, VIN, CommandStoreHarness, open_room

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from services.command.domain.commands import Command

GUEST = Requester("guest-9", "guest-9", "MOBILE_APP")


@dataclass
class RightsHarness:
    """The signer, which says that all rights of `gone` ended; and the broker."""

    gone: set[str] = field(default_factory=set)
    emptied: list[str] = field(default_factory=list)

    async def ended(self, commands: Sequence[RequestedOrder]) -> set[str]:
        return {command.command_id for command in commands} & self.gone

    async def take_out_commands(self, vin: str) -> None:
        self.emptied.append(vin)

    async def take_out_settings(self, vin: str) -> None:
        raise AssertionError(vin)


@pytest_asyncio.fixture
async def service(database_url: str) -> AsyncIterator[CommandStoreHarness]:
    async with open_room(database_url) as opened:
        yield opened


async def end(
    service: CommandStoreHarness, *gone: Command, principal: str | None = "guest-9", vin: str | None = None
) -> RightsHarness:
    harness = RightsHarness({command.command_id for command in gone})
    await end_rights(service.deps, harness, harness, CommandRightEnded(principal, vin))
    return harness


async def test_it_ends_the_persons_commands_and_the_agents_and_nobody_elses(
    service: CommandStoreHarness,
) -> None:
    guests = await service.request(who=GUEST)
    elsewhere = await service.request(who=OWNER, vin=OTHER)
    harness = await end(service, guests, elsewhere)
    assert harness.emptied == [VIN]
    assert (await service.find(guests)).status is Status.FAILED
    assert (await service.find(elsewhere)).status is Status.PENDING
    by_agent = await service.request("c-2", who=AGENT)
    harness = await end(service, by_agent, elsewhere, principal=AGENT.principal)
    assert harness.emptied == [VIN]
    assert (await service.find(by_agent)).status is Status.FAILED
    harness = await end(service, elsewhere, principal=OWNER.subject, vin=VIN)
    assert harness.emptied == []


async def test_a_withdrawn_key_touches_only_what_was_asked_for_with_it(service: CommandStoreHarness) -> None:
    first, second = await service.request(who=GUEST), await service.request(who=OWNER, vin=OTHER)
    harness = await end(service, second, principal=None)
    assert harness.emptied == [OTHER]
    assert [(await service.find(each)).status for each in (first, second)] == [Status.PENDING, Status.FAILED]


async def test_what_may_have_left_is_taken_back_once_whoever_does_it(service: CommandStoreHarness) -> None:
    command = await service.request(who=GUEST)
    service.dispatch.leave()
    await asyncio.gather(*(end(service, command) for _ in range(5)))
    assert service.dispatch.leave() == [taken_back_id(command.command_id)]
    assert await service.count(tables.cancellation) == 1
    assert await service.count(tables.audit, tables.audit.c.event == "RIGHT_ENDED") == 1
    to_vehicle = tables.outbox.table.c.queue == TO_VEHICLES
    assert await service.count(tables.outbox.table, to_vehicle) == 2
    assert (await service.find(command)).status is Status.PENDING
    assert await service.deps.commands.unreceived(VIN, service.now) == []
    assert await service.deps.commands.outgoing([command.command_id], service.now) == []
    assert len(await service.deps.commands.outgoing([taken_back_id(command.command_id)], service.now)) == 1


async def test_what_a_replica_took_over_is_taken_back_and_not_called_unsent(
    service: CommandStoreHarness,
) -> None:
    command = await service.request(who=GUEST)
    await service.deps.commands.take_over([command.command_id], service.now)
    await end(service, command)
    assert (await service.find(command)).status is Status.PENDING
    assert await service.count(tables.cancellation) == 1


async def test_the_vehicles_word_that_it_will_not_act_ends_it_with_the_reason(
    service: CommandStoreHarness,
) -> None:
    command = await service.request(who=GUEST)
    service.dispatch.leave()
    await end(service, command)
    cancelled = Ending(Status.CANCELLED, service.now, "Cancelled: the vehicle will not act on it.")
    cancel_id = taken_back_id(command.command_id)
    decided = CancellationDecision(
        "m-1", VIN, command.command_id, cancel_id, service.now, too_late=False, ending=cancelled
    )
    assert await service.report(decided, ReportedResult("m-2", VIN, command.command_id, cancelled)) == []
    ending = (await service.find(command)).ending
    assert ending is not None
    assert (ending.status, ending.failure_reason) == (Status.FAILED, FailureReason.GRANT_REVOKED)
    assert ending.may_have_succeeded is False
    assert (await service.history())[0] == [
        (CommandAction.UNLOCK, Status.FAILED, FailureReason.GRANT_REVOKED)
    ]
    assert await service.count(tables.cancellation, tables.cancellation.c.finished_at.is_(None)) == 0


async def test_had_the_vehicle_acted_before_that_is_the_truth(service: CommandStoreHarness) -> None:
    command = await service.request(who=GUEST)
    service.dispatch.leave()
    await end(service, command)
    too_late = CancellationDecision(
        "m-1",
        VIN,
        command.command_id,
        taken_back_id(command.command_id),
        service.now,
        too_late=True,
        ending=None,
    )
    assert await service.report(too_late, service.succeeded(command, "m-2")) == []
    assert (await service.find(command)).status is Status.SUCCESS


async def test_somebody_elses_command_that_waited_beside_it_is_handed_over_again(
    service: CommandStoreHarness,
) -> None:
    guests = await service.request(who=GUEST)
    service.dispatch.leave()
    await end(service)  # another grant still allows it
    assert service.dispatch.restored == [guests.command_id]
    assert service.dispatch.recalled == set()

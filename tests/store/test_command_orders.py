"""Orders as they are issued, by several replicas of the command service at once; on both databases."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest_asyncio
from ecarus.remotecontrol.vehicle.v1 import command_pb2

from protocol.domains import MAX_COUNTER, Domain
from protocol.session import CloudSession, EpochRecord
from services.command.adapters.store.orders import SqlOrders
from services.command.adapters.store.tables import sessions
from tests.support.command_store_harness import OTHER, VIN, open_room

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from sqlalchemy import Connection

    from tests.support.command_store_harness import CommandStoreHarness

ROUNDS = 30
EPOCH = b"an epoch, 16 byt"


@pytest_asyncio.fixture
async def service(database_url: str) -> AsyncIterator[CommandStoreHarness]:
    async with open_room(database_url) as opened:
        yield opened


async def test_replicas_that_issue_to_the_same_vehicles_do_not_block_each_other(
    service: CommandStoreHarness,
) -> None:
    def meet(connection: Connection) -> None:
        for vin in (VIN, OTHER):
            sessions.store(connection).save(vin, CloudSession(EpochRecord(EPOCH)))

    await service.database.write(meet)
    orders = SqlOrders(service.database, lambda: 1_000)

    async def issue(vins: Sequence[str], name: str) -> int:
        """How many this replica issued, beginning again where the other was quicker."""
        reserve_slots = await orders.reserve_slots([(vin, Domain.COMMAND, 5_000) for vin in vins])
        signed = [
            (vin, command_pb2.DoorCommand(command_id=name), place, f"{name} {vin}".encode())
            for vin, place in zip(vins, reserve_slots, strict=True)
            if place is not None
        ]
        issued = await orders.issue(signed)
        assert len(issued) == len(vins)
        return sum(request_hash is not None for request_hash in issued)

    for number in range(ROUNDS):
        counts = await asyncio.gather(issue((VIN, OTHER), f"a-{number}"), issue((OTHER, VIN), f"b-{number}"))
        assert sum(counts) >= len((VIN, OTHER))


async def test_a_vehicle_whose_counters_are_spent_takes_no_place_from_the_others(
    service: CommandStoreHarness,
) -> None:
    spent = CloudSession(EpochRecord(EPOCH, issued={Domain.COMMAND: MAX_COUNTER}))

    def meet(connection: Connection) -> None:
        sessions.store(connection).save(VIN, spent)
        sessions.store(connection).save(OTHER, CloudSession(EpochRecord(EPOCH)))

    await service.database.write(meet)
    orders = SqlOrders(service.database, lambda: 1_000)
    reserve_slots = await orders.reserve_slots([(vin, Domain.COMMAND, 5_000) for vin in (VIN, OTHER)])
    assert reserve_slots[0] is None
    assert reserve_slots[1] is not None
    order = command_pb2.DoorCommand(command_id="cmd-1")
    of_spent = replace(reserve_slots[1], counter=MAX_COUNTER + 1)
    hashes = await orders.issue([(VIN, order, of_spent, b"a"), (OTHER, order, reserve_slots[1], b"b")])
    assert hashes[0] is None
    assert hashes[1] is not None


async def test_a_session_that_cannot_be_read_is_begun_anew_and_is_nobody_elses_trouble(
    service: CommandStoreHarness,
) -> None:
    def meet(connection: Connection) -> None:
        for vin in (VIN, OTHER):
            sessions.store(connection).save(vin, CloudSession(EpochRecord(EPOCH)))
        broken = sessions.sessions.update().where(sessions.sessions.c.vin == VIN)
        connection.execute(broken.values(record='{"current": 7}'))

    await service.database.write(meet)
    orders = SqlOrders(service.database, lambda: 1_000)
    reserve_slots = await orders.reserve_slots([(vin, Domain.COMMAND, 5_000) for vin in (VIN, OTHER)])
    assert [place is None for place in reserve_slots] == [True, False]
    await orders.challenge([VIN])
    found = await service.database.read(lambda connection: sessions.store(connection).load(VIN))
    assert found is not None
    assert found.challenge

"""Learning epochs from hellos and opening reports in batches, on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from ecarus.remotecontrol.vehicle.v1 import report_pb2
from sqlalchemy import MetaData, create_engine
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from protocol.domains import Domain
from protocol.subjects import EventKind, event_subject
from services.platform.consumer import Delivery, PoisonMessage, RetryLater, Unhandled
from services.platform.database import Database, open_database
from services.telematics.sessions import VehicleSessions
from tests.support.protocol_harness import OTHER_VIN, VIN
from tests.support.report_harness import Fleet

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from services.telematics.reports import HelloIntake, ReportReader


@dataclass(slots=True)
class ReportHarness:
    """What a service that hears reports is made of; `reads` counts its queries."""

    fleet: Fleet
    reader: ReportReader
    hellos: HelloIntake
    reads: list[str]

    def report(self, vin: str = VIN) -> Delivery:
        message = report_pb2.StatusReport(boot_id="b", sequence=1)
        return Delivery(
            event_subject(vin, EventKind.STATUS), self.fleet.cars[vin].side.seal_report(message).data
        )

    def hello(self, vin: str = VIN) -> Delivery:
        return Delivery(event_subject(vin, EventKind.HELLO), self.fleet.cars[vin].hello())

    async def open(self, *deliveries: Delivery) -> tuple[list[Delivery], list[Unhandled]]:
        opened, unhandled = await self.reader.open(deliveries)
        self.reader.taken(opened)
        return [delivery for delivery, _ in opened], unhandled


class Counting:
    """A database that counts its reads."""

    def __init__(self, database: Database, reads: list[str]) -> None:
        self._database = database
        self._reads = reads
        self.write = database.write
        self.close = database.close

    async def read(self, work):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201  # as Database.read
        self._reads.append("read")
        return await self._database.read(work)


@pytest.fixture
async def service(empty_database_url: str) -> AsyncIterator[ReportHarness]:
    metadata = MetaData()
    sessions = VehicleSessions(metadata, issues_orders=False)
    if empty_database_url.startswith("sqlite"):
        engine = create_engine(empty_database_url, poolclass=NullPool)
        metadata.create_all(engine)
    else:
        url = empty_database_url.replace("postgresql://", "postgresql+asyncpg://", 1)
        async with create_async_engine(url, poolclass=NullPool).begin() as connection:
            await connection.run_sync(metadata.create_all)
    fleet = Fleet()
    reads: list[str] = []
    database = await open_database(empty_database_url)
    counting = Counting(database, reads)
    reader = fleet.reader(Domain.STATUS, counting, sessions)
    yield ReportHarness(fleet, reader, fleet.hellos(counting, sessions, reader), reads)
    await database.close()


async def test_keys_are_looked_up_once_for_a_batch_and_then_kept(service: ReportHarness) -> None:
    assert await service.hellos.handle([service.hello(), service.hello(OTHER_VIN)]) == []
    batch = [service.report(), service.report(OTHER_VIN), service.report()]
    asked = len(service.fleet.directory.asked)

    assert await service.open(*batch) == (batch, [])
    assert await service.open(later := service.report()) == ([later], [])

    assert service.reads == ["read"]
    assert service.fleet.directory.asked[asked:] == [{VIN, OTHER_VIN}]


async def test_repetitions_are_dropped_without_a_word(service: ReportHarness) -> None:
    hello, report = service.hello(), service.report()
    assert await service.hellos.handle([hello, hello]) == []
    assert await service.open(report, report) == ([report, report], [])  # one commit takes both
    assert await service.open(report) == ([], [])
    service.fleet.cars[VIN].boot()
    assert await service.hellos.handle([service.hello()]) == []
    assert await service.hellos.handle([hello]) == []  # of an epoch that ended


async def test_a_report_without_its_hello_waits_and_keeps_nobody_else(service: ReportHarness) -> None:
    await service.hellos.handle([service.hello(OTHER_VIN)])
    early, other = service.report(), service.report(OTHER_VIN)

    opened, unhandled = await service.open(early, other)

    assert opened == [other]
    assert [type(one) for one in unhandled] == [RetryLater]
    await service.hellos.handle([service.hello()])
    assert await service.open(early) == ([early], [])


async def test_an_epoch_that_ended_is_forgotten_at_once(service: ReportHarness) -> None:
    await service.hellos.handle([service.hello()])
    await service.open(service.report())
    old = service.report()
    service.fleet.cars[VIN].boot()
    await service.hellos.handle([service.hello()])

    _, unhandled = await service.open(old)

    assert [type(one) for one in unhandled] == [RetryLater]
    assert await service.open(new := service.report()) == ([new], [])


@pytest.mark.parametrize("everybody", [False, True])
async def test_a_revoked_vehicle_is_not_believed_any_more(service: ReportHarness, *, everybody: bool) -> None:
    await service.hellos.handle([service.hello()])
    await service.open(service.report())
    del service.fleet.directory.known[VIN]
    if everybody:
        service.reader.clear()
    else:
        service.reader.invalidate(VIN)

    opened, unhandled = await service.open(service.report())
    [refused] = await service.hellos.handle([service.hello()])

    assert (opened, [type(one) for one in unhandled]) == ([], [RetryLater])
    assert isinstance(refused, PoisonMessage)
    assert refused.reason == "UNKNOWN_KEY: not signed by the enrolled vehicle"


async def test_while_enrolment_is_away_only_new_epochs_wait(service: ReportHarness) -> None:
    await service.hellos.handle([service.hello(), service.hello(OTHER_VIN)])
    await service.open(service.report())
    service.fleet.directory.away = True
    known, new = service.report(), service.report(OTHER_VIN)

    opened, unhandled = await service.open(known, new)

    assert opened == [known]
    assert unhandled == [RetryLater(new, "the vehicle's keys cannot be asked for")]
    service.fleet.directory.away = False
    assert await service.open(new) == ([new], [])


async def test_no_vehicle_in_the_subject_is_poison(service: ReportHarness) -> None:
    stray = Delivery("vehicle_status.0.nobody", b"")
    assert await service.open(stray) == ([], [PoisonMessage(stray, "no VIN in the subject")])
    assert await service.hellos.handle([stray]) == [PoisonMessage(stray, "no VIN in the subject")]


async def test_hellos_at_once_all_count(service: ReportHarness) -> None:
    cars = [VIN, OTHER_VIN]
    await asyncio.gather(
        *(service.hellos.handle([service.hello(vin) for vin in vins]) for vins in (cars, cars[::-1]))
    )
    batch = [service.report(vin) for vin in cars]
    assert await service.open(*batch) == (batch, [])

"""Vehicles that are asked to check themselves: each in its turn, once, and again after it missed one."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import insert

import services.diagnostics
from services.diagnostics.adapters import store, vehicle_link
from services.diagnostics.adapters.check_requests import CheckSchedule
from services.diagnostics.domain.diagnosis import SelfCheck
from services.diagnostics.domain.self_checks import CheckState, first_due
from services.diagnostics.usecases import CheckDependencies, request_check, run_schedule
from services.platform.database import Database, open_database
from services.platform.outbox import OutboxRelay
from tests.support.databases import migrated

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

T0 = datetime(2026, 1, 12, 14, 30, tzinfo=UTC)
MIGRATIONS = Path(services.diagnostics.__file__).with_name("migrations")
INTERVAL = timedelta(days=30)
VINS = [f"KMHSH81C7LU1{place:05}" for place in range(40)]


class ScheduleHarness:
    """The schedule over a real store, with a clock that the test moves and vehicles that are asked and answer."""

    def __init__(self, database: Database, interval: timedelta | None = INTERVAL) -> None:
        self.now = T0
        self.asked: list[str] = []
        self.away: set[str] = set()
        self._database = database
        relay = OutboxRelay(database, store.outbox, vehicle_link.QUEUE, self._send, lambda: self.now)
        self.record = store.DiagnosisStore(database, relay, vehicle_link.outgoing, lambda: self.now)
        schedule = CheckSchedule(database, store.check_requests, store.last_checks, interval)
        self.deps = CheckDependencies(schedule, self._ask, lambda: self.now)
        self._counter = 0

    async def _send(self, messages: object) -> list[bool]:
        raise AssertionError(f"no relay runs here: {messages}")

    async def _ask(self, vin: str) -> bool:
        self.asked.append(vin)
        return vin not in self.away

    async def report(self, *vins: str) -> None:
        self._counter += 1
        await self.record.ingest(
            [SelfCheck(vin, self.now, "boot", self._counter, (), b"e", 1, self._counter) for vin in vins]
        )

    async def run(self, at_most: int = 100) -> list[str]:
        """Run the schedule once; who was asked."""
        self.asked.clear()
        await run_schedule(self.deps, at_most)
        return list(self.asked)

    async def state(self, vin: str) -> tuple[CheckState, int]:
        known = await self.record.requested_check(vin)
        assert known is not None
        return known.state, known.missed


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    await asyncio.to_thread(migrated, database_url, MIGRATIONS, store.HEAD)
    opened = await open_database(database_url)
    yield opened
    await opened.close()


@pytest.fixture
def service(database: Database) -> ScheduleHarness:
    return ScheduleHarness(database)


async def test_a_fleet_is_asked_over_the_whole_interval_each_vehicle_once(service: ScheduleHarness) -> None:
    await service.report(*VINS)
    assert await service.run() == []
    asked: list[list[str]] = []
    for _ in range(30):
        service.now += timedelta(days=1)
        asked.append(await service.run())
        await service.report(*asked[-1])
    assert sorted(vin for day in asked for vin in day) == VINS
    assert max(map(len, asked)) <= 8
    assert {await service.state(vin) for vin in VINS} == {(CheckState.ANSWERED, 0)}


async def test_no_more_are_asked_at_once_than_is_allowed(service: ScheduleHarness) -> None:
    await service.report(*VINS)
    await service.run()
    service.now += INTERVAL
    assert [len(await service.run(15)) for _ in range(4)] == [15, 15, 10, 0]


async def test_replicas_ask_each_vehicle_once(service: ScheduleHarness, database: Database) -> None:
    await service.report(*VINS)
    await service.run()
    service.now += INTERVAL
    twin = ScheduleHarness(database)
    twin.now = service.now
    await asyncio.gather(run_schedule(service.deps, 100), run_schedule(twin.deps, 100))
    assert sorted(service.asked + twin.asked) == VINS


async def test_who_does_not_answer_has_missed_it_and_is_asked_again_later_and_later(
    service: ScheduleHarness,
) -> None:
    vin = VINS[0]
    await service.report(vin)
    await service.run()
    service.now = first_due(vin, T0, INTERVAL)
    assert await service.run() == [vin]
    for missed, hours in ((1, 6), (2, 12), (3, 24)):
        service.now += timedelta(seconds=119)
        assert await service.run() == []
        assert (await service.state(vin))[0] is CheckState.REQUESTED
        service.now += timedelta(seconds=2)
        assert await service.run() == []
        assert await service.state(vin) == (CheckState.MISSED, missed)
        service.now += timedelta(hours=hours)
        assert await service.run() == [vin]
    await service.report(vin)
    assert await service.state(vin) == (CheckState.ANSWERED, 0)


async def test_what_could_not_be_sent_is_no_missed_check(service: ScheduleHarness) -> None:
    vin = VINS[0]
    service.away.add(vin)
    await service.report(vin)
    await service.run()
    service.now += INTERVAL
    assert await service.run() == [vin]
    assert await service.state(vin) == (CheckState.NONE, 0)
    assert await service.run() == []
    service.away.clear()
    service.now += timedelta(minutes=11)
    assert await service.run() == [vin]


async def test_without_a_schedule_somebody_may_ask_all_the_same(database: Database) -> None:
    service = ScheduleHarness(database, None)
    vin = VINS[0]
    await service.report(vin)
    service.now += INTERVAL
    assert await service.run() == []
    requested = await request_check(service.deps, vin)
    assert (requested.state, requested.due_at) == (CheckState.REQUESTED, None)
    service.now += timedelta(minutes=3)
    assert await service.run() == []
    assert await service.state(vin) == (CheckState.MISSED, 1)
    assert await service.run() == []


async def test_a_fleet_larger_than_a_look_is_scheduled_bit_by_bit(
    service: ScheduleHarness, database: Database
) -> None:
    rows = [
        {
            "vin": f"KMHSH81C7LV1{place:05}",
            "observed_at": T0,
            "boot_id": "boot",
            "sequence": 1,
            "components": "[]",
        }
        for place in range(450)
    ]
    await database.write(lambda connection: connection.execute(insert(store.last_checks), rows) and None)
    for _ in range(3):
        await service.run()
    for row in rows:
        known = await service.record.requested_check(str(row["vin"]))
        assert known is not None
        assert known.due_at == first_due(str(row["vin"]), T0, INTERVAL)


async def test_who_asks_at_the_same_time_asks_once(service: ScheduleHarness) -> None:
    for vin in VINS[:10]:
        answers = await asyncio.gather(*(request_check(service.deps, vin) for _ in range(6)))
        assert {each.state for each in answers} == {CheckState.REQUESTED}
    assert service.asked == VINS[:10]

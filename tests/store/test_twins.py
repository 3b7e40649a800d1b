"""Two replicas of a service on one database: whatever both do at once, neither ends by it, and it is done once."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

import services.access
import services.enrolment
from services.access.adapters import seed as access_seed
from services.access.adapters import store as access_store
from services.access.adapters.store import grants as access_grants
from services.command.adapters import store
from services.command.adapters.kept import kept_tables
from services.command.adapters.outbox_messages import CommandOutboxMessages
from services.command.adapters.store.tables import history, outbox, wake_up
from services.command.domain.commands import Command, Status, StatusCheck
from services.command.domain.endings import timed_out
from services.command.domain.rules import Rules
from services.command.usecases.accepting import keep
from services.command.usecases.ports import CommandDependencies
from services.command.usecases.recording import finish
from services.command.usecases.requests import time_out_overdue
from services.command.usecases.vehicle_reports import count_wake_up, wake_the_silent
from services.enrolment.adapters import seed as enrolment_seed
from services.enrolment.adapters import store as enrolment_store
from services.enrolment.domain import PublicKeys
from services.platform.background import CONFLICTS_AT_MOST, regularly
from services.platform.database import open_database
from services.platform.migration import migrate
from services.platform.outbox import OutgoingMessage
from services.platform.retention import Retention
from services.platform.storage import StorageUnavailableError
from services.vehicle_models.catalogue import VehicleModels
from tests.support.command_store_harness import (
    MAC,
    MIGRATIONS,
    OWNER,
    START,
    UNLOCK,
    VIN,
    FakeConditions,
    FakeDispatch,
    FakeKnownVehicles,
)
from tests.support.databases import migrated

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from sqlalchemy import Connection

    from services.platform.database import Database

COMMANDS = 8
ROUNDS = 5


class Replica:
    """One of two command services: its own connections, its own store."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.sent: list[OutgoingMessage] = []
        self.commands = store.SqlCommands(database)
        self.now = START
        rules = Rules(timedelta(seconds=30), 5, timedelta(days=90))
        self.deps = CommandDependencies(
            self.commands,
            CommandOutboxMessages(MAC),
            self.sent.extend,
            FakeDispatch(),
            FakeConditions(),
            FakeKnownVehicles(),
            VehicleModels(),
            rules,
            lambda: self.now,
        )
        self.woken: list[str] = []

    async def purge(self) -> None:
        kept = kept_tables(self.deps.rules, timedelta(days=30))
        await Retention(self.database, kept, store.holds, lambda: self.now).run_once()

    async def wake(self, _vin: str, command_id: str) -> None:
        if await count_wake_up(self.deps, command_id):
            self.woken.append(command_id)


@pytest_asyncio.fixture
async def twins(database_url: str) -> AsyncIterator[tuple[Replica, Replica]]:
    await asyncio.to_thread(migrated, database_url, MIGRATIONS, store.HEAD)
    databases = [await open_database(database_url) for _ in range(2)]
    yield Replica(databases[0]), Replica(databases[1])
    for database in databases:
        await database.close()


def a_command(number: int) -> Command:
    return Command(
        command_id=f"cmd-{number}",
        vin=f"{VIN[:-2]}{number:02}",
        door_action=UNLOCK,
        requester=OWNER,
        correlation_id=f"c-{number}",
        accepted_at=START,
        expires_at=START + timedelta(seconds=30),
        estimated_seconds=5,
    )


async def count(database: Database, table: Any) -> int:
    found: int = await database.read(
        lambda connection: connection.execute(select(func.count()).select_from(table)).scalar_one()
    )
    return found


async def at(moment: timedelta, *twins: Replica) -> None:
    for twin in twins:
        twin.now = START + moment


async def test_both_wake_for_the_same_commands_and_each_vehicle_is_woken_once(
    twins: tuple[Replica, Replica],
) -> None:
    one, other = twins
    for number in range(COMMANDS):
        await keep(one.deps, a_command(number))
    await at(timedelta(seconds=3), *twins)
    await asyncio.gather(*(wake_the_silent(each.deps, each.wake) for each in twins for _ in range(2)))
    assert sorted(one.woken + other.woken) == [f"cmd-{number}" for number in range(COMMANDS)]
    assert await count(one.database, wake_up) == COMMANDS
    waking = [m for each in twins for m in each.sent if m.message_id.endswith(":waking")]
    assert sorted(m.message_id for m in waking) == [f"cmd-{number}:waking" for number in range(COMMANDS)]


async def test_a_vehicle_that_is_woken_again_for_a_command_changes_nothing_that_watchers_see(
    twins: tuple[Replica, Replica],
) -> None:
    one, other = twins
    await keep(one.deps, a_command(0))
    assert await count_wake_up(one.deps, "cmd-0")
    other.now += timedelta(seconds=16)
    assert await count_wake_up(other.deps, "cmd-0")
    assert [m.message_id for m in other.sent] == []


async def test_both_end_the_overdue_and_each_ends_once(twins: tuple[Replica, Replica]) -> None:
    one, other = twins
    for number in range(COMMANDS):
        await keep(one.deps, a_command(number))
    one.sent.clear()
    await at(timedelta(seconds=31), *twins)

    async def sweep(each: Replica) -> None:
        try:
            await time_out_overdue(each.deps)
        except StorageUnavailableError:  # both had locked what the other wanted: the next round does it
            await time_out_overdue(each.deps)

    await asyncio.gather(*map(sweep, twins))
    ended = [m.message_id for each in twins for m in each.sent]
    assert sorted(ended) == [f"cmd-{number}:TIMEOUT" for number in range(COMMANDS)]
    found = [await other.commands.get(a_command(n).vin, f"cmd-{n}") for n in range(COMMANDS)]
    assert {each.status for each in found if each} == {Status.TIMEOUT}


async def test_both_forget_and_record_the_same(twins: tuple[Replica, Replica]) -> None:
    one, _ = twins
    await keep(one.deps, a_command(0))
    await finish(one.deps, [("cmd-0", timed_out(START, surely_unsent=True))], unless_taken_over=False)
    checks = [StatusCheck(f"look-{n}", VIN, START, OWNER, f"s-{n}", 0.01) for n in range(COMMANDS)]
    await asyncio.gather(
        *(each.commands.add_status_checks(checks, START) for each in twins for _ in range(ROUNDS))
    )
    assert await count(one.database, history) == COMMANDS + 1
    await at(timedelta(days=100), *twins)
    await asyncio.gather(*(each.purge() for each in twins for _ in range(2)))
    assert await count(one.database, history) == 0


async def test_a_message_that_the_twin_has_decided_on_is_the_same_message(
    twins: tuple[Replica, Replica],
) -> None:
    message = OutgoingMessage("cmd-0:FAILED", "updates", "door.update.X", b"told", START)

    def add(connection: Connection) -> None:
        outbox.add(connection, [message])

    await asyncio.gather(*(each.database.write(add) for each in twins for _ in range(ROUNDS)))
    assert await count(twins[0].database, outbox.table) == 1


async def test_both_start_at_once_on_an_empty_database(empty_database_url: str) -> None:
    """The sandbox's seed is planted by whoever starts."""
    revisions = Path(services.enrolment.__file__).with_name("migrations")
    await asyncio.gather(
        *(asyncio.to_thread(migrate, empty_database_url, revisions, enrolment_store.HEAD) for _ in range(2))
    )
    databases = [await open_database(empty_database_url) for _ in range(2)]
    vins = [f"{VIN[:-2]}{number:02}" for number in range(COMMANDS)]
    seed_vehicles = [
        enrolment_seed.SeedVehicle(
            vin, vin.lower(), PublicKeys(vin.encode().ljust(32), vin.lower().encode().ljust(32))
        )
        for vin in vins
    ]
    try:
        for _ in range(ROUNDS):
            await asyncio.gather(
                *(each.write(lambda c: enrolment_seed.plant(c, seed_vehicles, START)) for each in databases)
            )
        register = enrolment_store.SqlEnrolmentRecord(databases[1])
        assert [each.vin for each in await register.page(100)] == vins
    finally:
        for database in databases:
            await database.close()


async def test_both_plant_the_same_grants(empty_database_url: str) -> None:
    revisions = Path(services.access.__file__).with_name("migrations")
    await asyncio.to_thread(migrate, empty_database_url, revisions, access_store.HEAD)
    databases = [await open_database(empty_database_url) for _ in range(2)]
    planted = access_seed.Seed.model_validate_json(
        json.dumps(
            {
                "vehicles": [VIN],
                "grants": [
                    {"grantId": f"g-{n}", "principal": f"user-{n}", "vin": VIN, "role": "OWNER"}
                    for n in range(COMMANDS)
                ],
                "apiKeys": [],
            }
        )
    )
    try:
        await asyncio.gather(
            *(each.write(lambda c: access_seed.plant(c, planted, b"pepper" * 4, START)) for each in databases)
        )
        grants = await databases[0].read(lambda c: access_grants.grants_on(c, VIN))
        assert len(grants) == COMMANDS
    finally:
        for database in databases:
            await database.close()


class _StopError(Exception):
    """The job has run often enough."""


def job(*outcomes: Exception | None) -> Any:
    """Fails as it is told to, and then ends the loop."""
    left = list(outcomes)

    async def work() -> None:
        if not left:
            raise _StopError
        outcome = left.pop(0)
        if outcome is not None:
            raise outcome

    return work


async def _no_pause(_seconds: float) -> None:
    await asyncio.sleep(0)


def conflict() -> IntegrityError:
    return IntegrityError("INSERT", {}, ValueError("duplicate key"))


@pytest.mark.parametrize(
    "outcomes", [[conflict()], [StorageUnavailableError("away")] * 50, [conflict(), None] * CONFLICTS_AT_MOST]
)
async def test_a_job_goes_on_after_a_conflict_and_after_the_store_was_away(
    outcomes: Sequence[Exception | None],
) -> None:
    with pytest.raises(_StopError):
        await regularly("job", 0.0, job(*outcomes), _no_pause)


async def test_a_conflict_that_does_not_end_is_no_twin_s_and_ends_the_job() -> None:
    with pytest.raises(IntegrityError):
        await regularly("job", 0.0, job(*[conflict()] * CONFLICTS_AT_MOST), _no_pause)

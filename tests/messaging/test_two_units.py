"""Two units that hold one vehicle's keys, and units that boot again and again, in front of the command service."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import nats
import pytest_asyncio

from protocol.domains import Domain
from protocol.subjects import CommandKind, EventKind, command_subject
from protocol.vehicle_side import RefusedOrder
from services.command.__main__ import main
from services.command.settings import CommandSettings
from services.command.usecases import vehicle_reports as vehicle_usecases
from services.command.usecases.epoch_watch import LOOP_EPOCHS, REBOOTS, TWO_UNITS
from services.platform.settings import load
from tests.messaging.command_harness import App, CommandHarness, until
from tests.messaging.fake_vehicle import VIN, FakeVehicle

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import pytest
    from nats.aio.client import Client

TTL_SECONDS = 3
ENDS = ("SUCCESS", "FAILED", "TIMEOUT", "CANCELLED")


@pytest_asyncio.fixture
async def harness(nats_server: Any, tmp_path: Path) -> AsyncIterator[CommandHarness]:
    harness = CommandHarness(tmp_path, nats_server)
    await harness.neighbours.come_back()
    stop = asyncio.Event()
    service = asyncio.create_task(
        main(load(CommandSettings, harness.environment(ttl_seconds=TTL_SECONDS)), stop)
    )
    yield harness
    stop.set()
    await service
    await harness.neighbours.go_away()


@pytest_asyncio.fixture
async def app(harness: CommandHarness) -> AsyncIterator[App]:
    async with harness.edge() as channel:
        app = App(harness, channel)
        async with asyncio.timeout(20):
            await channel.channel_ready()
        yield app


@pytest_asyncio.fixture
async def units(nats_server: Any) -> AsyncIterator[tuple[FakeVehicle, FakeVehicle]]:
    """The same keys, each with a boot and a memory of its own."""
    both = FakeVehicle(nats_server), FakeVehicle(nats_server)
    yield both
    for unit in both:
        await unit.sleep()


@pytest_asyncio.fixture
async def observer(nats_server: Any) -> AsyncIterator[Client]:
    settings = nats_server.settings()
    password = settings.nats_password_file.read_text()
    client = await nats.connect(nats_server.url, user=settings.nats_user, password=password)
    yield client
    await client.close()


def letters(harness: CommandHarness) -> list[tuple[str, int]]:
    """The operator's letters: reason and count."""
    with closing(sqlite3.connect(harness.database)) as connection:
        return connection.execute("SELECT reason, count FROM dead_letter").fetchall()


async def noticed(harness: CommandHarness, what: str) -> int:
    """How often the operator was told this, once that was done."""

    async def told() -> int:
        return sum(count for reason, count in letters(harness) if reason == f"NOTICED: {what}")

    count: int = await until(told)
    return count


async def speaks_again(harness: CommandHarness, unit: FakeVehicle) -> None:
    """The unit, whose epoch had ended, says hello until that is noticed: at first it may only seem late."""

    async def told() -> bool:
        await unit.greet()
        return any(reason == f"NOTICED: {TWO_UNITS}" for reason, _ in letters(harness))

    await until(told)


async def test_a_command_that_one_unit_has_is_not_signed_for_another(
    app: App, units: tuple[FakeVehicle, FakeVehicle], observer: Client
) -> None:
    has_it, other = units
    copies: list[bytes] = []

    async def copied(message: Any) -> None:
        copies.append(message.data)

    await observer.subscribe(command_subject(VIN, CommandKind.DOOR), cb=copied)
    await observer.flush()
    has_it.hold = True
    await has_it.wake()
    await has_it.greeted.wait()
    command_id = await app.unlock()
    await app.reaches(command_id, "IN_PROGRESS")
    await other.wake()
    await other.greeted.wait()
    # As the broker delivers again what the first unit has not acknowledged.
    refused = other.car.side.open_order(Domain.COMMAND, copies[0])
    assert isinstance(refused, RefusedOrder)
    assert refused.answer is not None
    await other.say_bytes(EventKind.RESULT, refused.answer.data)
    await has_it.finish(command_id)
    await app.reaches(command_id, "SUCCESS")
    later = await app.lock()  # the refusal has been dealt with before this one's answers
    await app.reaches(later, *ENDS)
    assert command_id not in other.actuated
    assert has_it.actuated.count(command_id) == 1


async def test_two_units_act_once_on_each_command_and_the_operator_reads_of_them(
    harness: CommandHarness, app: App, units: tuple[FakeVehicle, FakeVehicle]
) -> None:
    first, second = units
    for unit in units:
        await unit.wake()
        await unit.greeted.wait()
    await speaks_again(harness, first)
    commands: list[str] = []
    for number in range(8):
        commands.append(await app.unlock(f"c-{number}"))
        await app.reaches(commands[-1], *ENDS)
    acted = [*first.actuated, *second.actuated]
    assert max(acted.count(command_id) for command_id in commands) == 1


async def test_what_another_unit_may_have_taken_is_not_signed_again(
    harness: CommandHarness, app: App, units: tuple[FakeVehicle, FakeVehicle], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vehicle_usecases, "DELIVERED_ONCE", timedelta(0))
    first, second = units
    for unit in units:
        await unit.wake()
        await unit.greeted.wait()
        await unit.sleep()
    await first.wake()
    await first.greeted.wait()
    await speaks_again(harness, first)
    await until(lambda: _asked(first))
    await first.sleep()
    command_id = await app.unlock()  # signed for the epoch of the first
    await app.has_left(command_id)
    await second.wake()
    await app.reaches(command_id, "TIMEOUT")
    assert second.actuated == []
    assert second.faults.count("WRONG_EPOCH") == 1


async def _asked(unit: FakeVehicle) -> bool:
    return unit.challenged > 0


async def test_a_unit_that_boots_again_and_again_is_told_of(
    harness: CommandHarness, app: App, units: tuple[FakeVehicle, FakeVehicle]
) -> None:
    unit = units[0]
    await unit.wake()
    await unit.greeted.wait()
    for _ in range(LOOP_EPOCHS):
        unit.reboot()
        await unit.greet()
    assert await noticed(harness, REBOOTS) >= 1
    await app.reaches(await app.unlock(), "SUCCESS")
    assert not [reason for reason, _ in letters(harness) if TWO_UNITS in reason]


async def test_a_unit_is_told_what_was_not_taken_of_its_messages(
    app: App, units: tuple[FakeVehicle, FakeVehicle]
) -> None:
    unit = units[0]
    await unit.wake()
    await unit.greeted.wait()
    for _ in range(3):
        await unit.say_bytes(EventKind.RESULT, b"not sealed at all")
    await until(lambda: _told(unit))
    told = unit.told[0]
    assert told.domain == "evt.result"
    assert told.reason.startswith("MALFORMED")
    assert (told.accepted, told.count >= 1) == (False, True)
    assert len(unit.told) == 1, "many are told as one"
    await app.reaches(await app.unlock(), "SUCCESS")


async def _told(unit: FakeVehicle) -> bool:
    return bool(unit.told)

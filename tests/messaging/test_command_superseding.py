"""A lock while an unlock is in flight: it is the last word, whatever the order in which the vehicle gets them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
import pytest
import pytest_asyncio
from ecarus.remotecontrol.door.v1.door_command_pb2 import CommandStage, CommandStatus, FailureReason

from services.command.__main__ import main
from services.command.settings import CommandSettings
from services.platform.settings import load
from tests.messaging.command_harness import App, CommandHarness, until
from tests.messaging.fake_vehicle import FakeVehicle

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

TTL_SECONDS = 8
ENDS = ("SUCCESS", "FAILED", "TIMEOUT", "CANCELLED")


@pytest_asyncio.fixture
async def app(nats_server: Any, tmp_path: Path) -> AsyncIterator[App]:
    harness = CommandHarness(tmp_path, nats_server)
    await harness.neighbours.come_back()
    stop = asyncio.Event()
    settings = load(CommandSettings, harness.environment(ttl_seconds=TTL_SECONDS))
    service = asyncio.create_task(main(settings, stop))
    async with harness.edge() as channel:
        yield App(harness, channel)
    stop.set()
    await service
    await harness.neighbours.go_away()


@pytest_asyncio.fixture
async def vehicle(nats_server: Any) -> AsyncIterator[FakeVehicle]:
    vehicle = FakeVehicle(nats_server)
    await vehicle.wake()
    yield vehicle
    await vehicle.sleep()


def superseded(details: Any) -> bool:
    return (details.status, details.failure_reason, details.may_have_succeeded) == (
        CommandStatus.CANCELLED,
        FailureReason.SUPERSEDED,
        False,
    )


async def test_a_vehicle_that_has_not_begun_gives_the_unlock_up_and_locks(
    app: App, vehicle: FakeVehicle
) -> None:
    await vehicle.greeted.wait()
    vehicle.hold = True
    unlock = await app.unlock()
    await app.reaches(unlock, "IN_PROGRESS")
    vehicle.hold = False
    lock = await app.lock()
    assert (await app.reaches(lock, *ENDS)).status == CommandStatus.SUCCESS
    assert superseded(await app.reaches(unlock, *ENDS))
    assert vehicle.actuated == [lock]
    with pytest.raises(grpc.aio.AioRpcError, match="nothing to cancel"):
        await app.cancel()
    history = {
        (each.command_id, each.status, each.failure_reason.string_value)
        for each in (await app.history()).history
    }
    assert (unlock, CommandStatus.CANCELLED, "SUPERSEDED") in history


async def test_one_that_comes_back_finds_both_and_ends_locked(app: App, vehicle: FakeVehicle) -> None:
    await vehicle.greeted.wait()
    await app.reaches(await app.unlock("c-0"), "SUCCESS")
    await vehicle.sleep()
    vehicle.actuated.clear()
    unlock = await app.unlock()
    await app.has_left(unlock)
    lock = await app.lock()
    await app.has_left(lock)
    await vehicle.wake()
    assert (await app.reaches(lock, *ENDS)).status == CommandStatus.SUCCESS
    assert vehicle.actuated[-1] == lock
    # It had it before it was told: the unlock has its own result then.
    assert superseded(details := await app.reaches(unlock, *ENDS)) or details.status == CommandStatus.SUCCESS


async def test_one_that_restarted_meanwhile_gets_the_lock_anew_and_never_the_unlock(
    app: App, vehicle: FakeVehicle
) -> None:
    """All that waits is refused as of another epoch: the lock is signed again, and what takes the unlock back."""
    await vehicle.greeted.wait()
    await app.reaches(await app.unlock("c-0"), "SUCCESS")
    await vehicle.sleep()
    vehicle.actuated.clear()
    unlock = await app.unlock()
    await app.has_left(unlock)
    lock = await app.lock()
    await app.has_left(lock)
    vehicle.reboot()
    await vehicle.wake()
    assert (await app.reaches(lock, *ENDS)).status == CommandStatus.SUCCESS
    assert superseded(await app.reaches(unlock, *ENDS))
    assert vehicle.actuated == [lock]


async def test_what_never_left_is_superseded_at_once(app: App, vehicle: FakeVehicle) -> None:
    await vehicle.sleep()
    vehicle.reboot()
    other = "KMHSH81C7LU654321"  # never said hello: nothing can be signed for it
    unlock = await app.unlock(vin=other)

    async def waits() -> bool:
        return any(
            each.name == CommandStage.Name.WAKING for each in (await app.details(unlock, vin=other)).stages
        )

    await until(waits)
    await app.lock(vin=other)
    assert superseded(await app.details(unlock, vin=other))


async def test_an_unlock_waits_for_the_lock(app: App, vehicle: FakeVehicle) -> None:
    await vehicle.greeted.wait()
    vehicle.hold = True
    lock = await app.lock()
    with pytest.raises(grpc.aio.AioRpcError, match="in flight") as refused:
        await app.unlock()
    assert refused.value.code() is grpc.StatusCode.ABORTED
    await app.reaches(lock, "IN_PROGRESS")
    await vehicle.finish(lock)
    assert (await app.reaches(lock, *ENDS)).status == CommandStatus.SUCCESS

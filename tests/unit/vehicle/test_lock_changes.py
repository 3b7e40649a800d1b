"""Reports name what moved a lock, and when that was in the order of what the car says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ecarus.remotecontrol.vehicle.v1 import body_pb2

from protocol.subjects import EventKind
from vehicle.doors.automation import ActuationCause
from vehicle.doors.body import Body, DoorName, Equipment, LockPosition
from vehicle.doors.lock_changes import LockChange, LockChanges
from vehicle.doors.settings import DoorSettings

if TYPE_CHECKING:
    from tests.unit.vehicle.agent_harness import AgentHarness
    from tests.unit.vehicle.conftest import FakeClock

UNLOCKED = Body().with_lock(DoorName.DRIVER, LockPosition.UNLOCKED)


def driver_of(report: Any) -> Any:
    return next(each for each in report.doors if each.door == body_pb2.DOOR_ID_DRIVER)


def test_only_a_lock_that_moved_has_a_cause() -> None:
    changes = LockChanges(Body())
    changes.observe(UNLOCKED, ActuationCause.HAND, 4)
    changes.observe(UNLOCKED.with_open(DoorName.DRIVER, is_open=True), ActuationCause.COMMAND, 5)
    assert changes.of == {DoorName.DRIVER: LockChange(ActuationCause.HAND, 4)}


def test_the_last_change_counts() -> None:
    changes = LockChanges(Body())
    changes.observe(UNLOCKED, ActuationCause.COMMAND, 4)
    changes.observe(Body(), ActuationCause.AUTO_LOCK, 6)
    assert changes.of[DoorName.DRIVER] == LockChange(ActuationCause.AUTO_LOCK, 6)


async def test_an_auto_lock_after_a_command_is_told_as_one(harness: AgentHarness, clock: FakeClock) -> None:
    harness.car.configure(1, DoorSettings(auto_lock_enabled=True, auto_lock_delay_seconds=30))
    harness.take(harness.command())
    await harness.settled()
    after_command = driver_of(harness.result.status)
    assert after_command.lock_change.cause == body_pb2.LOCK_CAUSE_COMMAND
    assert after_command.lock_change.after_sequence < harness.result.status.sequence
    clock.advance(31)
    harness.car._auto_lock()
    await harness.until(lambda: driver_of(harness.cloud.said(EventKind.STATUS)[-1]).locked)
    locked = driver_of(harness.cloud.said(EventKind.STATUS)[-1])
    assert locked.lock_change.cause == body_pb2.LOCK_CAUSE_AUTO_LOCK
    assert locked.lock_change.after_sequence >= harness.result.status.sequence


async def test_a_key_is_told_as_one_and_a_boot_forgets_it(harness: AgentHarness) -> None:
    harness.car.change(
        lambda body: body.with_lock(DoorName.DRIVER, LockPosition.UNLOCKED), ActuationCause.HAND
    )
    await harness.until(lambda: not driver_of(harness.cloud.said(EventKind.STATUS)[-1]).locked)
    said = driver_of(harness.cloud.said(EventKind.STATUS)[-1])
    assert said.lock_change.cause == body_pb2.LOCK_CAUSE_KEY
    await harness.reboot()
    assert not driver_of(harness.cloud.said(EventKind.STATUS)[-1]).HasField("lock_change")


async def test_a_lock_that_nothing_senses_has_no_cause(harness: AgentHarness) -> None:
    harness.car.rebuild(Equipment(lock_switches=frozenset()))
    harness.take(harness.command())
    await harness.settled()
    assert not [each for each in harness.result.status.doors if each.HasField("lock_change")]


async def test_a_lock_that_does_not_hold_is_told_without_a_cause(harness: AgentHarness) -> None:
    harness.car.set_slipping(DoorName.DRIVER, slips=True)
    harness.take(harness.command())
    await harness.settled()
    assert driver_of(harness.result.status).locked is False
    await harness.until(lambda: driver_of(harness.cloud.said(EventKind.STATUS)[-1]).lock_change.cause == 0)
    slipped = driver_of(harness.cloud.said(EventKind.STATUS)[-1])
    assert (slipped.locked, slipped.HasField("lock_change")) == (True, True)
    assert slipped.lock_change.after_sequence >= harness.result.status.sequence

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from vehicle.automation import Automation, Which
from vehicle.body import LOCKABLE, Body, DoorName, Gear, Position
from vehicle.settings import DoorSettings, SettingsRefused, UnlockMode, doors_to_unlock

NOW = datetime(2026, 1, 12, 14, 30, tzinfo=UTC)
LOCKED = Body()
UNLOCKED = Body().with_lock(DoorName.DRIVER, Position.UNLOCKED)


def auto_lock() -> Automation:
    return Automation(DoorSettings(auto_lock_enabled=True, auto_lock_delay_seconds=30))


def test_auto_lock_locks_what_nobody_opened() -> None:
    automation = auto_lock()
    assert automation.observe(LOCKED, UNLOCKED, NOW, by_itself=False) is None
    assert automation.due(UNLOCKED, NOW + timedelta(seconds=29.9)) is None
    job = automation.due(UNLOCKED, NOW + timedelta(seconds=30))
    assert job is not None
    assert (job.which, job.position, job.doors) == (Which.AUTO_LOCK, Position.LOCKED, (DoorName.DRIVER,))
    assert automation.due(UNLOCKED, NOW + timedelta(seconds=31)) is None


def test_an_opened_door_ends_the_wait() -> None:
    automation = auto_lock()
    automation.observe(LOCKED, UNLOCKED, NOW, by_itself=False)
    opened = UNLOCKED.with_open(DoorName.DRIVER, is_open=True)
    automation.observe(UNLOCKED, opened, NOW, by_itself=False)
    assert automation.auto_lock_due_at is None
    automation.observe(opened, UNLOCKED, NOW, by_itself=False)
    assert automation.auto_lock_due_at is None


def test_locking_or_switching_off_ends_the_wait() -> None:
    automation = auto_lock()
    automation.observe(LOCKED, UNLOCKED, NOW, by_itself=False)
    automation.observe(UNLOCKED, LOCKED, NOW, by_itself=False)
    assert automation.auto_lock_due_at is None
    automation.observe(LOCKED, UNLOCKED, NOW, by_itself=False)
    automation.configure(DoorSettings())
    assert automation.auto_lock_due_at is None


def test_auto_lock_is_off_unless_wanted() -> None:
    automation = Automation(DoorSettings())
    automation.observe(LOCKED, UNLOCKED, NOW, by_itself=False)
    assert automation.auto_lock_due_at is None


def test_the_cars_own_unlock_does_not_lock_people_in() -> None:
    automation = auto_lock()
    automation.observe(LOCKED, UNLOCKED, NOW, by_itself=True)
    assert automation.auto_lock_due_at is None


def test_speed_locks_once_per_crossing() -> None:
    automation = Automation(DoorSettings(speed_based_lock_enabled=True, speed_lock_threshold_kmh=15))
    slow, fast, faster = UNLOCKED.driven(14), UNLOCKED.driven(15), UNLOCKED.driven(50)
    assert automation.observe(UNLOCKED, slow, NOW, by_itself=False) is None
    job = automation.observe(slow, fast, NOW, by_itself=False)
    assert job is not None
    assert job.which is Which.SPEED_LOCK
    assert automation.observe(fast, faster, NOW, by_itself=False) is None


def test_speed_leaves_an_open_door_alone() -> None:
    automation = Automation(DoorSettings(speed_based_lock_enabled=True))
    opened = UNLOCKED.with_open(DoorName.DRIVER, is_open=True)
    assert automation.observe(opened, opened.driven(30), NOW, by_itself=False) is None


def test_parking_unlocks_by_the_unlock_mode() -> None:
    driving = LOCKED.driven(0)
    for mode, doors in ((UnlockMode.ALL, LOCKABLE), (UnlockMode.DRIVER_ONLY, (DoorName.DRIVER,))):
        automation = Automation(DoorSettings(parking_auto_unlock=True, unlock_mode=mode))
        job = automation.observe(driving, driving.with_gear(Gear.P), NOW, by_itself=False)
        assert job is not None
        assert (job.which, job.position, job.doors) == (Which.PARKING_UNLOCK, Position.UNLOCKED, doors)
    assert Automation(DoorSettings()).observe(driving, driving.parked(), NOW, by_itself=False) is None


def test_sequence_opens_the_drivers_door_first() -> None:
    assert doors_to_unlock(UnlockMode.SEQUENCE, LOCKED) == (DoorName.DRIVER,)
    assert doors_to_unlock(UnlockMode.SEQUENCE, UNLOCKED) == LOCKABLE
    assert doors_to_unlock(UnlockMode.DRIVER_ONLY, UNLOCKED) == (DoorName.DRIVER,)


@pytest.mark.parametrize(
    "wrong",
    [{"auto_lock_delay_seconds": 4}, {"auto_lock_delay_seconds": 601}, {"speed_lock_threshold_kmh": 0}],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(SettingsRefused, match=next(iter(wrong))):
        DoorSettings(**wrong)  # type: ignore[arg-type]  # each names an integer

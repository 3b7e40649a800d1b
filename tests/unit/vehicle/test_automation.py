from __future__ import annotations

import pytest

from vehicle.doors.automation import ActuationCause, Automation, AutomationKind
from vehicle.doors.body import LOCKABLE, Body, DoorName, Gear, LockPosition
from vehicle.doors.settings import DoorSettings, DoorSettingsError, UnlockMode, doors_to_unlock

NOW = 7_000_000
LOCKED = Body()
UNLOCKED = Body().with_lock(DoorName.DRIVER, LockPosition.UNLOCKED)


def auto_lock() -> Automation:
    return Automation(DoorSettings(auto_lock_enabled=True, auto_lock_delay_seconds=30))


def test_auto_lock_locks_what_nobody_opened() -> None:
    automation = auto_lock()
    assert automation.observe(LOCKED, UNLOCKED, NOW, ActuationCause.HAND) is None
    assert automation.due(UNLOCKED, NOW + 29_900) is None
    job = automation.due(UNLOCKED, NOW + 30_000)
    assert job is not None
    assert (job.which, job.position, job.doors) == (
        AutomationKind.AUTO_LOCK,
        LockPosition.LOCKED,
        (DoorName.DRIVER,),
    )
    assert automation.due(UNLOCKED, NOW + 31_000) is None


def test_an_opened_door_ends_the_wait() -> None:
    automation = auto_lock()
    automation.observe(LOCKED, UNLOCKED, NOW, ActuationCause.HAND)
    opened = UNLOCKED.with_open(DoorName.DRIVER, is_open=True)
    automation.observe(UNLOCKED, opened, NOW, ActuationCause.HAND)
    assert automation.auto_lock_due_at_millis is None
    automation.observe(opened, UNLOCKED, NOW, ActuationCause.HAND)
    assert automation.auto_lock_due_at_millis is None


def test_locking_or_switching_off_ends_the_wait() -> None:
    automation = auto_lock()
    automation.observe(LOCKED, UNLOCKED, NOW, ActuationCause.HAND)
    automation.observe(UNLOCKED, LOCKED, NOW, ActuationCause.HAND)
    assert automation.auto_lock_due_at_millis is None
    automation.observe(LOCKED, UNLOCKED, NOW, ActuationCause.HAND)
    automation.configure(DoorSettings(), UNLOCKED, NOW)
    assert automation.auto_lock_due_at_millis is None


def test_auto_lock_is_off_unless_wanted() -> None:
    automation = Automation(DoorSettings())
    automation.observe(LOCKED, UNLOCKED, NOW, ActuationCause.HAND)
    assert automation.auto_lock_due_at_millis is None


def test_the_cars_own_unlock_does_not_lock_people_in() -> None:
    automation = auto_lock()
    automation.observe(LOCKED, UNLOCKED, NOW, ActuationCause.AUTOMATION)
    assert automation.auto_lock_due_at_millis is None


@pytest.mark.parametrize("cause", [ActuationCause.COMMAND, ActuationCause.HAND])
def test_a_second_unlock_gets_a_full_delay(cause: ActuationCause) -> None:
    automation = auto_lock()
    automation.observe(LOCKED, UNLOCKED, NOW, ActuationCause.COMMAND)
    automation.unlocked(NOW + 20_000, cause)  # every door stood unlocked already
    assert automation.due(UNLOCKED, NOW + 49_999) is None
    assert automation.due(UNLOCKED, NOW + 50_000) is not None


def test_an_emergency_unlock_is_not_locked_again_over_the_people_inside() -> None:
    automation = auto_lock()
    automation.observe(LOCKED, UNLOCKED, NOW, ActuationCause.COMMAND)
    automation.unlocked(NOW + 10_000, ActuationCause.EMERGENCY)
    assert automation.due(UNLOCKED, NOW + 3_600_000) is None
    automation.observe(LOCKED, UNLOCKED, NOW, ActuationCause.EMERGENCY)
    assert automation.auto_lock_due_at_millis is None


def test_a_changed_delay_reaches_the_one_that_runs() -> None:
    automation = auto_lock()
    automation.observe(LOCKED, UNLOCKED, NOW, ActuationCause.HAND)
    longer = DoorSettings(auto_lock_enabled=True, auto_lock_delay_seconds=600)
    automation.configure(longer, UNLOCKED, NOW + 10_000)
    assert automation.due(UNLOCKED, NOW + 599_999) is None
    shorter = DoorSettings(auto_lock_enabled=True, auto_lock_delay_seconds=5)
    automation.configure(shorter, UNLOCKED, NOW + 10_000)
    assert automation.due(UNLOCKED, NOW + 10_000) is not None


def test_switching_auto_lock_on_gives_a_full_delay_from_then() -> None:
    automation = Automation(DoorSettings())
    automation.observe(LOCKED, UNLOCKED, NOW, ActuationCause.HAND)
    wanted = DoorSettings(auto_lock_enabled=True, auto_lock_delay_seconds=30)
    automation.configure(wanted, UNLOCKED, NOW + 7_200_000)
    assert automation.due(UNLOCKED, NOW + 7_229_999) is None
    assert automation.due(UNLOCKED, NOW + 7_230_000) is not None


def test_a_door_that_is_shut_above_the_threshold_locks() -> None:
    automation = Automation(DoorSettings(speed_based_lock_enabled=True, speed_lock_threshold_kmh=15))
    opened = UNLOCKED.with_open(DoorName.DRIVER, is_open=True).driven(60)
    shut = opened.with_open(DoorName.DRIVER, is_open=False)
    job = automation.observe(opened, shut, NOW, ActuationCause.HAND)
    assert job is not None
    assert (job.which, job.doors) == (AutomationKind.SPEED_LOCK, (DoorName.DRIVER,))


def test_what_a_hand_unlocks_while_driving_stays_unlocked() -> None:
    automation = Automation(DoorSettings(speed_based_lock_enabled=True, speed_lock_threshold_kmh=15))
    assert automation.observe(LOCKED.driven(60), UNLOCKED.driven(60), NOW, ActuationCause.HAND) is None


def test_a_threshold_that_is_lowered_below_the_speed_locks() -> None:
    automation = Automation(DoorSettings(speed_based_lock_enabled=True, speed_lock_threshold_kmh=60))
    lower = DoorSettings(speed_based_lock_enabled=True, speed_lock_threshold_kmh=15)
    job = automation.configure(lower, UNLOCKED.driven(30), NOW)
    assert job is not None
    assert job.which is AutomationKind.SPEED_LOCK
    assert automation.configure(lower, UNLOCKED.driven(30), NOW) is None


def test_speed_locks_once_per_crossing() -> None:
    automation = Automation(DoorSettings(speed_based_lock_enabled=True, speed_lock_threshold_kmh=15))
    slow, fast, faster = UNLOCKED.driven(14), UNLOCKED.driven(15), UNLOCKED.driven(50)
    assert automation.observe(UNLOCKED, slow, NOW, ActuationCause.HAND) is None
    job = automation.observe(slow, fast, NOW, ActuationCause.HAND)
    assert job is not None
    assert job.which is AutomationKind.SPEED_LOCK
    assert automation.observe(fast, faster, NOW, ActuationCause.HAND) is None


def test_speed_leaves_an_open_door_alone() -> None:
    automation = Automation(DoorSettings(speed_based_lock_enabled=True))
    opened = UNLOCKED.with_open(DoorName.DRIVER, is_open=True)
    assert automation.observe(opened, opened.driven(30), NOW, ActuationCause.HAND) is None


def test_parking_unlocks_by_the_unlock_mode() -> None:
    driving = LOCKED.driven(0)
    for mode, doors in ((UnlockMode.ALL, LOCKABLE), (UnlockMode.DRIVER_ONLY, (DoorName.DRIVER,))):
        automation = Automation(DoorSettings(parking_auto_unlock=True, unlock_mode=mode))
        job = automation.observe(driving, driving.with_gear(Gear.P), NOW, ActuationCause.HAND)
        assert job is not None
        assert (job.which, job.position, job.doors) == (
            AutomationKind.PARKING_UNLOCK,
            LockPosition.UNLOCKED,
            doors,
        )
    assert Automation(DoorSettings()).observe(driving, driving.parked(), NOW, ActuationCause.HAND) is None


def test_sequence_opens_the_drivers_door_first() -> None:
    assert doors_to_unlock(UnlockMode.SEQUENCE, LOCKED) == (DoorName.DRIVER,)
    assert doors_to_unlock(UnlockMode.SEQUENCE, UNLOCKED) == LOCKABLE
    assert doors_to_unlock(UnlockMode.DRIVER_ONLY, UNLOCKED) == (DoorName.DRIVER,)


@pytest.mark.parametrize(
    "wrong",
    [{"auto_lock_delay_seconds": 4}, {"auto_lock_delay_seconds": 601}, {"speed_lock_threshold_kmh": 0}],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(DoorSettingsError, match=next(iter(wrong))):
        DoorSettings(**wrong)  # type: ignore[arg-type]  # each names an integer

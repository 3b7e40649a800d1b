from dataclasses import replace
from datetime import UTC, datetime, timedelta

from services.config.domain import (
    Answer,
    ApplicationState,
    DoorConfig,
    DoorSettings,
    Hello,
    SettingsChange,
    UnlockMode,
    answered,
    changed,
    greeted,
    push,
)

VIN = "KMHSH81C7LU123456"
T0 = datetime(2026, 1, 12, 10, 0, tzinfo=UTC)
T1 = T0 + timedelta(minutes=1)
FRESH = DoorConfig(VIN, DoorSettings(), T0)
WANTED = replace(FRESH, desired_version=3)


def answer(version: int, *, applied: bool = True, reason: str = "") -> Answer:
    return Answer(VIN, f"m-{version}-{applied}", T1, version, applied, reason)


def hello(version: int, sent_at: datetime = T1) -> Hello:
    return Hello(VIN, f"hello-{version}", sent_at, version)


def test_a_change_names_a_new_version_and_time_and_leaves_the_rest() -> None:
    after = changed(FRESH, SettingsChange(unlock_mode=UnlockMode.DRIVER_ONLY), T1)

    assert after.settings == replace(DoorSettings(), unlock_mode=UnlockMode.DRIVER_ONLY)
    assert (after.desired_version, after.updated_at) == (1, T1)


def test_false_and_zero_are_settings_too() -> None:
    after = changed(FRESH, SettingsChange(auto_lock_enabled=False), T1)

    assert after.settings.auto_lock_enabled is False


def test_a_change_to_what_is_already_so_keeps_version_and_time() -> None:
    assert changed(FRESH, SettingsChange(auto_lock_delay_seconds=30), T1) is FRESH


def test_a_fingerprint_tells_changes_apart() -> None:
    one, other = SettingsChange(auto_lock_enabled=True), SettingsChange(auto_lock_enabled=False)

    assert one.fingerprint() == SettingsChange(auto_lock_enabled=True).fingerprint()
    assert len({one.fingerprint(), other.fingerprint(), SettingsChange().fingerprint()}) == 3


def test_an_applied_version_is_applied() -> None:
    after = answered(WANTED, answer(3))

    assert (after.state, after.applied_version, after.applied_at) == (ApplicationState.APPLIED, 3, T1)


def test_an_answer_about_an_older_version_does_not_regress() -> None:
    applied = answered(WANTED, answer(3))

    assert answered(applied, answer(2)) is applied
    assert answered(applied, answer(3, applied=False, reason="no")) is applied


def test_an_older_version_that_was_applied_leaves_the_wanted_one_pending() -> None:
    after = answered(WANTED, answer(2))

    assert (after.state, after.applied_version) == (ApplicationState.PENDING, 2)


def test_a_rejection_keeps_what_is_wanted_and_says_why() -> None:
    after = answered(WANTED, answer(3, applied=False, reason="not supported"))

    assert (after.state, after.rejection) == (ApplicationState.REJECTED, "not supported")
    assert (after.settings, after.desired_version) == (WANTED.settings, 3)


def test_a_rejection_of_an_older_version_says_nothing_about_the_wanted_one() -> None:
    assert answered(WANTED, answer(2, applied=False)) is WANTED


def test_a_change_after_a_rejection_is_pending_again() -> None:
    rejected = answered(WANTED, answer(3, applied=False))

    assert changed(rejected, SettingsChange(child_lock_enabled=True), T1).state is ApplicationState.PENDING


def test_an_answer_about_a_version_that_never_was_is_ignored() -> None:
    assert answered(WANTED, answer(4)) is WANTED


def test_a_vehicle_that_was_never_configured_needs_nothing() -> None:
    after, wanted = greeted(FRESH, hello(0))

    assert wanted is None
    assert after.state is ApplicationState.APPLIED


def test_a_vehicle_that_is_behind_is_sent_the_wanted_settings() -> None:
    after, wanted = greeted(WANTED, hello(2))

    assert wanted is not None
    assert (wanted.version, wanted.settings) == (3, WANTED.settings)
    assert (after.state, after.applied_version) == (ApplicationState.PENDING, 2)


def test_a_hello_confirms_what_a_lost_answer_would_have() -> None:
    after, wanted = greeted(WANTED, hello(3))

    assert wanted is None
    assert (after.state, after.applied_at) == (ApplicationState.APPLIED, T1)


def test_a_vehicle_that_lost_its_settings_is_pending_again() -> None:
    after, wanted = greeted(answered(WANTED, answer(3)), hello(0, T1 + timedelta(days=1)))

    assert wanted is not None
    assert (after.state, after.applied_version) == (ApplicationState.PENDING, 0)


def test_a_hello_older_than_the_answer_does_not_regress() -> None:
    after, wanted = greeted(answered(WANTED, answer(3)), hello(2, T0))

    assert after.state is ApplicationState.APPLIED
    assert wanted is not None  # harmless: the vehicle ignores what is not newer


def test_a_vehicle_that_is_ahead_gets_a_version_beyond_its_own() -> None:
    after, wanted = greeted(WANTED, hello(7))

    assert wanted is not None
    assert wanted.version == after.desired_version == 8


def test_the_message_id_of_a_push_is_its_causes() -> None:
    assert push(WANTED, "a") == push(WANTED, "a")
    assert push(WANTED, "a").message_id != push(WANTED, "b").message_id

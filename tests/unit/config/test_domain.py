from dataclasses import replace
from datetime import UTC, datetime, timedelta

from services.config.domain.config import (
    MOST_RESENDS,
    NOT_PROVEN,
    RIGHT_ENDED,
    ApplicationState,
    ConfigAnswer,
    ConfigFault,
    DoorConfig,
    Hello,
    ReadBack,
    RequestEvidence,
    answered,
    changed,
    faulted,
    greeted,
    is_wanted,
    push,
    unsent,
)
from services.config.domain.settings import DoorSettings, LeftOutSettings, SettingsChange, UnlockMode

VIN = "KMHSH81C7LU123456"
T0 = datetime(2026, 1, 12, 10, 0, tzinfo=UTC)
T1 = T0 + timedelta(minutes=1)
PROOF = RequestEvidence("secret token", T0)
LATER_PROOF = RequestEvidence("another token", T1)
FRESH = DoorConfig(VIN, DoorSettings(), T0)
WANTED = replace(FRESH, desired_version=3, proof=PROOF)
UNPROVEN = replace(WANTED, proof=None)


def answer(version: int, *, applied: bool = True, reason: str = "") -> ConfigAnswer:
    return ConfigAnswer(VIN, f"m-{version}-{applied}", T1, version, applied, reason)


def hello(version: int, sent_at: datetime = T1) -> Hello:
    return Hello(VIN, f"hello-{version}", sent_at, version)


def test_a_change_names_a_new_version_and_time_and_leaves_the_rest() -> None:
    after = changed(FRESH, SettingsChange(unlock_mode=UnlockMode.DRIVER_ONLY), LATER_PROOF)

    assert after.settings == replace(DoorSettings(), unlock_mode=UnlockMode.DRIVER_ONLY)
    assert (after.desired_version, after.updated_at) == (1, T1)


def test_false_and_zero_are_settings_too() -> None:
    after = changed(FRESH, SettingsChange(auto_lock_enabled=False), LATER_PROOF)

    assert after.settings.auto_lock_enabled is False


def test_a_change_to_what_is_already_so_keeps_version_and_time() -> None:
    assert changed(FRESH, SettingsChange(auto_lock_delay_seconds=30), LATER_PROOF) is FRESH


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

    assert (
        changed(rejected, SettingsChange(child_lock_enabled=True), LATER_PROOF).state
        is ApplicationState.PENDING
    )


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
    assert push(WANTED, PROOF, "a") == push(WANTED, PROOF, "a")
    assert push(WANTED, PROOF, "a").message_id != push(WANTED, PROOF, "b").message_id


def test_a_change_brings_its_own_proof() -> None:
    after = changed(WANTED, SettingsChange(child_lock_enabled=True), LATER_PROOF)

    assert after.proof == LATER_PROOF


def test_a_proof_is_not_printed() -> None:
    assert "secret token" not in f"{WANTED!r} {push(WANTED, PROOF, 'a')!r}"


def test_asking_again_for_what_was_rejected_sends_it_again() -> None:
    rejected = answered(WANTED, answer(3, applied=False))

    after = changed(rejected, SettingsChange(auto_lock_delay_seconds=30), LATER_PROOF)

    assert (after.desired_version, after.state) == (4, ApplicationState.PENDING)


def test_what_is_pushed_on_a_hello_carries_the_proof_of_its_change() -> None:
    _, wanted = greeted(WANTED, hello(2, T1 + timedelta(days=3)))

    assert wanted is not None
    assert wanted.proof == PROOF


def test_settings_without_a_proof_are_not_sent_and_say_so() -> None:
    after, wanted = greeted(UNPROVEN, hello(2))

    assert wanted is None
    assert (after.state, after.rejection) == (ApplicationState.REJECTED, NOT_PROVEN)


def test_the_factorys_settings_are_never_sent_to_a_vehicle_that_is_ahead() -> None:
    after, wanted = greeted(FRESH, hello(7))

    assert wanted is None
    assert (after.desired_version, after.rejection) == (8, NOT_PROVEN)
    assert changed(after, SettingsChange(child_lock_enabled=True), PROOF).desired_version == 9


def test_what_nobody_signs_is_given_up_and_not_tried_again() -> None:
    given_up = unsent(WANTED, 3, RIGHT_ENDED)
    after, wanted = greeted(given_up, hello(2))

    assert (given_up.state, given_up.rejection) == (ApplicationState.REJECTED, RIGHT_ENDED)
    assert wanted is None
    assert (after.state, after.rejection) == (ApplicationState.REJECTED, RIGHT_ENDED)


def test_only_what_is_still_wanted_is_given_up() -> None:
    assert unsent(WANTED, 2, RIGHT_ENDED) is WANTED
    assert unsent(UNPROVEN, 3, RIGHT_ENDED) is UNPROVEN


def test_settings_that_were_applied_stay_so_when_the_right_to_them_ended() -> None:
    applied = answered(WANTED, answer(3))

    after = unsent(applied, 3, RIGHT_ENDED)
    lost, wanted = greeted(after, hello(0, T1 + timedelta(days=1)))

    assert after.state is ApplicationState.APPLIED
    assert wanted is None
    assert (lost.state, lost.rejection) == (ApplicationState.REJECTED, RIGHT_ENDED)


def test_wanted_is_the_newest_version_that_is_proven() -> None:
    assert is_wanted(WANTED, 3)
    assert is_wanted(answered(WANTED, answer(3)), 3)
    assert not is_wanted(WANTED, 2)
    assert not is_wanted(UNPROVEN, 3)


def fault(version: int, *, out_of_step: bool = True, message_id: str = "m-1") -> ConfigFault:
    return ConfigFault(VIN, message_id, version, "WRONG_EPOCH", out_of_step)


def test_a_vehicle_out_of_step_is_sent_what_is_still_wanted_again() -> None:
    after, wanted = faulted(WANTED, fault(3))

    assert wanted is not None
    assert (wanted.version, wanted.proof) == (3, PROOF)
    assert after.state is ApplicationState.PENDING
    applied = answered(WANTED, answer(3))
    assert faulted(WANTED, fault(2)) == (WANTED, None)
    assert faulted(applied, fault(3)) == (applied, None)


def test_a_fault_that_signing_again_does_not_mend_is_a_rejection() -> None:
    after, wanted = faulted(WANTED, fault(3, out_of_step=False))

    assert wanted is None
    assert (after.state, after.rejection) == (
        ApplicationState.REJECTED,
        "The vehicle did not accept the order: WRONG_EPOCH.",
    )


def test_a_vehicle_that_stays_out_of_step_waits_for_its_hello() -> None:
    config = WANTED
    for number in range(MOST_RESENDS):
        config, wanted = faulted(config, fault(3, message_id=f"m-{number}"))
        assert wanted is not None

    assert faulted(config, fault(3, message_id="one more")) == (config, None)
    greeted_again, wanted = greeted(config, hello(2))
    assert wanted is not None
    assert faulted(greeted_again, fault(3))[1] is not None


CHILD_LOCK = SettingsChange(child_lock_enabled=True)
LONGER = SettingsChange(auto_lock_delay_seconds=60)
LACKS_IT = "this vehicle has no child locks"


def test_what_the_vehicle_refused_is_not_shown_and_not_carried_along() -> None:
    running = replace(DoorSettings(), speed_lock_threshold_kmh=40)
    applied = answered(changed(FRESH, SettingsChange(speed_lock_threshold_kmh=40), PROOF), answer(1))
    wanted = changed(applied, CHILD_LOCK, PROOF)
    assert wanted.settings.child_lock_enabled

    refused = answered(wanted, answer(2, applied=False, reason=LACKS_IT))
    assert (refused.state, refused.rejection, refused.settings) == (
        ApplicationState.REJECTED,
        LACKS_IT,
        running,
    )
    later = changed(refused, LONGER, PROOF)
    assert (later.settings, later.state) == (
        replace(running, auto_lock_delay_seconds=60),
        ApplicationState.PENDING,
    )
    assert answered(later, answer(3)).settings == later.settings


def test_a_vehicle_that_never_applied_anything_runs_what_it_left_the_factory_with() -> None:
    refused = answered(changed(FRESH, CHILD_LOCK, PROOF), answer(1, applied=False, reason=LACKS_IT))
    assert refused.settings == DoorSettings()


def test_the_vehicles_own_word_says_what_runs() -> None:
    told = replace(DoorSettings(), auto_lock_delay_seconds=45)
    wanted = changed(changed(FRESH, CHILD_LOCK, PROOF), LONGER, PROOF)
    refused = answered(wanted, replace(answer(2, applied=False, reason=LACKS_IT), running=told))
    assert refused.settings == told
    in_part = answered(wanted, replace(answer(2, reason=LACKS_IT), running=told))
    assert (in_part.settings, in_part.state) == (told, ApplicationState.APPLIED)
    of_the_first = answered(wanted, replace(answer(1), running=told))
    assert (of_the_first.settings, of_the_first.running) == (wanted.settings, told)
    assert answered(of_the_first, answer(2, applied=False)).settings == told


def test_what_a_vehicle_left_out_is_shown_until_the_next_change() -> None:
    wanted = changed(FRESH, SettingsChange(child_lock_enabled=True, auto_lock_delay_seconds=60), PROOF)
    runs = replace(wanted.settings, child_lock_enabled=False)
    in_part = answered(wanted, replace(answer(1, reason=LACKS_IT), running=runs))
    assert in_part.left_out == LeftOutSettings(("child_lock_enabled",), LACKS_IT)
    again = answered(in_part, replace(answer(1, reason=LACKS_IT), running=runs))
    assert again.left_out == in_part.left_out  # the same answer, sent again
    after = changed(in_part, SettingsChange(speed_lock_threshold_kmh=40), PROOF)
    assert after.left_out is None
    assert answered(after, replace(answer(2), running=after.settings)).left_out is None


def test_a_hello_that_overtakes_the_answer_hides_nothing_that_was_left_out() -> None:
    wanted = changed(FRESH, CHILD_LOCK, PROOF)
    confirmed, _ = greeted(wanted, hello(1))
    assert confirmed.state is ApplicationState.APPLIED
    in_part = answered(confirmed, replace(answer(1, reason=LACKS_IT), running=DoorSettings()))
    assert in_part.left_out == LeftOutSettings(("child_lock_enabled",), LACKS_IT)
    assert not in_part.settings.child_lock_enabled


def test_what_was_left_out_may_come_back_as_it_was_read() -> None:
    left_out = LeftOutSettings(("child_lock_enabled",), LACKS_IT)
    config = replace(FRESH, desired_version=2, applied_version=2, left_out=left_out)
    read = ReadBack(desired_version=2, state=ApplicationState.APPLIED, applied_version=2)
    assert read.differing(config) is None
    assert replace(read, left_out=left_out).differing(config) is None
    assert replace(read, left_out=LeftOutSettings((), "")).differing(config) == "application"


def test_what_was_never_sent_does_not_run_either() -> None:
    applied = answered(changed(FRESH, LONGER, PROOF), answer(1))
    wanted = changed(applied, CHILD_LOCK, PROOF)
    assert unsent(wanted, 2, RIGHT_ENDED).settings == applied.settings
    faulty, _ = faulted(wanted, ConfigFault(VIN, "m-2", 2, "UNKNOWN_KEY", out_of_step=False))
    assert faulty.settings == applied.settings


def test_where_nobody_knows_what_runs_the_wanted_settings_stay() -> None:
    from_before = replace(
        WANTED, applied_version=2, settings=replace(DoorSettings(), child_lock_enabled=True)
    )
    assert answered(from_before, answer(3, applied=False)).settings == from_before.settings

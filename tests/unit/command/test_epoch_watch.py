"""What the order of a vehicle's epochs tells."""

from __future__ import annotations

from dataclasses import replace

from protocol.session import CloudSession, EpochRecord
from services.command.usecases.epoch_watch import (
    DOUBLED_MILLIS,
    LOOP_EPOCHS,
    LOOP_MILLIS,
    REBOOTS,
    TWO_UNITS,
    EpochWatch,
)

VIN = "KMHSH81C7LU123456"
NOW = 10_000_000


class Clock:
    def __init__(self) -> None:
        self.millis = NOW

    def __call__(self) -> int:
        return self.millis


def session(*orders: int) -> CloudSession:
    """Of epochs that began then, the last one last."""
    records = [EpochRecord(bytes([number]) * 16, order) for number, order in enumerate(orders, start=1)]
    return CloudSession(current=records[-1], ended=tuple(reversed(records[:-1])))


def back_to_the_first(before: CloudSession) -> CloudSession:
    first = before.ended[-1]
    return replace(before, current=first, ended=(before.current, *before.ended[:-1]))


def test_an_epoch_that_ended_and_is_entered_again_is_another_unit_s() -> None:
    watch, before = EpochWatch(Clock()), session(NOW - 50_000, NOW - 20_000)
    assert watch.entered(VIN, before, back_to_the_first(before), NOW) == TWO_UNITS
    assert watch.has_two_units(VIN)


def test_what_arrived_before_the_later_epoch_was_heard_is_only_late() -> None:
    watch, before = EpochWatch(Clock()), session(NOW - 50_000, NOW - 20_000)
    assert watch.entered(VIN, before, back_to_the_first(before), NOW - 30_000) is None
    assert watch.refused(VIN, before, before.ended[0].epoch, NOW - 30_000) is None
    assert not watch.has_two_units(VIN)


def test_a_refused_hello_of_an_epoch_that_ended_is_another_unit_s() -> None:
    watch, known = EpochWatch(Clock()), session(NOW - 50_000, NOW - 20_000)
    assert watch.refused(VIN, known, known.ended[0].epoch, NOW) == TWO_UNITS


def test_a_stale_answer_to_a_challenge_in_the_present_epoch_is_no_sign() -> None:
    watch, known = EpochWatch(Clock()), session(NOW - 50_000, NOW - 20_000)
    assert watch.refused(VIN, known, known.epoch, NOW) is None


def test_two_units_are_reckoned_with_for_an_hour() -> None:
    clock = Clock()
    watch, known = EpochWatch(clock), session(NOW - 50_000, NOW - 20_000)
    watch.refused(VIN, known, known.ended[0].epoch, NOW)
    clock.millis += DOUBLED_MILLIS - 1
    assert watch.has_two_units(VIN)
    clock.millis += 1
    assert not watch.has_two_units(VIN)


def test_many_epochs_in_a_short_time_are_a_reboot_loop() -> None:
    watch = EpochWatch(Clock())
    often = session(*(NOW - 60_000 + n for n in range(LOOP_EPOCHS)))
    assert watch.entered(VIN, session(NOW - 60_000), often, NOW) == REBOOTS
    once_less = session(*(NOW - 60_000 + n for n in range(LOOP_EPOCHS - 1)))
    assert watch.entered(VIN, session(NOW - 60_000), once_less, NOW) is None


def test_the_same_epochs_over_a_day_are_none() -> None:
    spread = session(*(NOW - (LOOP_EPOCHS - n) * LOOP_MILLIS for n in range(LOOP_EPOCHS)))
    assert EpochWatch(Clock()).entered(VIN, session(NOW - 60_000), spread, NOW) is None

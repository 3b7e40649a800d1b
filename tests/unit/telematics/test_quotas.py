"""How much a vehicle may say, and how vehicles take turns."""

from __future__ import annotations

from datetime import timedelta
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from protocol.subjects import EventKind
from services.platform.dead_letters import LetterLimits
from services.platform.fair_queue import FairQueue
from services.telematics.quotas import DEFAULT_QUOTAS, NOT_UNDERSTOOD, Quota, VehicleQuotas
from services.telematics.settings import VehicleServiceSettings, quotas_of

Item = TypeVar("Item")
RESULT = "vehicle.KMHSH81C7LU123456.evt.result"
OTHERS = "vehicle.KMHSH81C7LU654321.evt.result"
SECOND = 1_000_000_000
AT = 1_900_000_000 * SECOND


def quotas(mute_seconds: float = 60.0, most_kept: int = 100) -> VehicleQuotas:
    return VehicleQuotas({**DEFAULT_QUOTAS, EventKind.RESULT: Quota(5, 60, 100)}, mute_seconds, most_kept)


def taken(of: VehicleQuotas, subject: str, at_ns: int, times: int) -> int:
    return sum(of.excess(subject, 10, at_ns) is None for _ in range(times))


def test_a_burst_then_a_rate_then_silence_for_a_while_and_others_notice_nothing() -> None:
    of = quotas()
    assert taken(of, RESULT, AT, 5) == 5
    assert taken(of, RESULT, AT + SECOND, 1) == 1
    excess = of.excess(RESULT, 10, AT + SECOND)
    assert excess is not None
    assert (excess.muted, excess.reason.split(":")[0]) == (False, "OVER_QUOTA")
    for seconds in (1, 30, 60):
        muted = of.excess(RESULT, 10, AT + seconds * SECOND)
        assert muted is not None
        assert (muted.muted, muted.reason) == (True, excess.reason)
    assert taken(of, OTHERS, AT + SECOND, 5) == 5
    assert taken(of, RESULT.replace("result", "received"), AT + SECOND, 5) == 5
    assert taken(of, RESULT, AT + 61 * SECOND, 9) == 5


def test_a_backlog_costs_nothing_because_the_brokers_time_counts() -> None:
    of = quotas()
    assert all(of.excess(RESULT, 10, AT + n * SECOND) is None for n in range(1_000))


def test_what_is_delivered_again_counts_once() -> None:
    of = quotas()
    assert all(of.excess(RESULT, 10, AT, first=False) is None for _ in range(100))
    assert taken(of, RESULT, AT, 6) == 5
    assert of.excess(RESULT, 10, AT, first=False) is not None  # it is muted


def test_what_is_too_large_is_refused_and_many_of_them_mute() -> None:
    of = quotas()
    reasons = [of.excess(RESULT, 101, AT) for _ in range(NOT_UNDERSTOOD.burst + 2)]
    assert [r.reason.split(":")[0] for r in reasons if r] == ["TOO_LARGE"] * NOT_UNDERSTOOD.burst + [
        "OVER_QUOTA"
    ] * 2
    assert of.excess("vehicle_status.3.KMHSH81C7LU123456", 16_385, AT) is not None
    assert of.excess("vehicle_status.3.KMHSH81C7LU123456", 16_384, AT) is None


def test_who_is_not_understood_too_often_is_muted() -> None:
    of = quotas()
    assert [of.dead_lettered(RESULT, AT) for _ in range(NOT_UNDERSTOOD.burst)] == [
        None
    ] * NOT_UNDERSTOOD.burst
    mute = of.dead_lettered(RESULT, AT)
    assert mute is not None
    assert "not understood" in mute.reason
    assert of.excess(RESULT, 10, AT) is not None


def test_senders_that_are_remembered_are_bounded() -> None:
    of = quotas(most_kept=100)
    for number in range(1_000):
        of.excess(f"vehicle.KMHSH81C7LU{number:06}.evt.result", 10, AT + number * SECOND)
    assert len(of._said) <= 101


def test_settings_name_what_differs() -> None:
    assert quotas_of("") == DEFAULT_QUOTAS
    changed = quotas_of("result=5:60:100, status=1:1:1")
    assert changed[EventKind.RESULT] == Quota(5, 60, 100)
    assert changed[EventKind.STATUS] == Quota(1, 1, 1)
    assert changed[EventKind.HELLO] == DEFAULT_QUOTAS[EventKind.HELLO]
    for wrong in (
        "result",
        "result=0:1:1",
        "nothing=1:1:1",
        "result=1:0:1",
        "result=1:1:0",
        "hello=1:1:9999999",
    ):
        with pytest.raises(ValueError, match=r"result|nothing|hello"):
            quotas_of(wrong)
    with pytest.raises(ValidationError, match="vehicle_quotas"):
        VehicleServiceSettings.model_validate({"vehicle_quotas": "x"})


def items(taken: list[tuple[int, str, Item]]) -> list[Item]:
    return [item for _, _, item in taken]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=60), st.integers(1, 4))
def test_each_sender_keeps_its_order_and_nothing_is_lost(steps: list[tuple[str, bool]], share: int) -> None:
    queue: FairQueue[int, tuple[str, int]] = FairQueue(share)
    left: list[tuple[str, int]] = []
    for number, (sender, take) in enumerate(steps):
        queue.put(number, sender, (sender, number))
        if take:
            left += items(queue.take(2))
    while queue:
        left += items(queue.take(7))
    assert sorted(left, key=lambda item: item[1]) == [(sender, n) for n, (sender, _) in enumerate(steps)]
    for sender in "abc":
        own = [n for s, n in left if s == sender]
        assert own == sorted(own)


def test_whoever_comes_waits_for_no_more_than_a_share_of_another() -> None:
    queue: FairQueue[int, str] = FairQueue(3)
    for number in range(1_000):
        queue.put(number, "loud", "loud")
    queue.put(1_000, "quiet", "quiet")
    assert items(queue.take(5)) == ["loud", "loud", "loud", "quiet", "loud"]
    assert len(queue.take(2_000)) == 996


def test_what_comes_again_while_it_waits_is_there_once() -> None:
    queue: FairQueue[int, str] = FairQueue(1)
    for text in ("first", "again"):
        for number in range(3):
            queue.put(number, "a", f"{text} {number}")
    assert items(queue.take(10)) == ["again 0", "again 1", "again 2"]


def test_what_is_kept_of_dead_letters_is_a_setting() -> None:
    given = {"dead_letter_bytes": 300, "dead_letters_per_vehicle": 2, "dead_letter_days": 3}
    settings = VehicleServiceSettings.model_construct(
        **given, vehicle_quotas="result=1:1:9", vehicle_mute_seconds=5
    )
    assert settings.letter_limits == LetterLimits(300, 2, timedelta(days=3))
    of = settings.quotas()
    assert [of.excess(RESULT, 9, AT) is None for _ in range(2)] == [True, False]
    muted = of.excess(RESULT, 9, AT + 4 * SECOND)
    assert muted is not None
    assert muted.reason.endswith("muted for 5 s")
    assert of.excess(RESULT, 9, AT + 5 * SECOND) is None
    for wrong in (
        {"dead_letter_bytes": 255},
        {"dead_letters_per_vehicle": 0},
        {"dead_letter_days": 0},
        {"vehicle_mute_seconds": 0.5},
    ):
        with pytest.raises(ValidationError, match=next(iter(wrong))):
            VehicleServiceSettings.model_validate(wrong)

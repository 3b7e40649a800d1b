"""How the public contract shows times and numbers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from services.platform.public_values import amount, seconds
from services.platform.times import set_microseconds, set_time, time_text

AT = datetime(2026, 1, 12, 14, 30, 18, tzinfo=UTC)


@pytest.mark.parametrize(
    ("microseconds", "digits"),
    [(0, "000"), (1, "000"), (999, "000"), (1_000, "001"), (120_000, "120"), (999_999, "999")],
)
def test_a_time_has_exactly_three_digits(microseconds: int, digits: str) -> None:
    at = AT + timedelta(microseconds=microseconds)
    stamp, same = Timestamp(), Timestamp()
    set_time(stamp, at)
    set_microseconds(same, round(AT.timestamp()) * 1_000_000 + microseconds)
    assert stamp == same
    assert time_text(stamp) == f"2026-01-12T14:30:18.{digits}Z"
    assert stamp.nanos % 1_000_000 == 0


def test_a_time_of_before_1970_stays_before_it() -> None:
    stamp = Timestamp()
    set_microseconds(stamp, -1)
    assert (stamp.seconds, stamp.nanos, time_text(stamp)) == (-1, 999_000_000, "1969-12-31T23:59:59.999Z")


def test_no_zero_has_a_sign() -> None:
    assert [str(amount(number)) for number in (-0.0, 0.0, 3.5)] == ["0.0", "0.0", "3.5"]
    assert [str(seconds(number)) for number in (-0.0, -0.0001, -3.0, 2.50049)] == ["0.0", "0.0", "0.0", "2.5"]

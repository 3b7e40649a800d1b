"""How the public contract shows times and numbers: one rule for every service.

Times are UTC with exactly three digits behind the second (docs/decisions/0045), and no number is a negative zero.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def set_time(timestamp: Timestamp, at: datetime) -> None:
    """Set `timestamp` to the millisecond that holds `at`: finer than that no two clocks here agree."""
    _set_milliseconds(timestamp, (at - _EPOCH) // _MILLISECOND)


def set_microseconds(timestamp: Timestamp, microseconds: int) -> None:
    """Set `timestamp` to the millisecond that holds this many microseconds since 1970."""
    _set_milliseconds(timestamp, microseconds // 1_000)


def _set_milliseconds(timestamp: Timestamp, milliseconds: int) -> None:
    seconds, rest = divmod(milliseconds, 1_000)
    timestamp.seconds = seconds
    timestamp.nanos = rest * 1_000_000


def time_text(timestamp: Timestamp) -> str:
    """Return RFC 3339 text, UTC, with exactly three digits. Raises ValueError or OverflowError past year 9999."""
    at = _EPOCH + timedelta(seconds=timestamp.seconds, milliseconds=timestamp.nanos // 1_000_000)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1_000:03}Z"


def amount(number: float) -> float:
    """Return `number`, a zero without a sign: JSON would print -0."""
    return number + 0.0


def seconds(duration: float) -> float:
    """Return a duration to the millisecond, never below zero: two clocks may disagree about its ends."""
    return max(0.0, round(duration, 3))

"""How times are written: between datetimes, the contract's timestamps, and whole numbers since 1970.

Inside, a time is a datetime in UTC, or whole milliseconds or microseconds since 1970. The public contract shows times
with exactly three digits behind the second (docs/decisions/0045).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_MICROSECOND = timedelta(microseconds=1)


def milliseconds(at: datetime) -> int:
    """Return whole milliseconds since 1970."""
    return (at - EPOCH) // _MILLISECOND


def microseconds(at: datetime) -> int:
    """Return whole microseconds since 1970."""
    return (at - EPOCH) // _MICROSECOND


def moment(microseconds_since_1970: int) -> datetime:
    """Return microseconds since 1970 as a time in UTC. Raises OverflowError past year 9999."""
    return EPOCH + microseconds_since_1970 * _MICROSECOND


def set_time(timestamp: Timestamp, at: datetime) -> None:
    """Set `timestamp` to the millisecond that holds `at`: finer than that no two clocks here agree."""
    _set_milliseconds(timestamp, milliseconds(at))


def set_microseconds(timestamp: Timestamp, microseconds: int) -> None:
    """Set `timestamp` to the millisecond that holds this many microseconds since 1970."""
    _set_milliseconds(timestamp, microseconds // 1_000)


def shown_time(at: datetime) -> Timestamp:
    """Return the millisecond that holds `at`, as answers show it."""
    timestamp = Timestamp()
    set_time(timestamp, at)
    return timestamp


def shown_time_or_none(at: datetime | None) -> Timestamp | None:
    """Return the millisecond that holds `at`, as answers show it; None where there is no time."""
    return None if at is None else shown_time(at)


def exact_time(at: datetime) -> Timestamp:
    """Return `at` to the microsecond: what services tell each other, and compare."""
    timestamp = Timestamp()
    timestamp.FromDatetime(at)
    return timestamp


def time_of(timestamp: Timestamp) -> datetime:
    """Return the time, UTC, to the microsecond. Raises ValueError for one that is none, or none before year 10000."""
    try:
        return timestamp.ToDatetime(tzinfo=UTC)
    except OverflowError as error:
        raise ValueError("a time that is none") from error


def time_text(timestamp: Timestamp) -> str:
    """Return RFC 3339 text, UTC, with exactly three digits. Raises OverflowError past year 9999."""
    at = EPOCH + timedelta(seconds=timestamp.seconds, milliseconds=timestamp.nanos // 1_000_000)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1_000:03}Z"


def _set_milliseconds(timestamp: Timestamp, milliseconds: int) -> None:
    seconds, rest = divmod(milliseconds, 1_000)
    timestamp.seconds = seconds
    timestamp.nanos = rest * 1_000_000

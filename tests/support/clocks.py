"""The clock that tests move."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from services.platform.times import microseconds, milliseconds

START = datetime(2027, 1, 15, 8, 0, tzinfo=UTC)


class FakeClock:
    """services.platform.clock.Clock, which stands still until it is moved: both clocks together."""

    def __init__(self, at: datetime = START) -> None:
        self.at = at
        self._began = at

    def now(self) -> datetime:
        return self.at

    def seconds(self) -> float:
        return self.at.timestamp()

    def milliseconds(self) -> int:
        return milliseconds(self.at)

    def microseconds(self) -> int:
        return microseconds(self.at)

    def monotonic(self) -> float:
        return (self.at - self._began).total_seconds()

    def advance(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)

    def reach(self, seconds: float) -> None:
        """Stand so long after the beginning."""
        self.at = self._began + timedelta(seconds=seconds)

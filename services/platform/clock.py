"""The clocks of a process. Nothing else reads them: they are passed in, so that tests can move them."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """The wall clock, which may be set, and the monotonic one, which only goes on."""

    def now(self) -> datetime:
        """Now, UTC."""

    def seconds(self) -> float:
        """Now, seconds since 1970."""

    def milliseconds(self) -> int:
        """Now, whole milliseconds since 1970."""

    def microseconds(self) -> int:
        """Now, whole microseconds since 1970."""

    def monotonic(self) -> float:
        """Seconds since some moment in the past: for how long something lasts."""


class SystemClock:
    """The operating system's clocks."""

    now = staticmethod(lambda: datetime.now(UTC))
    seconds = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)

    @staticmethod
    def milliseconds() -> int:
        """Now, whole milliseconds since 1970."""
        return time.time_ns() // 1_000_000

    @staticmethod
    def microseconds() -> int:
        """Now, whole microseconds since 1970."""
        return time.time_ns() // 1_000


CLOCK: Clock = SystemClock()
"""This process's."""

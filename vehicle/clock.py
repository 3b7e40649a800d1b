"""The car's clocks. Passed in everywhere, so that tests can move them."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What time the car believes it is, and how long it has been running."""

    def now(self) -> datetime:
        """Now, UTC. It may be wrong, and may be set."""
        ...

    def uptime_millis(self) -> int:
        """Return thousandths of a second since some moment in the past. Never stops, not in sleep either, and is
        never set: what expires, expires by this.
        """
        ...


class SystemClock:
    """The operating system's clocks."""

    def now(self) -> datetime:
        """Now, UTC."""
        return datetime.now(UTC)

    def uptime_millis(self) -> int:
        """CLOCK_BOOTTIME: unlike the monotonic clock, it counts while the machine is suspended."""
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000

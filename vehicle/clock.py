"""The car's clock. Passed in everywhere, so that tests can move it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What time the car believes it is."""

    def now(self) -> datetime:
        """Now, UTC."""
        ...


class SystemClock:
    """The operating system's clock."""

    def now(self) -> datetime:
        """Now, UTC."""
        return datetime.now(UTC)

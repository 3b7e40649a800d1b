"""How often, and how long after each other, the same request is sent."""

from __future__ import annotations

import random
from dataclasses import dataclass

LONGEST_WATCH_PAUSE = 300.0
"""Seconds: however long the service says to keep away, a watch tries again by then."""
_random = random.SystemRandom()


@dataclass(frozen=True, kw_only=True)
class Retries:
    """How a request that may be repeated safely is: at most `attempts` times in all, the last one begun within
    `within_seconds` of the first. The pauses between are random, up to `first_pause` seconds, then twice as much each
    time, up to `longest_pause`; and never shorter than what `Retry-After` says.

    Commands are begun again for `command_seconds` only: who pressed a button longer ago does not expect a door to move.
    """

    attempts: int = 4
    within_seconds: float = 30.0
    command_seconds: float = 15.0
    first_pause: float = 0.25
    longest_pause: float = 8.0

    def __post_init__(self) -> None:
        """Raise ValueError where a number makes no sense."""
        if not 1 <= self.attempts <= 20:  # noqa: PLR2004  # what nobody needs more of
            raise ValueError("attempts: 1 to 20")
        if not 0 < self.first_pause <= self.longest_pause:
            raise ValueError("first_pause: more than 0, and at most longest_pause")
        if self.within_seconds < 0 or self.command_seconds < 0:
            raise ValueError("within_seconds, command_seconds: 0 or more")

    def pause(self, attempt: int, retry_after: float | None = None) -> float:
        """Return the seconds to wait after this attempt (from 1): random, so that not all come at once."""
        most = min(self.longest_pause, self.first_pause * 2 ** min(attempt - 1, 30))
        jittered = most / 2 + _random.uniform(0, most / 2)
        return jittered if retry_after is None else retry_after + _random.uniform(0, min(1.0, most))

    def watch_pause(self, attempt: int, told: float | None) -> float:
        """Return the seconds to wait before a watch is opened again, of which the service said `told`."""
        return self.pause(attempt, None if told is None else min(told, LONGEST_WATCH_PAUSE))


NO_RETRIES = Retries(attempts=1)

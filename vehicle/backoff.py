"""Waiting longer after each failure, with jitter so that many cars do not come back at the same moment."""

from __future__ import annotations

import random

START_SECONDS = 0.02
LONGEST_SECONDS = 2.0


class Backoff:
    """Delays that double from START_SECONDS to LONGEST_SECONDS, each between half and all of its size."""

    def __init__(self) -> None:
        self._size_seconds = START_SECONDS

    def next_seconds(self) -> float:
        """How long to wait now."""
        size, self._size_seconds = self._size_seconds, min(LONGEST_SECONDS, 2 * self._size_seconds)
        return size * (0.5 + random.random() / 2)  # noqa: S311 - jitter is no secret

    def reset(self) -> None:
        """It worked: the next failure starts small again."""
        self._size_seconds = START_SECONDS

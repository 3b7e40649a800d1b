"""Waiting longer after each failure, with jitter so that many cars do not come back at the same moment."""

from __future__ import annotations

import random

START_SECONDS = 0.02
LONGEST_SECONDS = 2.0
CONNECT_START_SECONDS = 1.0
CONNECT_LONGEST_SECONDS = 30.0
"""Many cars lose their broker together, and each new connection costs it a handshake and a question to the cloud:
cars that all tried again at once would keep it from ever coming back.
"""


class Backoff:
    """Delays that double from `start_seconds` to `longest_seconds`, each between half and all of its size."""

    def __init__(
        self, start_seconds: float = START_SECONDS, longest_seconds: float = LONGEST_SECONDS
    ) -> None:
        self._start_seconds = self._size_seconds = start_seconds
        self._longest_seconds = longest_seconds

    @classmethod
    def to_connect(cls) -> Backoff:
        """Between attempts to reach the broker."""
        return cls(CONNECT_START_SECONDS, CONNECT_LONGEST_SECONDS)

    def next_seconds(self) -> float:
        """Return how long to wait now."""
        size, self._size_seconds = self._size_seconds, min(self._longest_seconds, 2 * self._size_seconds)
        return size * (0.5 + random.random() / 2)  # noqa: S311 - jitter is no secret

    def reset(self) -> None:
        """Start small again at the next failure: it worked."""
        self._size_seconds = self._start_seconds

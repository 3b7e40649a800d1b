"""How much of a rate is left to whoever asks. Standard library only."""

from __future__ import annotations

import math
from typing import NamedTuple

WINDOW_SECONDS = 60


class RateState(NamedTuple):
    """What is left of one rate after a request was counted: `tokens` of `quota`, which come back in WINDOW_SECONDS."""

    limit_class: str
    quota: int
    tokens: float

    @property
    def remaining(self) -> int:
        """How many requests may come at once now."""
        return int(self.tokens)

    @property
    def whole_in_seconds(self) -> int:
        """In how many seconds all of the quota is there again, unless something more is asked for."""
        return math.ceil((self.quota - self.tokens) * WINDOW_SECONDS / self.quota)


def tightest(states: list[RateState]) -> RateState | None:
    """Return that of which the least is left; the first of several."""
    return min(states, key=lambda state: state.remaining, default=None)

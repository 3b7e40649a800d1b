"""Which counters of a peer were seen."""

from __future__ import annotations

from dataclasses import dataclass

from protocol.domains import MAX_COUNTER
from protocol.faults import Fault, MessageRefusedError

WIDTH = 64


@dataclass(frozen=True, slots=True)
class Window:
    """The highest counter seen, and which of the WIDTH before it (as in RFC 4303, appendix A2).

    What a vehicle sends again after a lost confirmation arrives behind what it sent since; a
    strictly rising counter would lose it. `seen` has bit n set for `highest - n`.
    """

    highest: int = 0
    seen: int = 0

    def check(self, counter: int) -> None:
        """Raise MessageRefusedError (COUNTER_NOT_NEW, COUNTER_TOO_LARGE) unless it was never seen."""
        if counter > MAX_COUNTER:
            raise MessageRefusedError(Fault.COUNTER_TOO_LARGE, "beyond the last counter of an epoch")
        behind = self.highest - counter
        if counter < 1 or behind >= WIDTH or (behind >= 0 and self.seen >> behind & 1):
            raise MessageRefusedError(Fault.COUNTER_NOT_NEW, "seen before, or too long ago to tell")

    def with_counter(self, counter: int) -> Window:
        """Return the window after this counter, which `check` let pass, now or earlier."""
        ahead = counter - self.highest
        if ahead <= -WIDTH:
            return self
        if ahead <= 0:
            return Window(self.highest, self.seen | 1 << -ahead)
        seen = (self.seen << ahead | 1) & ((1 << WIDTH) - 1) if ahead < WIDTH else 1
        return Window(counter, seen)

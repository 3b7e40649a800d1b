"""How often the car answers what may be noise: refused orders, orders that come again, session requests.

Anybody who reaches the broker can replay old messages, and each answer costs a signature and charge of the
battery. What is over the budget is dropped without a word.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vehicle.clock import Clock

AT_ONCE = 5
"""What waits for a car that wakes may be answered together: a command, its cancellation, settings."""

MILLIS_EACH = 1000


class AnswerBudget:
    """AT_ONCE answers at once, and one each MILLIS_EACH over time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._left = AT_ONCE
        self._counted_at_millis = clock.uptime_millis()

    def take(self) -> bool:
        """Return whether there is an answer left; if so, it is used up."""
        earned, rest_millis = divmod(self._clock.uptime_millis() - self._counted_at_millis, MILLIS_EACH)
        self._counted_at_millis = self._clock.uptime_millis() - rest_millis
        self._left = min(AT_ONCE, self._left + earned)
        if not self._left:
            return False
        self._left -= 1
        return True

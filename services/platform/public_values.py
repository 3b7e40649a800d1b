"""How the public contract shows numbers: one rule for every service. Its times: services.platform.times.

No number is a negative zero.
"""

from __future__ import annotations


def amount(number: float) -> float:
    """Return `number`, a zero without a sign: JSON would print -0."""
    return number + 0.0


def seconds(duration: float) -> float:
    """Return a duration to the millisecond, never below zero: two clocks may disagree about its ends."""
    return max(0.0, round(duration, 3))

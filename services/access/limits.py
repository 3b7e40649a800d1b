"""How often a principal may ask something of a vehicle: one token bucket per principal, vehicle and class.

Buckets live in this process: with N replicas a caller has up to N times the rate. That is enough to
stop floods; nothing about safety rests on it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from services.runtime import errors
from services.runtime.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

WINDOW_SECONDS = 60
MAX_BUCKETS = 100_000


class RateLimits:
    """`per_minute` gives the rate of each class, which is also how many may come at once."""

    def __init__(
        self, per_minute: Mapping[str, int], now: Callable[[], float], most: int = MAX_BUCKETS
    ) -> None:
        self._per_minute = per_minute
        self._now = now
        self._most = most
        self._buckets: dict[tuple[str, str, str], tuple[float, float]] = {}

    def take(self, subject: str, vin: str, limit_class: str) -> None:
        """Count one request. Raises Refusal RATE_LIMITED when there is no token left."""
        quota = self._per_minute[limit_class]
        key = (subject, vin, limit_class)
        now = self._now()
        # Taken out and put back, so that the first key is always the one not used for longest.
        tokens, at = self._buckets.pop(key, (float(quota), now))
        tokens = min(quota, tokens + (now - at) * quota / WINDOW_SECONDS)
        enough = tokens >= 1
        if len(self._buckets) >= self._most:
            del self._buckets[next(iter(self._buckets))]
        self._buckets[key] = (tokens - 1 if enough else tokens, now)
        if not enough:
            raise _refused(limit_class, quota, math.ceil((1 - tokens) * WINDOW_SECONDS / quota))


def _refused(limit_class: str, quota: int, seconds: int) -> Refusal:
    return Refusal(
        errors.RATE_LIMITED,
        f"More than {quota} {limit_class} requests a minute for this vehicle; try again in {seconds} s.",
        retry_after_seconds=seconds,
        headers={
            "ratelimit-policy": f'"{limit_class}";q={quota};w={WINDOW_SECONDS}',
            "ratelimit": f'"{limit_class}";r=0;t={seconds}',
        },
    )

"""How often somebody may ask something: token buckets.

Buckets live in this process. Replicas share a rate by each giving its share of it (`shares` of the settings), which
comes out right where requests go to all of them in turn, and costs no request anything; nothing about safety rests on
it. A command counts against its user and vehicle, and against wider buckets: its user, its agent, its client and its
address.

A LOCK that is carried out is not counted: a person who can do nothing else any more can still lock the car. One command
is in flight on a vehicle, so the vehicle itself bounds how many there are. A cancellation has a bucket of its own, that
nothing else is counted against: it takes back what has spent the rate. What was refused is counted apart from what
was carried out, so that mistakes do not use up what commands need. The same request again, under the id that its caller
gave it, is answered from the record and counts as a read.
"""

from __future__ import annotations

import ipaddress
import math
from typing import TYPE_CHECKING

from services.access.adapters.recent import ExpiringCache
from services.access.domain.rates import WINDOW_SECONDS, RateState
from services.platform import errors
from services.platform.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_BUCKETS = 100_000
REPEAT_SECONDS = 3_600.0
_IPV6_NETWORK_BITS = 64
UNKNOWN = "unknown"

WHAT = {
    "cancel": "cancellations a minute for this vehicle",
    "command": "command requests a minute for this vehicle",
    "user": "command requests a minute of this account, over all of its vehicles",
    "agent": "command requests a minute of this agent, over all customers",
    "client": "command requests a minute of this client or API key",
    "address": "command requests a minute from this address",
    "read": "read requests a minute for this vehicle",
    "session": "connections and tickets for live updates a minute",
    "refused": "requests a minute that had to be refused",
    UNKNOWN: "requests a minute for vehicles that are not among yours",
    "failed": "requests a minute without a good token from this address",
}
"""Every class of requests, and how its limit is told."""


class RateLimitError(Refusal):
    """RATE_LIMITED, and of which class of requests there were too many."""

    limit_class = ""


class RateLimits:
    """`per_minute` gives the rate of each class, which is also how many may come at once; a class without one is not
    limited.

    Each class has at most `most` buckets, and the one not used for longest makes room: a flood of one class pushes
    nobody's bucket out of another.
    """

    def __init__(
        self, per_minute: Mapping[str, int], now: Callable[[], float], most: int = MAX_BUCKETS
    ) -> None:
        self._per_minute = per_minute
        self._now = now
        self._most = most
        self._buckets: dict[str, dict[tuple[str, ...], tuple[float, float]]] = {name: {} for name in WHAT}

    def take(self, limit_class: str, *who: str) -> RateState | None:
        """Count one request, and return what is left then; None where there is no limit. Raises RateLimitError
        when there is no token left.
        """
        quota = self._per_minute.get(limit_class)
        if quota is None:
            return None
        buckets = self._buckets[limit_class]
        now = self._now()
        # Taken out and put back, so that the first key is always the one not used for longest.
        tokens, at = buckets.pop(who, (float(quota), now))
        tokens = min(quota, tokens + (now - at) * quota / WINDOW_SECONDS)
        enough = tokens >= 1
        if len(buckets) >= self._most:
            del buckets[next(iter(buckets))]
        buckets[who] = (tokens - 1 if enough else tokens, now)
        if not enough:
            raise _refused(limit_class, quota, math.ceil((1 - tokens) * WINDOW_SECONDS / quota))
        return RateState(limit_class, quota, tokens - 1)


class CountedRequests:
    """The requests of the last hour that were counted under an id of their caller's.

    An id makes one command at most, whatever becomes of its first request: who repeats it gets no second one for the
    price of one.
    """

    def __init__(self, now: Callable[[], float], most: int = MAX_BUCKETS) -> None:
        self._now = now
        self._known: ExpiringCache[tuple[str, ...], bool] = ExpiringCache(most)

    def has(self, *which: str) -> bool:
        """Return whether this request was counted."""
        return self._known.get(which, self._now()) is not None

    def note(self, *which: str) -> None:
        """Remember that it was counted."""
        self._known.put(which, True, self._now() + REPEAT_SECONDS)


def network_of(address: str) -> str:
    """Return what one household or host has of addresses: an IPv4 address, or the first 64 bits of an IPv6 one."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return ""
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((int(parsed), _IPV6_NETWORK_BITS), strict=False))
    return str(parsed)


def _refused(limit_class: str, quota: int, seconds: int) -> RateLimitError:
    refusal = RateLimitError(
        errors.RATE_LIMITED,
        f"More than {quota} {WHAT[limit_class]}; try again in {seconds} s.",
        retry_after_seconds=seconds,
        headers=_fields(limit_class, quota, 0, seconds),
    )
    refusal.limit_class = limit_class
    return refusal


def rate_headers(state: RateState | None) -> dict[str, str]:
    """Return what an answer says of its caller's rate (draft-ietf-httpapi-ratelimit-headers of the IETF); nothing of
    what is not limited.
    """
    if state is None:
        return {}
    return _fields(state.limit_class, state.quota, state.remaining, state.whole_in_seconds)


def _fields(limit_class: str, quota: int, remaining: int, seconds: int) -> dict[str, str]:
    return {
        "ratelimit-policy": f'"{limit_class}";q={quota};w={WINDOW_SECONDS}',
        "ratelimit": f'"{limit_class}";r={remaining};t={seconds}',
    }

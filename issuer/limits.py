"""How many failures are borne: of an account from one address, of an address, and of an account from everywhere."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

WINDOW_SECONDS = 300.0
PER_ACCOUNT_AND_ADDRESS = 5
PER_ADDRESS = 50
PER_ACCOUNT = 100
RATE_PER_SECOND = 50
BURST = 300
"""Of requests of any kind, for each address."""
PASSWORD_TRY, SECOND_FACTOR_TRY, MANDATE_TRY = "password", "second factor", "mandate"
"""What is guessed at."""
MAX_COUNTED = 10_000
"""So many counters are kept; the one that was touched longest ago goes first."""


class TooManyFailuresError(Exception):
    """No further try for a while, right or wrong."""


@dataclass(frozen=True, slots=True)
class CountedTry:
    """One try that is counted as a failure until it is known to be right."""

    kind: str
    account: str
    address: str
    at: float


class FailureLimits:
    """Counts failures in a sliding window, from any thread. `now` counts seconds.

    Each kind of secret has a counter of its own, so that who knows one of them guesses at another no longer for it.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._one_at_a_time = threading.Lock()
        self._failures: OrderedDict[tuple[str, ...], deque[float]] = OrderedDict()

    def begin(self, kind: str, account: str, address: str) -> CountedTry:
        """Count a try before it is looked at: of many at once, no more than the limit are.

        Raises TooManyFailuresError where there were too many.
        """
        started = CountedTry(kind, account, address, self._now())
        counters = _counters(started)
        with self._one_at_a_time:
            for key, limit in counters:
                failures = self._failures.get(key)
                while failures and failures[0] <= started.at - WINDOW_SECONDS:
                    failures.popleft()
                if failures and len(failures) >= limit:
                    raise TooManyFailuresError
            for key, limit in counters:
                self._failures.setdefault(key, deque(maxlen=limit)).append(started.at)
                self._failures.move_to_end(key)
            while len(self._failures) > MAX_COUNTED:
                self._failures.popitem(last=False)
        return started

    def was_right(self, started: CountedTry, *, clear: bool = True) -> None:
        """Take the try back, and with `clear` those of its kind from its address: it was the owner after all."""
        with self._one_at_a_time:
            for key, _ in _counters(started):
                failures = self._failures.get(key)
                if failures and started.at in failures:
                    failures.remove(started.at)
            if clear:
                self._failures.pop(_own_counter(started), None)


def _own_counter(started: CountedTry) -> tuple[str, ...]:
    return "both", started.kind, started.account, started.address


def _counters(started: CountedTry) -> tuple[tuple[tuple[str, ...], int], ...]:
    return (
        (_own_counter(started), PER_ACCOUNT_AND_ADDRESS),
        (("address", started.address), PER_ADDRESS),
        (("account", started.account), PER_ACCOUNT),
    )


class RequestRates:
    """How often one address may ask: RATE_PER_SECOND in the long run, BURST at once. `now` counts seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def allows(self, address: str) -> bool:
        """Return whether one more request is borne, and count it."""
        now = self._now()
        left, at = self._left.get(address, (float(BURST), now))
        left = min(float(BURST), left + max(0.0, now - at) * RATE_PER_SECOND)
        allowed = left >= 1
        self._left[address] = (left - 1 if allowed else left, now)
        self._left.move_to_end(address)
        if len(self._left) > MAX_COUNTED:
            self._left.popitem(last=False)
        return allowed

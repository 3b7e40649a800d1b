"""How many failures are borne: of an account from one address, of an address, and of an account from everywhere."""

from __future__ import annotations

from collections import OrderedDict, deque
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
MAX_COUNTED = 10_000
"""So many counters are kept; the one that was touched longest ago goes first."""


class TooManyFailuresError(Exception):
    """No further try for a while, right or wrong."""


class FailureLimits:
    """Counts failures in a sliding window. `now` counts seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._failures: OrderedDict[tuple[str, ...], deque[float]] = OrderedDict()

    def check(self, account: str, address: str) -> None:
        """Raise TooManyFailuresError where there were too many."""
        for key, limit in _counters(account, address):
            failures = self._failures.get(key)
            while failures and failures[0] <= self._now() - WINDOW_SECONDS:
                failures.popleft()
            if failures and len(failures) >= limit:
                raise TooManyFailuresError

    def failed(self, account: str, address: str) -> None:
        """Count one."""
        for key, limit in _counters(account, address):
            self._failures.setdefault(key, deque(maxlen=limit)).append(self._now())
            self._failures.move_to_end(key)
        while len(self._failures) > MAX_COUNTED:
            self._failures.popitem(last=False)

    def succeeded(self, account: str, address: str) -> None:
        """Forget the failures of this account from this address: it was its owner after all."""
        self._failures.pop(("both", account, address), None)


def _counters(account: str, address: str) -> tuple[tuple[tuple[str, ...], int], ...]:
    return (
        (("both", account, address), PER_ACCOUNT_AND_ADDRESS),
        (("address", address), PER_ADDRESS),
        (("account", account), PER_ACCOUNT),
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

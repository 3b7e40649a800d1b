"""What the signer bounds by what it signed moments ago. Kept in memory, and only for as long as there is
service: a bound that was forgotten, or that another replica keeps, makes it wider and never refuses a good order.
"""

from __future__ import annotations

from collections import OrderedDict

LEAP = 65_536
"""So far beyond the highest counter that was signed in an epoch the next may be: other replicas sign, too."""
FIRST_AT_MOST = 2**32 - 1
"""The counter of an epoch of which nothing is remembered: nobody gets there by counting."""
_MOST_REMEMBERED = 50_000

REQUESTS_PER_VEHICLE = 6
REQUESTS_IN_ALL = 2_000
REQUEST_WINDOW_SECONDS = 10.0
"""So many session requests of one vehicle, and so many in all for each second, are signed within this window."""


class CounterBound:
    """No order may use up an epoch's counters: the vehicle would take no order after it."""

    def __init__(self) -> None:
        self._highest: OrderedDict[tuple[str, bytes, str], int] = OrderedDict()

    def admits(self, vin: str, epoch: bytes, domain: str, counter: int) -> bool:
        """Return whether this counter may be signed. An earlier one is harmless: the vehicle refuses it."""
        highest = self._highest.get((vin, epoch, domain))
        return counter <= (FIRST_AT_MOST if highest is None else highest + LEAP)

    def signed(self, vin: str, epoch: bytes, domain: str, counter: int) -> None:
        """Note that this one was signed."""
        key = (vin, epoch, domain)
        self._highest[key] = max(counter, self._highest.get(key, 0))
        self._highest.move_to_end(key)
        if len(self._highest) > _MOST_REMEMBERED:
            self._highest.popitem(last=False)


class RequestBound:
    """How many session requests are signed: each costs its vehicle an answer. Times are in seconds."""

    def __init__(self) -> None:
        self._since = float("-inf")
        self._of: dict[str, int] = {}
        self._in_all = 0

    def takes(self, vin: str, at: float) -> bool:
        """Count one more of this vehicle; False when it is one too many."""
        if at - self._since >= REQUEST_WINDOW_SECONDS:
            self._since, self._of, self._in_all = at, {}, 0
        if (
            self._in_all >= REQUESTS_IN_ALL * REQUEST_WINDOW_SECONDS
            or self._of.get(vin, 0) >= REQUESTS_PER_VEHICLE
        ):
            return False
        self._of[vin] = self._of.get(vin, 0) + 1
        self._in_all += 1
        return True

"""How much somebody may have and ask: counts of what is open, and rates of what comes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.settings import GatewaySettings

_MINUTE = 60.0


class MessageRate:
    """At most `per_minute` in a minute, which is also how many may come at once. Times are in seconds."""

    def __init__(self, per_minute: int, now: float) -> None:
        self._per_minute = per_minute
        self._left = float(per_minute)
        self._at = now

    def take(self, now: float) -> bool:
        """Count one more; False when it is one too many."""
        self._left = min(self._per_minute, self._left + (now - self._at) * self._per_minute / _MINUTE)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class UserRates:
    """At most `per_minute` in a minute of each user. Of `most` users the one not heard of for longest makes room."""

    def __init__(self, per_minute: int, most: int) -> None:
        self._per_minute = per_minute
        self._most = most
        self._rates: dict[str, MessageRate] = {}

    def take(self, user: str, now: float) -> bool:
        """Count one more; False when it is one too many."""
        # Taken out and put back, so that the first one is always the one not heard of for longest.
        rate = self._rates.pop(user, None) or MessageRate(self._per_minute, now)
        if len(self._rates) >= self._most:
            del self._rates[next(iter(self._rates))]
        self._rates[user] = rate
        return rate.take(now)


@dataclass(frozen=True, slots=True)
class Most:
    """How many there may be at all, of one user and of one address."""

    all: int
    of_user: int
    of_address: int


@dataclass(slots=True)
class OpenCount:
    """How many there are of something, by whose they are."""

    most: Most
    total: int = 0
    by_user: Counter[str] = field(default_factory=Counter)
    by_address: Counter[str] = field(default_factory=Counter)

    def add(self, user: str, address: str) -> bool:
        """Count one more; False, and nothing is counted, where there are as many as there may be.

        Where the address is not known, it is not counted by address.
        """
        if (
            self.total >= self.most.all
            or self.by_user[user] >= self.most.of_user
            or (address and self.by_address[address] >= self.most.of_address)
        ):
            return False
        self.total += 1
        self.by_user[user] += 1
        if address:
            self.by_address[address] += 1
        return True

    def remove(self, user: str, address: str, count: int = 1) -> None:
        """Count so many less."""
        self.total -= count
        for counter, name in ((self.by_user, user), (self.by_address, address)):
            if name:
                counter[name] -= count
                if not counter[name]:
                    del counter[name]


def connection_count(settings: GatewaySettings) -> OpenCount:
    """Return the count of connections."""
    return OpenCount(
        Most(
            settings.websocket_connections,
            settings.websocket_connections_per_user,
            settings.websocket_connections_per_address,
        )
    )


def subscription_count(settings: GatewaySettings) -> OpenCount:
    """Return the count of subscriptions."""
    every = settings.websocket_connections * settings.websocket_subscriptions
    return OpenCount(
        Most(every, settings.websocket_subscriptions_per_user, settings.websocket_subscriptions_per_address)
    )

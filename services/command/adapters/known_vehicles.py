"""Which vehicles have ever been heard of (ports.KnownVehicles): those with a session."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

MOST_KNOWN = 100_000


class SessionsKnown:
    """Remembers who has a session, and asks the record only about the others.

    `some` returns at most so many vehicles that have one; `has_one` asks about one vehicle. A session is never taken
    away, so what is remembered stays true; what is not remembered may have greeted another replica.
    """

    def __init__(
        self,
        some: Callable[[int], Awaitable[Sequence[str]]],
        has_one: Callable[[str], Awaitable[bool]],
        limit: int = MOST_KNOWN,
    ) -> None:
        self._some = some
        self._has_one = has_one
        self._limit = limit
        self._known: set[str] = set()

    async def load(self) -> None:
        """Remember who is in the record: the first command of each need not ask. Raises StorageUnavailableError."""
        self._known.update(await self._some(self._limit))

    def add(self, vin: str) -> None:
        """Note that the vehicle was heard of."""
        if vin not in self._known:
            if len(self._known) >= self._limit:
                self._known.pop()  # whichever: it is asked about once more
            self._known.add(vin)

    async def has(self, vin: str) -> bool:
        """Return whether the vehicle was ever heard of. Raises StorageUnavailableError."""
        if vin in self._known:
            return True
        if await self._has_one(vin):
            self.add(vin)
            return True
        return False

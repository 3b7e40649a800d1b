"""A bounded memory of answers that were true a moment ago."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

K = TypeVar("K")
V = TypeVar("V")


class ExpiringCache(Generic[K, V]):
    """Keeps at most `most` values, each until its own time; the oldest makes room for a new one."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: dict[K, tuple[V, float]] = {}

    def get(self, key: K, now: float) -> V | None:
        """Return the value, unless it is unknown or its time has passed."""
        known = self._values.get(key)
        if known is None:
            return None
        if known[1] <= now:
            del self._values[key]
            return None
        return known[0]

    def put(self, key: K, value: V, until: float) -> None:
        """Keep it until then, by the clock that `get` is asked with."""
        self._values.pop(key, None)
        if len(self._values) >= self._most:
            del self._values[next(iter(self._values))]
        self._values[key] = (value, until)

    def drop(self, which: Callable[[K, V], bool]) -> None:
        """Drop those that it says so of. It looks at all of them."""
        for key in [key for key, (value, _) in self._values.items() if which(key, value)]:
            del self._values[key]

    def clear(self) -> None:
        """Drop all."""
        self._values.clear()

    def __len__(self) -> int:
        return len(self._values)

"""What the rules of abnormal access look at: noted in memory, looked at in the background, of no consequence to a
request by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from services.access.domain.abnormal import AccessSignal

LOOK_SECONDS = 0.5
MOST_WAITING = 20_000
"""Of more requests between two looks some are not looked at: counts are lost, and no request."""
_log = structlog.get_logger()


def log_lost_findings(count: int) -> None:
    """Say that so many findings could not be kept while the store was away."""
    _log.warning("abnormal_findings_lost", count=count)


class SignalLog:
    """Notes signals, and hands them over together."""

    def __init__(self, most: int = MOST_WAITING) -> None:
        self._most = most
        self._waiting: list[AccessSignal] = []
        self._lost = 0

    def note(self, signal: AccessSignal) -> None:
        """Take it in. It never waits and never fails."""
        if len(self._waiting) < self._most:
            self._waiting.append(signal)
        else:
            self._lost += 1

    async def look(self, look_at: Callable[[Sequence[AccessSignal]], Awaitable[None]]) -> None:
        """Hand over what waits to `look_at`, be it nothing, and do not again. Raises what that raises."""
        waiting, self._waiting = self._waiting, []
        lost, self._lost = self._lost, 0
        if lost:
            _log.warning("access_signals_lost", count=lost)
        await look_at(waiting)

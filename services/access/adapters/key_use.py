"""When API keys were used last: noted in memory, written now and then, and of no consequence to any request."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from datetime import datetime

WRITE_SECONDS = 60.0
"""How often it is written: a key's last use is known to within this."""
MOST_KEYS = 10_000
"""Of more keys that are used between two writes some are not noted this time."""


class KeyUseLog:
    """Notes uses, and writes them with `keep`, all in one commit, in the background."""

    def __init__(
        self,
        keep: Callable[[Mapping[str, datetime]], Awaitable[None]],
        now: Callable[[], datetime],
        most: int = MOST_KEYS,
    ) -> None:
        self._keep = keep
        self._now = now
        self._most = most
        self._noted: dict[str, datetime] = {}

    def note(self, key_id: str) -> None:
        """Note that the key is used now. It never waits and never fails."""
        if key_id in self._noted or len(self._noted) < self._most:
            self._noted[key_id] = self._now()

    async def write(self) -> None:
        """Write what was noted. What cannot be written is written the next time. Raises StorageUnavailableError."""
        noted = dict(self._noted)
        if not noted:
            return
        await self._keep(noted)
        self._noted = {
            key_id: at for key_id, at in self._noted.items() if noted.get(key_id) != at
        }  # those used meanwhile remain

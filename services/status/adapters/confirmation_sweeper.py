"""The loop that resolves pending confirmations about commands, and forgets what nobody can ask about any more."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from services.platform.storage import StorageUnavailableError
from services.status.usecases.door_status import resolve_confirmations

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from services.status.usecases.door_status import ConfirmationStore

LOOK_SECONDS = 1.0
PURGE_MICROSECONDS = 3_600 * 1_000_000
KEEP_MICROSECONDS = 24 * 3_600 * 1_000_000
"""Long enough that a result that is sent again finds its command judged."""
_log = structlog.get_logger()


class ConfirmationSweeper:
    """Resolves pending confirmations after `doubt_seconds`. `now_us` is microseconds since 1970; `sleep` pauses
    for seconds.
    """

    def __init__(
        self,
        store: ConfirmationStore,
        now_us: Callable[[], int],
        doubt_seconds: float,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._now_us = now_us
        self._confirmation_us = round(doubt_seconds * 1_000_000)
        self._sleep = sleep
        self._purged_at_us = 0

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            try:
                await self._look()
            except StorageUnavailableError as error:
                _log.warning("doubts_wait_for_store", reason=str(error))
            await self._sleep(LOOK_SECONDS)

    async def _look(self) -> None:
        now_us = self._now_us()
        await resolve_confirmations(self._store, self._confirmation_us, now_us)
        if now_us - self._purged_at_us >= PURGE_MICROSECONDS:
            await self._store.purge_expectations(now_us - KEEP_MICROSECONDS)
            self._purged_at_us = now_us

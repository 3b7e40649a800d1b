"""The loop that resolves pending confirmations about commands."""

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

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            try:
                await self._look()
            except StorageUnavailableError as error:
                _log.warning("doubts_wait_for_store", reason=str(error))
            await self._sleep(LOOK_SECONDS)

    async def _look(self) -> None:
        await resolve_confirmations(self._store, self._confirmation_us, self._now_us())

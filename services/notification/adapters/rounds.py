"""Work that is looked for again and again, and at once when somebody says that there is some."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from services.platform.storage import StorageUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

IDLE_SECONDS = 1.0
"""So long nothing is looked for when nobody says that there is something."""
_log = structlog.get_logger()


class JobRounds:
    """Does `step` again while it returns that there may be more, when somebody is in a hurry, and once in a while."""

    def __init__(
        self, name: str, step: Callable[[], Awaitable[bool]], idle_seconds: float = IDLE_SECONDS
    ) -> None:
        self._name = name
        self._step = step
        self._idle_seconds = idle_seconds
        self._hurried = asyncio.Event()

    def hurry(self) -> None:
        """Say that there is something to do."""
        self._hurried.set()

    async def run(self) -> None:
        """Go round until cancelled. A store that is away is waited for."""
        while True:
            self._hurried.clear()
            more = False
            try:
                more = await self._step()
            except StorageUnavailableError as error:
                _log.warning("job_waits_for_store", job=self._name, reason=str(error))
            if more:
                continue
            try:
                async with asyncio.timeout(self._idle_seconds):
                    await self._hurried.wait()
            except TimeoutError:
                pass  # nobody said anything; look all the same

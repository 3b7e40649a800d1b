"""Says that a disk is nearly full, before writes are refused because it is."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

CHECK_SECONDS = 30.0
_SQLITE = "sqlite:///"
_log = structlog.get_logger()


def folder_of(database_url: str) -> Path | None:
    """Where a database keeps its file; None for one that is a server's business."""
    return Path(database_url.removeprefix(_SQLITE)).parent if database_url.startswith(_SQLITE) else None


class SpaceWatch:
    """Watches the room left for `folder`, and tells when it becomes low and when it is enough again.

    Low is less than `low_bytes`. `told` gets True or False at each change, and nothing while all is well
    from the start. `free` is what measures; `sleep` pauses for seconds.
    """

    def __init__(
        self,
        folder: Path,
        low_bytes: int,
        told: Callable[[bool], Awaitable[None]],
        free: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._folder = folder
        self._low_bytes = low_bytes
        self._told = told
        self._free = free
        self._sleep = sleep
        self.is_low = False

    async def run(self) -> None:
        """Look now, and then every CHECK_SECONDS, until cancelled."""
        while True:
            await self.look()
            await self._sleep(CHECK_SECONDS)

    async def look(self) -> None:
        """Measure once. A folder that cannot be measured counts as low: its database cannot be written either."""
        facts: dict[str, object]
        try:
            # In a thread, because a network's file system may take its time.
            free = await asyncio.to_thread(self._free, self._folder)
            low = free < self._low_bytes
            facts = {"free_bytes": free, "low_bytes": self._low_bytes}
        except OSError as error:
            low, facts = True, {"reason": str(error.strerror)}
        if low == self.is_low:
            return
        self.is_low = low
        if low:
            _log.warning("space_low", folder=str(self._folder), **facts)
        else:
            _log.info("space_enough_again", folder=str(self._folder), **facts)
        await self._told(low)

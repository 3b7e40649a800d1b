"""Says that a disk is nearly full, before writes are refused because it is."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

LOW_SPACE_BYTES = 512 * 1024 * 1024
LEAST_LOW_SPACE_BYTES = 1024 * 1024
CHECK_SECONDS = 5.0
_SQLITE = "sqlite:///"


def folder_of(database_url: str) -> Path | None:
    """Return where a database keeps its file; None for one that is a server's business."""
    return Path(database_url.removeprefix(_SQLITE)).parent if database_url.startswith(_SQLITE) else None


@dataclass(frozen=True, slots=True)
class Space:
    """What was measured: is it low, how many bytes are free (None: it cannot be measured, and why)."""

    folder: Path
    is_low: bool
    free_bytes: int | None
    reason: str = ""


class SpaceWatch:
    """Watches the room left for `folder`, and tells when it becomes low and when it is enough again.

    Low is less than `low_bytes`. `told` hears of each change, and nothing while all is well from the start.
    `free` measures; `sleep` pauses for seconds.
    """

    def __init__(
        self,
        folder: Path,
        low_bytes: int,
        told: Callable[[Space], Awaitable[None]],
        free: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._folder = folder
        self._low_bytes = low_bytes
        self._told = told
        self._free = free
        self._sleep = sleep
        self._is_low = False

    async def run(self) -> None:
        """Look now, and then every CHECK_SECONDS, until cancelled."""
        while True:
            await self.look()
            await self._sleep(CHECK_SECONDS)

    async def look(self) -> None:
        """Measure once. A folder that cannot be measured counts as low: its files cannot be written either."""
        try:
            # In a thread, because a network's file system may take its time.
            free = await asyncio.to_thread(self._free, self._folder)
            space = Space(self._folder, free < self._low_bytes, free)
        except OSError as error:
            space = Space(self._folder, is_low=True, free_bytes=None, reason=str(error.strerror))
        if space.is_low != self._is_low:
            self._is_low = space.is_low
            await self._told(space)

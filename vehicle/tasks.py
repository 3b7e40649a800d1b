"""Ending tasks, of which Python 3.11 may lose the first request."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection

CANCEL_AGAIN_SECONDS = 0.1


async def end(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Cancel these, and those that are added meanwhile, and return when all are done."""
    while running := [task for task in tasks if not task.done()]:
        for task in running:
            # Asked again: Python 3.11's wait_for swallows a cancellation that comes together with its result.
            task.cancel()
        await asyncio.wait(running, timeout=CANCEL_AGAIN_SECONDS)

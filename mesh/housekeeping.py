"""What goes on beside the components while they run: their logs are kept small, and low space is told."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from mesh.logs import keep_bounded
from services.platform.logs import LogStream
from services.platform.space import LEAST_LOW_SPACE_BYTES, LOW_SPACE_BYTES, SpaceWatch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mesh.sandbox import Sandbox
    from services.platform.space import Space

_console = LogStream(1)


def write(text: str) -> None:
    """For a person, on standard output. Nobody who reads slowly, and no full disk, ends the mesh."""
    _console.write(text + "\n")


def say(line: str) -> None:
    """One line of what a person should know."""
    write(f"mesh: {line}")


def low_space_bytes(text: str | None) -> int:
    """Return how little service is worth a line: DOORS_LOW_SPACE_BYTES, which the services read as well. Raises
    ValueError.
    """
    if not text:
        return LOW_SPACE_BYTES
    if not text.isascii() or not text.isdecimal() or int(text) < LEAST_LOW_SPACE_BYTES:
        raise ValueError(f"DOORS_LOW_SPACE_BYTES must be {LEAST_LOW_SPACE_BYTES} or more, not {text!r}")
    return int(text)


@asynccontextmanager
async def housekeeping(sandbox: Sandbox, low_bytes: int) -> AsyncIterator[None]:
    """Do it for as long as the context lasts."""
    tasks = [
        asyncio.create_task(keep_bounded(sandbox.logs, say)),
        asyncio.create_task(SpaceWatch(sandbox.folder, low_bytes, _tell_space).run()),
    ]
    for task in tasks:
        task.add_done_callback(_tell_if_dead)
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _tell_space(space: Space) -> None:
    if not space.is_low:
        say(f"enough room again in {space.folder}")
    elif space.free_bytes is None:
        say(f"the room left in {space.folder} cannot be measured: {space.reason}")
    else:
        say(
            f"little room is left in {space.folder}: {space.free_bytes / 1e6:.0f} MB;"
            " without any, commands are refused (503 STORAGE_UNAVAILABLE) until there is some"
        )


def _tell_if_dead(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        say(f"housekeeping has ended: {task.exception()!r}")

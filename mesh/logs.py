"""The components' logs: bounded, whatever a component writes.

A component writes to its log through a descriptor that it got at its start, and no one can change that. So a
log that has grown is copied beside itself and cut to nothing in place: it was opened for appending, and goes
on at its new end. No component ever waits for the supervisor, as it would if its output were a pipe.
"""

from __future__ import annotations

import asyncio
import errno
import itertools
import os
import shutil
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

LARGEST_LOG_BYTES = 10 * 1024 * 1024
OLD_LOGS = 2
"""So many files are kept of each log beside the one that is written."""
CHECK_SECONDS = 1.0


def opened(log: Path) -> IO[bytes]:
    """Return the log, to append to; where there is no room even for an empty file, nothing that is said is kept."""
    try:
        return log.open("ab")
    except OSError:
        return Path(os.devnull).open("ab")


async def keep_bounded(
    folder: Path,
    say: Callable[[str], None],
    largest_bytes: int = LARGEST_LOG_BYTES,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Cut every `*.log` of the folder that has grown past `largest_bytes`, until cancelled.

    `say` is published once of each log that cannot be cut, until it can.
    """
    told: set[str] = set()
    while True:
        failed = await asyncio.to_thread(_bound, folder, largest_bytes)
        for log in failed.keys() - told:
            say(f"{log} cannot be kept small: {failed[log]}")
        told = set(failed)
        await sleep(CHECK_SECONDS)


def _bound(folder: Path, largest_bytes: int) -> dict[str, str]:
    """Return which could not be cut, and why."""
    failed = {}
    try:
        logs = sorted(folder.glob("*.log"))
    except OSError as error:
        return {str(folder): str(error.strerror)}
    for log in logs:
        try:
            if log.stat().st_size > largest_bytes:
                rotate(log)
        except OSError as error:
            failed[str(log)] = str(error.strerror)
    return failed


def rotate(log: Path) -> None:
    """Keep what the log holds as `<name>.1`, what that held as `.2`, and empty the log in place.

    Where there is no room for a copy, older ones give way, and in the end this one: to bound the log
    matters more than to keep it. Raises OSError when it cannot be emptied.
    """
    old = [log.with_name(f"{log.name}.{number}") for number in range(1, OLD_LOGS + 1)]
    for younger, elder in reversed(list(itertools.pairwise(old))):
        if younger.exists():
            younger.replace(elder)
    try:
        _copy(log, old[0])
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        for path in old:
            path.unlink(missing_ok=True)
        try:
            _copy(log, old[0])
        except OSError:
            old[0].unlink(missing_ok=True)
    os.truncate(log, 0)


def _copy(log: Path, copy: Path) -> None:
    """To the end, also of what is written meanwhile: what comes after it is lost with the cut."""
    with log.open("rb") as source, copy.open("wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)

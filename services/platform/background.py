"""Work that nobody waits for: jobs that run again and again, and small tasks that run once.

Nothing of it may die unseen. A job is run by every replica of a service, so what meets its twin's work is no fault:
it looks again. Anything else that a job raises ends the process, which says why (boot.run_until).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog
from sqlalchemy.exc import IntegrityError

from services.platform.storage import StorageUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from typing import Any

CONFLICTS_AT_MOST = 10
"""So many conflicts in a row are no twin's doing."""
_log = structlog.get_logger()


async def regularly(
    name: str,
    seconds: float,
    work: Callable[[], Awaitable[object]],
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Do `work` again and again until cancelled, with a pause of `seconds`.

    A store that is away is waited for, and a conflict with another replica is looked at anew. Raises what else
    `work` raises, and a conflict that does not end.
    """
    conflicts = 0
    while True:
        try:
            await work()
            conflicts = 0
        except StorageUnavailableError as error:
            _log.warning("job_waits_for_store", job=name, reason=str(error))
        except IntegrityError as error:
            conflicts += 1
            if conflicts >= CONFLICTS_AT_MOST:
                raise
            _log.info("job_met_its_twin", job=name, reason=type(error.orig).__name__)
        await sleep(seconds)


class BackgroundTasks:
    """Small tasks that run once, each by itself: a failure is logged and touches nothing else."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._running: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Run it beside everything else."""
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            _log.error("errand_failed", errand=self._name, exc_info=error)

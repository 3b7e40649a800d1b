"""The recorder of status reads: no reader waits for it, and it is durable soon."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

import structlog

from services.platform.isolation import by_halves
from services.platform.logs import masked_id
from services.platform.storage import StorageUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from services.platform.outbox import OutgoingMessage
    from services.status.domain.doors import StatusRead

_RETRY_SECONDS = 0.5
_log = structlog.get_logger()


class MessageStore(Protocol):
    """Where messages become durable."""

    async def send(self, messages: Sequence[OutgoingMessage], /) -> None:
        """Commit them. Raises StorageUnavailableError."""


class StatusReadLog:
    """Gathers status reads and commits them together, one message for many.

    A read is kept at most `gather_seconds` before its commit begins. While the store is away reads wait,
    at most `limit` of them: then `record` refuses, because a read that would not be in the history is
    not to be had.
    """

    def __init__(
        self,
        store: MessageStore,
        message_of: Callable[[Sequence[StatusRead], int], OutgoingMessage],
        now_us: Callable[[], int],
        gather_seconds: float = 0.02,
        batch: int = 500,
        limit: int = 20_000,
    ) -> None:
        self._store = store
        self._message_of = message_of
        self._now_us = now_us
        self._gather_seconds = gather_seconds
        self._batch = batch
        self._limit = limit
        self._waiting: list[StatusRead] = []
        self._arrived = asyncio.Event()
        self._full = asyncio.Event()

    def record(self, check: StatusRead) -> None:
        """Take it in; it is durable soon. Raises StorageUnavailableError when too many wait already."""
        if len(self._waiting) >= self._limit:
            raise StorageUnavailableError("too many looks wait to be recorded")
        self._waiting.append(check)
        self._arrived.set()
        if len(self._waiting) >= self._batch:
            self._full.set()

    async def run(self) -> None:
        """Commit until cancelled."""
        while True:
            await self._arrived.wait()
            try:
                async with asyncio.timeout(self._gather_seconds):
                    await self._full.wait()
            except TimeoutError:
                pass  # the time to gather is over
            try:
                await self.flush()
            except StorageUnavailableError as error:
                _log.warning("status_checks_wait_for_store", waiting=len(self._waiting), reason=str(error))
                await asyncio.sleep(_RETRY_SECONDS)

    async def flush(self) -> None:
        """Commit what waits now. Raises StorageUnavailableError; what was not committed waits on.

        What comes meanwhile is left to gather: a commit for every few reads would cost more than the reads.
        """
        remaining = len(self._waiting)
        while remaining:
            checks = self._waiting[: min(remaining, self._batch)]
            await by_halves(checks, self._commit, _untold)
            del self._waiting[: len(checks)]
            remaining -= len(checks)
        self._full.clear()
        if not self._waiting:
            self._arrived.clear()

    async def _commit(self, checks: Sequence[StatusRead]) -> None:
        await self._store.send([self._message_of(checks, self._now_us())])


def _untold(check: StatusRead, error: Exception) -> None:
    """Log a read that cannot be recorded: it must not keep all others out of the history."""
    _log.error("status_check_untold", check=check.check_id, vin=masked_id(check.vin), exc_info=error)

"""The history beside the commands: what is listed, and what is gathered for it while nobody waits."""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import contextmanager
from typing import TYPE_CHECKING

import structlog

from services.command.domain.commands import CommandAction, FailureReason
from services.command.domain.history import RefusedRequest
from services.command.domain.refusals import (
    CommandAlreadyFinishedError,
    CommandForbiddenError,
    CommandInProgressError,
    DoorNotFittedError,
    FunctionNotAvailableError,
)
from services.platform.isolation import by_halves
from services.platform.logs import masked_id
from services.platform.storage import StorageUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from services.command.domain.commands import Requester, StatusCheck
    from services.command.domain.history import HistoryPage, HistoryQuery
    from services.command.usecases.ports import CommandDependencies, Commands

MOST_WAITING = 1_000
"""So many refused requests wait for their commit; more are refused all the same, and not kept."""
_BATCH = 100
_RETRY_SECONDS = 0.5
_log = structlog.get_logger()


async def list_history(deps: CommandDependencies, vin: str, query: HistoryQuery) -> HistoryPage:
    """Return a page of what was asked of this vehicle and how it ended."""
    return await deps.commands.history(vin, query)


async def record_status_checks(deps: CommandDependencies, checks: Sequence[StatusCheck]) -> None:
    """Keep status reads in the history, if status reads are kept at all."""
    if deps.rules.checks_kept and checks:
        await deps.commands.add_status_checks(checks, deps.now())


class RefusedRequests:
    """Gathers what the state of the vehicle or of its commands forbade, for the history.

    It is told to its caller at once and written behind the answer: what is refused costs its caller no commit, and a
    disk that is full forbids nobody to be told why. The same request that is refused again for the same reason is
    the same entry, however often it comes.
    """

    def __init__(self, commands: Commands, now: Callable[[], datetime], most: int = MOST_WAITING) -> None:
        self._commands = commands
        self._now = now
        self._most = most
        self._waiting: dict[str, RefusedRequest] = {}
        self._dropped = 0
        self._arrived = asyncio.Event()

    @contextmanager
    def noting(
        self,
        requester: Requester,
        vin: str,
        action: CommandAction,
        correlation_id: str,
        target_doors: tuple[str, ...] = (),
    ) -> Iterator[None]:
        """Run a request; note it if it is refused for a reason that the history tells, and its requester's history is
        collected.
        """
        try:
            yield
        except CommandForbiddenError as refused:
            self._note(requester, vin, action, correlation_id, target_doors, refused.reason)
            raise
        except (DoorNotFittedError, FunctionNotAvailableError):
            self._note(requester, vin, action, correlation_id, target_doors, FailureReason.NOT_SUPPORTED)
            raise
        except CommandInProgressError:
            reason = FailureReason.COMMAND_IN_PROGRESS
            self._note(requester, vin, action, correlation_id, target_doors, reason)
            raise
        except CommandAlreadyFinishedError as refused:
            self._note(requester, vin, action, correlation_id, (), FailureReason.TOO_LATE, refused.command_id)
            raise

    def _note(
        self,
        requester: Requester,
        vin: str,
        action: CommandAction,
        correlation_id: str,
        target_doors: tuple[str, ...],
        reason: FailureReason,
        command_id: str | None = None,
    ) -> None:
        if not requester.recorded:
            return
        words = (vin, action, correlation_id, requester.subject, reason, *target_doors)
        entry_id = f"refused-{hashlib.sha256(chr(0).join(words).encode()).hexdigest()[:32]}"
        if entry_id not in self._waiting and len(self._waiting) >= self._most:
            self._dropped += 1
            return
        self._waiting[entry_id] = RefusedRequest(
            entry_id, vin, requester, action, target_doors, correlation_id, self._now(), reason, command_id
        )
        self._arrived.set()

    async def run(self) -> None:
        """Commit until cancelled."""
        while True:
            await self._arrived.wait()
            try:
                await self.flush()
            except StorageUnavailableError as error:
                _log.warning("refused_requests_wait", waiting=len(self._waiting), reason=str(error))
                await asyncio.sleep(_RETRY_SECONDS)

    async def flush(self) -> None:
        """Commit what waits now. Raises StorageUnavailableError; what was not committed waits on."""
        while self._waiting:
            batch = list(self._waiting.values())[:_BATCH]
            await by_halves(batch, self._commit, _unkept)
            for each in batch:
                self._waiting.pop(each.entry_id, None)
        self._arrived.clear()
        if self._dropped:
            _log.warning("refused_requests_not_kept", count=self._dropped)
            self._dropped = 0

    async def close(self) -> None:
        """Commit what waits, if the store is there. Nothing rests on these entries: without it they are lost."""
        try:
            await self.flush()
        except StorageUnavailableError as error:
            _log.warning("refused_requests_lost", waiting=len(self._waiting), reason=str(error))

    async def _commit(self, batch: Sequence[RefusedRequest]) -> None:
        await self._commands.add_refused(batch, self._now())


def _unkept(refused: RefusedRequest, error: Exception) -> None:
    """One that cannot be kept must not keep all others out of the history."""
    _log.error("refused_request_unkept", vin=masked_id(refused.vin), exc_info=error)

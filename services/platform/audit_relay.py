"""Brings a service's audit entries to the ledger: at least once, and there the same entry is the same leaf.

The ledger being away delays entries and nothing else: they wait in their rows, requests go on, and health says nothing
of it. It is said in the log, with how many wait.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import grpc
import structlog
from ecarus.remotecontrol.audit.v1 import (
    audit_entry_pb2,
    audit_intake_service_pb2,
    audit_intake_service_pb2_grpc,
)
from google.protobuf.message import DecodeError

from services.platform.audit_entry import MAX_ENTRY_BYTES
from services.platform.audit_outbox import MAX_REASON_CHARACTERS
from services.platform.storage import StorageUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from services.platform.audit_outbox import WaitingEntries, WaitingEntry
    from services.platform.database import Database

BATCH = 256
MAX_BATCH_BYTES = 128 * 1024
"""Of what is sent at once: half of what a server takes."""
POLL_SECONDS = 0.25
SEND_SECONDS = 5.0
LONGEST_PAUSE_SECONDS = 15.0
SAY_AGAIN_SECONDS = 60.0
_FIRST_PAUSE_SECONDS = 0.5
_THE_REQUESTS_FAULT = frozenset({grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED})
_THE_LEDGERS_FAULT = frozenset({grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN})
MOST_FAILURES = 3
"""So often the ledger may fail at an entry alone while it takes others; then it is set aside."""
_log = structlog.get_logger()


class LedgerAwayError(Exception):
    """The ledger did not answer, or takes nothing now; the text says why."""


class UnsoundRequestError(Exception):
    """The ledger refuses a whole request; the text says why. One entry of it may be the reason."""


class LedgerFailedError(Exception):
    """The ledger failed at a whole request; the text says how. One entry of it may be the reason, or none."""


class LedgerClient:
    """Asks the ledger over `channel`."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._record = audit_intake_service_pb2_grpc.AuditIntakeServiceStub(channel).RecordEntries

    async def __call__(self, request: audit_intake_service_pb2.RecordEntriesRequest) -> Mapping[str, str]:
        """Have these kept; return why which of them never will be, by id. Raises LedgerAwayError, LedgerFailedError,
        UnsoundRequestError.
        """
        try:
            answer = await self._record(request, timeout=SEND_SECONDS)
        except grpc.aio.AioRpcError as error:
            why = f"{error.code().name}: {error.details()}"
            if error.code() in _THE_REQUESTS_FAULT:
                raise UnsoundRequestError(why) from error
            if error.code() in _THE_LEDGERS_FAULT:
                raise LedgerFailedError(why) from error
            raise LedgerAwayError(why) from error
        return {
            each.entry_id: f"{audit_intake_service_pb2.RejectionReason.Name(each.reason)}: {each.detail}"
            for each in answer.rejections
        }


@dataclass(slots=True)
class _Round:
    """What came of bringing a batch of each place: whether the ledger took any, at which alone it failed, and how."""

    took: bool = False
    failed: list[tuple[WaitingEntries, WaitingEntry, str]] = field(default_factory=list)


class AuditRelay:
    """Brings what waits in `places`, the oldest of each first, in batches; `record` is a LedgerClient."""

    def __init__(
        self,
        database: Database,
        places: Sequence[WaitingEntries],
        record: Callable[[audit_intake_service_pb2.RecordEntriesRequest], Awaitable[Mapping[str, str]]],
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._database = database
        self._places = places
        self._record = record
        self._now = now
        self._monotonic = monotonic
        self._sleep = sleep
        self._away_since: float | None = None
        self._said_at = 0.0
        self._failures: dict[bytes, int] = {}
        """How often the ledger failed at an entry alone while it took others."""

    async def run(self) -> None:
        """Bring entries until cancelled."""
        pause = 0.0
        while True:
            try:
                more = await self.bring_some()
            except (LedgerAwayError, StorageUnavailableError) as error:
                pause = min(LONGEST_PAUSE_SECONDS, pause * 2 or _FIRST_PAUSE_SECONDS)
                await self._say_away(str(error))
                await self._sleep(pause)
            except Exception as error:  # noqa: BLE001  # what only observes never ends what it observes
                pause = min(LONGEST_PAUSE_SECONDS, pause * 2 or _FIRST_PAUSE_SECONDS)
                _log.error("audit_relay_failed", reason=type(error).__name__)
                await self._sleep(pause)
            else:
                pause = 0.0
                await self._say_back()
                if not more:
                    await self._sleep(POLL_SECONDS)

    async def bring_some(self) -> bool:
        """Bring at most a batch of each place; whether more may wait. Raises LedgerAwayError,
        StorageUnavailableError.
        """
        more, this = False, _Round()
        for place in self._places:
            waiting = await self._database.read(partial(place.waiting, most=BATCH))
            for batch in _in_batches(waiting):
                await self._bring(place, batch, this)
            more = more or len(waiting) == BATCH
        if this.failed:
            await self._judge(this)
        return more

    async def _judge(self, this: _Round) -> None:
        """Set aside those at which the ledger fails again and again while it takes others. Raises LedgerAwayError where
        some are left: all of them, where it takes nothing.
        """
        left = []
        if this.took:
            times = {entry.entry: self._failures.get(entry.entry, 0) + 1 for _, entry, _ in this.failed}
            self._failures = {entry: count for entry, count in times.items() if count < MOST_FAILURES}
        for place, entry, why in this.failed:
            if not this.took or entry.entry in self._failures:
                left.append(why)
            else:
                await self._done(place, [], {entry.key: (entry, why)})
        if left:
            raise LedgerAwayError(left[0])

    async def _bring(self, place: WaitingEntries, batch: Sequence[WaitingEntry], this: _Round) -> None:
        """Bring these; where the ledger refuses them together, either half, until what it refuses is alone."""
        sent: dict[str, WaitingEntry] = {}
        refused: dict[int, tuple[WaitingEntry, str]] = {}
        request = audit_intake_service_pb2.RecordEntriesRequest()
        for each in batch:
            message = _sound(each)
            if isinstance(message, str):
                refused[each.key] = (each, message)
            else:
                sent[message.entry_id] = each
                request.entries.append(message)
        if sent:
            try:
                rejections = await self._record(request)
                this.took = True
            except (UnsoundRequestError, LedgerFailedError) as error:
                if len(batch) > 1:
                    half = len(batch) // 2
                    await self._bring(place, batch[:half], this)
                    await self._bring(place, batch[half:], this)
                    return
                if isinstance(error, LedgerFailedError):
                    this.failed.append((place, batch[0], str(error)))
                    return
                rejections = dict.fromkeys(sent, str(error))
            for entry_id, why in rejections.items():
                if entry_id in sent:
                    each = sent.pop(entry_id)
                    refused[each.key] = (each, why)
        await self._done(place, list(sent.values()), refused)

    async def _done(
        self,
        place: WaitingEntries,
        done: Sequence[WaitingEntry],
        refused: Mapping[int, tuple[WaitingEntry, str]],
    ) -> None:
        await self._database.write(partial(self._note, place, done, refused))
        for key, (_, why) in refused.items():
            _log.error("audit_entry_set_aside", row=key, reason=why)

    def _note(
        self,
        place: WaitingEntries,
        done: Sequence[WaitingEntry],
        refused: Mapping[int, tuple[WaitingEntry, str]],
        connection: Connection,
    ) -> None:
        if done:
            place.delivered(connection, done, self._now())
        for each, why in refused.values():
            place.set_aside(connection, each, why[:MAX_REASON_CHARACTERS])

    async def _say_away(self, reason: str) -> None:
        now = self._monotonic()
        if self._away_since is not None and now - self._said_at < SAY_AGAIN_SECONDS:
            return
        self._away_since = now if self._away_since is None else self._away_since
        self._said_at = now
        _log.warning(
            "audit_entries_wait",
            waiting=await self._waiting(),
            seconds=round(now - self._away_since),
            reason=reason,
        )

    async def _say_back(self) -> None:
        if self._away_since is not None:
            _log.info("audit_entries_leave_again", seconds=round(self._monotonic() - self._away_since))
            self._away_since = None

    async def _waiting(self) -> int | None:
        """Return how many wait; None where the store is away."""
        try:
            return sum([await self._database.read(place.count) for place in self._places])
        except StorageUnavailableError:
            return None


def _sound(waiting: WaitingEntry) -> audit_entry_pb2.AuditEntry | str:
    """Return the message, or why the ledger would never take it."""
    if len(waiting.entry) > MAX_ENTRY_BYTES:
        return f"it has {len(waiting.entry)} bytes, and the ledger takes {MAX_ENTRY_BYTES}"
    try:
        return audit_entry_pb2.AuditEntry.FromString(waiting.entry)
    except DecodeError as error:
        return f"not an entry: {error}"


def _in_batches(waiting: Sequence[WaitingEntry]) -> list[list[WaitingEntry]]:
    """Return them in order, in batches that the ledger's server takes."""
    batches: list[list[WaitingEntry]] = []
    size = MAX_BATCH_BYTES
    for each in waiting:
        size += len(each.entry) + 8
        if size > MAX_BATCH_BYTES:
            batches.append([])
            size = len(each.entry)
        batches[-1].append(each)
    return batches

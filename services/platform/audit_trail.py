"""Audit entries of decisions that no commit belongs to: gathered, and written behind the answer.

What is refused, and what is allowed and changes nothing, costs its caller no commit, and is decided also while the disk
is full. So such entries are gathered in memory and committed in batches; a crash loses the last moment's. What there is
no room for is counted, and the count is an entry.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

import structlog

from services.platform.audit import log_call
from services.platform.audit_entry import AuditRecord, DecisionOutcome, EntryIds, case_in, encoded, factors_of
from services.platform.policy import service
from services.platform.storage import StorageUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from datetime import datetime

    from services.platform.call import Call
    from services.platform.errors import Refusal

MOST_WAITING = 20_000
GATHER_SECONDS = 0.05
LOST = "DECISIONS_NOT_RECORDED"
"""The kind of the entry that says how many decisions have none; in its detail `count`."""
UNCHANGED = "NOTHING_CHANGED"
"""The kind of the entry of a request that was allowed and had nothing to change: it repeats another one, or asks for
what is so already.
"""
_BATCH = 500
_RETRY_SECONDS = 0.5
_SERVICES = service("")
_log = structlog.get_logger()


class AuditTrail:
    """Gathers entries. `write` commits serialized entries, and may raise StorageUnavailableError; `refused_kind` is the
    kind of what the service itself refuses.
    """

    def __init__(
        self,
        ids: EntryIds,
        write: Callable[[Sequence[bytes]], Awaitable[object]],
        now: Callable[[], datetime],
        refused_kind: str,
        *,
        most: int = MOST_WAITING,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._ids = ids
        self._write = write
        self._now = now
        self._refused_kind = refused_kind
        self._most = most
        self._sleep = sleep
        self._waiting: deque[bytes] = deque()
        self._lost = 0
        self._arrived = asyncio.Event()

    def note(self, record: AuditRecord) -> None:
        """Take it in. It never waits, and never fails who is decided about."""
        if len(self._waiting) >= self._most:
            self.count_lost()
            return
        try:
            entry = encoded(record, self._ids.next())
        except Exception as error:  # noqa: BLE001  # what only observes never fails what it observes
            _log.error("audit_entry_not_made", kind=record.kind, reason=type(error).__name__)
            self.count_lost()
            return
        self._waiting.append(entry)
        self._arrived.set()

    def count_lost(self) -> None:
        """Count a decision that gets no entry of its own."""
        self._lost += 1
        self._arrived.set()

    def tell(self, call: Call, refusal: Refusal | None) -> None:
        """Log the call (the hook of every server), and note the decision of one that was to change something and has
        no entry in a commit.

        What services ask of each other is no decision about a person.
        """
        log_call(call, refusal)
        if not call.changes or call.peer.startswith(_SERVICES) or call.is_recorded:
            return  # what was recorded was decided, also where its answer failed after the commit
        if refusal is None:
            self.note(record_of(call, UNCHANGED, DecisionOutcome.ALLOWED, self._now()))
            return
        detail = {"detail": refusal.detail}
        if refusal.may_have_succeeded:
            detail["may_have_succeeded"] = "true"
        self.note(
            record_of(
                call,
                self._refused_kind,
                DecisionOutcome.REFUSED,
                self._now(),
                rule=refusal.reason.code,
                detail=detail,
            )
        )

    async def run(self) -> None:
        """Commit until cancelled."""
        while True:
            await self._arrived.wait()
            await self._sleep(GATHER_SECONDS)
            try:
                await self.flush()
            except StorageUnavailableError as error:
                _log.warning("audit_entries_not_kept_yet", waiting=len(self._waiting), reason=str(error))
                await self._sleep(_RETRY_SECONDS)
            except Exception as error:  # noqa: BLE001  # what only observes never ends what it observes
                _log.error("audit_entries_refused", reason=type(error).__name__)
                await self._sleep(_RETRY_SECONDS)

    async def flush(self) -> None:
        """Commit what waits now. Raises StorageUnavailableError: what was not committed waits on. What is refused for
        any other reason, which is raised, would be for ever: it is counted, and waits no longer.
        """
        while self._waiting or self._lost:
            lost, batch = self._lost, [self._waiting[i] for i in range(min(_BATCH, len(self._waiting)))]
            count = [] if not lost else [encoded(self._lost_record(lost), self._ids.next())]
            try:
                await self._write([*batch, *count])
            except StorageUnavailableError:
                raise
            except Exception:
                self._let_go(len(batch))
                self._lost += len(batch)
                raise
            self._let_go(len(batch))
            self._lost -= lost
            if lost:
                _log.warning("audit_decisions_not_recorded", count=lost)
        self._arrived.clear()

    def _let_go(self, count: int) -> None:
        for _ in range(count):
            self._waiting.popleft()

    async def close(self) -> None:
        """Commit what waits, if the store is there."""
        try:
            await self.flush()
        except Exception as error:  # noqa: BLE001  # the others that end with the service must end too
            _log.error(
                "audit_entries_lost",
                count=len(self._waiting) + self._lost,
                reason=str(error) if isinstance(error, StorageUnavailableError) else type(error).__name__,
            )

    def _lost_record(self, count: int) -> AuditRecord:
        return AuditRecord(LOST, self._now(), DecisionOutcome.NONE, detail={"count": str(count)})


def record_of(
    call: Call,
    kind: str,
    decision: DecisionOutcome,
    at: datetime,
    *,
    rule: str = "",
    detail: dict[str, str] | None = None,
) -> AuditRecord:
    """Return the record of a decision on this call: of a person's, or of an operator's, known by certificate."""
    granted = call.capability
    name = call.method.rpartition("/")[2]
    if granted is None:
        told = {"rpc": name, **(detail or {})}
        return AuditRecord(
            kind,
            at,
            decision,
            subject=call.peer,
            actor=call.peer,
            rule=rule or "certificate",
            correlation_id=call.correlation_id,
            detail=told,
        )
    return AuditRecord(
        kind,
        at,
        decision,
        resource=granted.resource,
        subject=granted.subject,
        actor=granted.actor,
        source=granted.source,
        factors=factors_of(granted),
        rule=rule or granted.role,
        action=next(iter(granted.actions), ""),
        correlation_id=call.correlation_id,
        detail={"rpc": name, **case_in(granted), **(detail or {})},
    )

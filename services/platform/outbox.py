"""The outbox: a message is a row of the transaction that decides it, and leaves after the commit.

The database is the record and the broker is transport: a row counts as sent only after the broker has
confirmed that it keeps it, and a relay that dies in between sends it again under the same message id,
which the broker recognises. What was just committed is handed to the relay in memory, so that the
path of a command has no query for it; rows that nobody holds (after a crash) are found by a scan.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import OrderedDict
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog
from sqlalchemy import bindparam, delete, func, select, update

from services.platform.database import Instant
from services.platform.guarded_send import GuardedSend
from services.platform.outbox_table import Outbox, OutgoingMessage
from services.platform.prepared import PreparedStatement
from services.platform.stalls import Stalls
from services.platform.storage import StorageUnavailableError
from services.platform.times import microseconds

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Container, Iterable, Sequence

    from services.platform.database import Database
    from services.platform.guarded_send import Send

__all__ = ["Outbox", "OutboxRelay", "OutgoingMessage"]

BATCH = 256
SCAN_SECONDS = 1.0
UNHELD_AFTER = timedelta(seconds=3)
"""A row this old that no relay has sent belongs to whoever finds it."""
DROPPED_FOR = timedelta(seconds=15)
"""How long a dropped message's row is not looked at: longer than the transaction that withdraws it takes."""
PARKED_FOR = timedelta(seconds=60)
"""How long a parked message's row is not looked at, unless it is handed over again."""
KEEP_SENT = timedelta(hours=24)
PRUNE_EVERY = timedelta(minutes=10)
MAX_HELD = 10_000
_MARK_SECONDS = 0.1
_MARK_AT_ONCE = 500
_LONGEST_PAUSE_SECONDS = 0.5

_log = structlog.get_logger()


class OutboxRelay:
    """Sends one queue's messages in the order of their commits, and marks them sent.

    What cannot leave holds up its own subject only. What breaks `send` is set aside with `set_aside(message, reason)`
    after some attempts, and counts as sent; where there is no such place it is tried again and again.

    `ready`, when given, says whether the broker can be reached: while it is not, nothing is tried, so that
    what waits can still be dropped. With `linger_seconds` what has just been committed waits that long for
    company: the callers' answers go first, and what comes together is sent together. `sleep` pauses for seconds.
    """

    def __init__(
        self,
        database: Database,
        outbox: Outbox,
        queue: str,
        send: Send,
        now: Callable[[], datetime],
        *,
        ready: Callable[[], bool] = lambda: True,
        linger_seconds: float = 0.0,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        set_aside: Callable[[OutgoingMessage, str], Awaitable[None]] | None = None,
    ) -> None:
        self._database = database
        self._table = outbox.table
        self._mark_statement = PreparedStatement(
            update(outbox.table)
            .where(outbox.table.c.message_id == bindparam("id"))
            # What is sent again keeps the time of its first sending.
            .values(sent_at=func.coalesce(outbox.table.c.sent_at, bindparam("at", type_=Instant)))
        )
        self._queue = queue
        self._send = GuardedSend(send, set_aside)
        self._now = now
        self._ready = ready
        self._linger_seconds = linger_seconds
        self._sleep = sleep
        self._held: OrderedDict[str, OutgoingMessage] = OrderedDict()
        self._stalls = Stalls(self._released, sleep)
        self._taken: dict[str, OutgoingMessage] = {}
        self._tried: set[str] = set()
        self._dropped: dict[str, tuple[OutgoingMessage, datetime]] = {}
        self._parked: dict[str, OutgoingMessage] = {}
        self._unmarked: dict[str, datetime] = {}  # when each left that is not marked yet
        self._wake = asyncio.Event()
        self._sent = asyncio.Event()
        self._round_over = asyncio.Event()

    def hand_over(self, messages: Sequence[OutgoingMessage]) -> None:
        """Take over what has just been committed; messages of other queues are left to theirs."""
        for message in messages:
            if message.queue == self._queue:
                self._dropped.pop(message.message_id, None)
                self._parked.pop(message.message_id, None)
                self._hold(message)

    def drop(self, message_id: str) -> bool:
        """Do not send it: True when it has never been tried, so that no copy of it can be on its way.

        Withdraw its row in the transaction that decides this. The row is left alone for DROPPED_FOR, long
        enough for that transaction; if it fails, hand the message over again.
        """
        if message_id in self._tried:
            return False
        message = self._held.pop(message_id, None) or self._parked.pop(message_id, None)
        message = message or self._stalls.pop(message_id)
        if message is None:
            return False
        self._dropped[message_id] = (message, self._now())
        return True

    def restore(self, message_id: str) -> None:
        """Send what was dropped after all."""
        message, _at = self._dropped[message_id]
        # Dated now: the row of an older message counts as the whole truth, and that may say "sent".
        self.hand_over([replace(message, created_at=self._now())])

    async def left(self, subjects: Container[str]) -> None:
        """Return once all that was handed over for these subjects before this call has left, or cannot leave now.

        What is said by any way after this is behind it.
        """
        waiting = [*self._taken.values(), *self._held.values()]
        ids = [message.message_id for message in waiting if message.subject in subjects]
        while ids := [each for each in ids if each in self._taken or each in self._held]:
            await self._round_over.wait()

    async def run(self) -> None:
        """Send until cancelled; then mark what was sent."""
        try:
            async with asyncio.TaskGroup() as loops:
                loops.create_task(self._send_regularly())
                loops.create_task(self._mark_regularly())
                loops.create_task(self._scan_regularly())
        except Exception as error:
            error.add_note(f"outbox queue {self._queue}")
            raise
        finally:
            self._stalls.close()
            await self._mark()

    def _hold(self, message: OutgoingMessage) -> None:
        # Beyond this many the rows are left to the scan: a long outage must not fill the memory.
        if message.message_id in self._taken or self._stalls.holds_back(message):
            return
        if len(self._held) < MAX_HELD:
            self._held.setdefault(message.message_id, message)
            self._wake.set()

    def _released(self, messages: Iterable[OutgoingMessage]) -> None:
        """They waited for their turn: it is before those that came since."""
        self._put_back(list(messages))
        self._wake.set()

    async def _send_regularly(self) -> None:
        pause = 0.0
        while True:
            if not self._held:
                self._wake.clear()
                await self._wake.wait()
                if self._linger_seconds:
                    await self._sleep(self._linger_seconds)
            if self._ready() and await self._send_some():
                pause = 0.0
                continue
            pause = min(_LONGEST_PAUSE_SECONDS, pause * 2 or 0.05)
            await self._sleep(pause)

    async def _send_some(self) -> bool:
        """Send what is held, at most BATCH. False when none of it could leave, and it was not one subject's fault."""
        batch = self._next()
        self._taken = {m.message_id: m for m in batch}
        remaining: Sequence[OutgoingMessage] = batch
        try:
            wanted = await self._still_wanted(batch)
            if wanted is None:
                return False
            self._tried.update(message.message_id for message in wanted)
            sent_at = self._now()
            dealt = await self._send(wanted) if wanted else []
            remaining = [m for m, done in zip(wanted, dealt, strict=True) if done is False]
            parked = {m.message_id: m for m, done in zip(wanted, dealt, strict=True) if done is None}
            self._stalls.left(left := [m for m, done in zip(wanted, dealt, strict=True) if done])
            done_with = [m.message_id for m in left]
            self._tried.difference_update(done_with, parked)
            self._parked |= parked
            self._unmarked = dict.fromkeys(done_with, sent_at) | self._unmarked
            self._sent.set()
            elsewhere = len(remaining) < len(wanted) or len({m.subject for m in remaining}) == 1
            if remaining and elsewhere and not self._stalls.full:
                self._stalls.stall(remaining, self._send.suspects)
                remaining = []
        finally:
            self._taken = {}
            self._put_back(remaining)
            over, self._round_over = self._round_over, asyncio.Event()
            over.set()
        return not remaining

    def _next(self) -> list[OutgoingMessage]:
        """At most BATCH of those held, without those whose subject stalls."""
        batch: list[OutgoingMessage] = []
        while self._held and len(batch) < BATCH:
            _, message = self._held.popitem(last=False)
            if not self._stalls.holds_back(message):
                batch.append(message)
        return batch

    async def _still_wanted(self, batch: Sequence[OutgoingMessage]) -> Sequence[OutgoingMessage] | None:
        """Without those that were withdrawn, or sent by another relay, while they waited; None: not known."""
        freshest = self._now() - UNHELD_AFTER
        old = [message.message_id for message in batch if message.created_at <= freshest]
        if not old:
            return batch
        table = self._table
        query = select(table.c.message_id).where(table.c.message_id.in_(old), table.c.sent_at.is_not(None))
        try:
            gone = set(
                await self._database.read(lambda connection: connection.execute(query).scalars().all())
            )
        except StorageUnavailableError as error:
            _log.warning("outbox_check_failed", queue=self._queue, reason=str(error))
            return None
        self._tried -= gone
        return [message for message in batch if message.message_id not in gone]

    def _put_back(self, messages: Sequence[OutgoingMessage]) -> None:
        for message in reversed(messages):
            self._held[message.message_id] = message
            self._held.move_to_end(message.message_id, last=False)

    async def _mark_regularly(self) -> None:
        while True:
            await self._sent.wait()
            self._sent.clear()
            await self._sleep(_MARK_SECONDS)
            await self._mark()

    async def _mark(self) -> None:
        """Mark what was sent, without haste: a row left unmarked by a crash is sent again and recognised."""
        while self._unmarked:
            left: list[dict[str, Any]] = [
                {"id": message_id, "at": microseconds(at)}
                for message_id, at in itertools.islice(self._unmarked.items(), _MARK_AT_ONCE)
            ]
            try:
                await self._database.write(partial(self._mark_statement.for_each, rows=left))
            except StorageUnavailableError as error:
                _log.warning("outbox_mark_failed", queue=self._queue, reason=str(error))
                self._sent.set()
                return
            for row in left:
                del self._unmarked[row["id"]]

    async def _scan_regularly(self) -> None:
        await self._scan(older_than=self._now())
        last_pruned = self._now()
        while True:
            await self._sleep(SCAN_SECONDS)
            await self._scan(older_than=self._now() - UNHELD_AFTER)
            if self._now() - last_pruned > PRUNE_EVERY:
                last_pruned = self._now()
                await self._prune()

    async def _scan(self, older_than: datetime) -> None:
        """Hold the rows that nobody holds, as many as there is room for."""
        forgotten = self._now() - DROPPED_FOR
        self._dropped = {i: (message, at) for i, (message, at) in self._dropped.items() if at > forgotten}
        parked_since = self._now() - PARKED_FOR
        self._parked = {i: m for i, m in self._parked.items() if m.created_at > parked_since}
        after = 0
        while len(self._held) < MAX_HELD:
            rows = await self._unsent(older_than, after)
            known = self._dropped.keys() | self._unmarked.keys() | self._parked.keys()
            for row in rows:
                if row.message_id not in known and row.message_id not in self._held:
                    self._hold(message_of(row, row.created_at))
            if len(rows) < BATCH:
                return
            after = rows[-1].sequence

    async def _unsent(self, older_than: datetime, after: int) -> Sequence[Any]:
        table = self._table
        query = (
            select(table)
            .where(
                table.c.queue == self._queue,
                table.c.sent_at.is_(None),
                table.c.created_at <= older_than,
                table.c.sequence > after,
            )
            .order_by(table.c.sequence)
            .limit(BATCH)
        )
        try:
            return await self._database.read(lambda connection: connection.execute(query).all())
        except StorageUnavailableError as error:
            _log.warning("outbox_scan_failed", queue=self._queue, reason=str(error))
            return []

    async def _prune(self) -> None:
        table = self._table
        old = delete(table).where(table.c.queue == self._queue, table.c.sent_at < self._now() - KEEP_SENT)
        try:
            await self._database.write(lambda connection: connection.execute(old) and None)
        except StorageUnavailableError as error:
            _log.warning("outbox_prune_failed", queue=self._queue, reason=str(error))


def message_of(row: Any, created_at: datetime) -> OutgoingMessage:
    """Return a row of the table as the message that it is."""
    return OutgoingMessage(
        row.message_id, row.queue, row.subject, bytes(row.payload), created_at, row.ttl_seconds
    )

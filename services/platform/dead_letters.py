"""The dead letters: what came in and could not be understood, bounded for each sender."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    delete,
    func,
    insert,
    select,
    update,
)

from services.platform.audited_database import AuditedAct, note_act
from services.platform.database import Instant
from services.platform.free_text import readable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from sqlalchemy import Select

    from services.platform.consumer import PoisonMessage
    from services.platform.database import Database

MAX_SUBJECT = 256
MAX_REASON = 300
SENDER_LENGTH = 17
MERGED_FOR = timedelta(hours=1)
RETRY_AFTER = timedelta(seconds=5)
"""When what was set aside is first handed over again."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that cannot be handled, and why.

    From `retry_at` on it is to be handed over again. One that `merges` stands for `count` messages, and is counted
    onto the newest letter of the same subject and reason, if that is not old.
    """

    subject: str
    payload: bytes
    reason: str
    received_at: datetime
    retry_at: datetime | None = None
    merges: bool = False
    count: int = 1


@dataclass(frozen=True, slots=True)
class KeptLetter:
    """A dead letter as it is kept, without its payload, which had `payload_bytes` bytes.

    `replayed_at` is when it was handed over again and taken; None: it waits. `whole` is False when only the
    beginning of the payload is kept. It stands for `count` messages; `dropped` were before it and are not kept.
    """

    letter_id: int
    subject: str
    reason: str
    received_at: datetime
    payload_bytes: int
    replayed_at: datetime | None
    whole: bool = True
    count: int = 1
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class WaitingLetter:
    """A letter to be handed over again, for the time after `attempts` others."""

    letter_id: int
    subject: str
    payload: bytes
    attempts: int


@dataclass(frozen=True, slots=True)
class LetterLimits:
    """How much of dead letters is kept: of each payload, of each sender, and for how long."""

    payload_bytes: int = 8_192
    per_sender: int = 20
    keep: timedelta = timedelta(days=30)


_DEFAULT_LIMITS = LetterLimits()


class DeadLetters:
    """Where they are kept, to be looked at and replayed: they never block the queue they came on.

    `sender_of` names the sender of a subject, in at most SENDER_LENGTH characters; what has none shares the empty
    name.
    """

    def __init__(self, metadata: MetaData, sender_of: Callable[[str], str]) -> None:
        self._sender_of = sender_of
        self.table = Table(
            "dead_letter",
            metadata,
            Column("id", Integer, primary_key=True, autoincrement=True),
            Column("subject", String(MAX_SUBJECT), nullable=False),
            Column("payload", LargeBinary, nullable=False),
            Column("reason", Text, nullable=False),
            Column("received_at", Instant, nullable=False),
            Column("replayed_at", Instant, nullable=True),
            Column("sender", String(SENDER_LENGTH), nullable=True),
            Column("cut_from", Integer, nullable=True),
            Column("count", Integer, nullable=False, server_default="1"),
            Column("dropped", BigInteger, nullable=False, server_default="0"),
            Column("retry_at", Instant, nullable=True),
            Column("attempts", Integer, nullable=False, server_default="0"),
        )
        columns = self.table.c
        Index("dead_letter_by_sender", columns.sender, columns.id)
        waits = columns.retry_at.is_not(None)
        Index("dead_letter_waiting", columns.retry_at, sqlite_where=waits, postgresql_where=waits)
        # Without the payloads, of which many together may be more than a process should hold.
        self._without_payload = select(
            columns.id,
            columns.subject,
            columns.reason,
            columns.received_at,
            func.coalesce(columns.cut_from, func.length(columns.payload)).label("payload_bytes"),
            columns.replayed_at,
            columns.cut_from.is_(None).label("whole"),
            columns["count"],
            columns.dropped,
        )

    async def dead_letter(
        self, database: Database, letters: Sequence[DeadLetter], limits: LetterLimits = _DEFAULT_LIMITS
    ) -> None:
        """Keep them durably, whatever is in them, within the limits: the newest of each sender.

        Raises StorageUnavailableError.
        """
        by_sender: dict[str, list[DeadLetter]] = {}
        for letter in _folded(letters):
            by_sender.setdefault(self._sender_of(letter.subject), []).append(letter)
        if by_sender:
            await database.write(lambda connection: self._dead_letter(connection, by_sender, limits))

    def _dead_letter(
        self, connection: Connection, by_sender: dict[str, list[DeadLetter]], limits: LetterLimits
    ) -> None:
        # In one order, so that replicas wait for each other and do not deadlock.
        for sender, letters in sorted(by_sender.items()):
            new = [each for each in letters if not (each.merges and self._merged(connection, each))]
            kept = new[-limits.per_sender :]
            if kept:
                rows = [_row(sender, letter, limits) for letter in kept]
                rows[0]["dropped"] = sum(each.count for each in new[: -limits.per_sender])
                connection.execute(insert(self.table), rows)
                self._trim(connection, sender, limits.per_sender)

    def _merged(self, connection: Connection, letter: DeadLetter) -> bool:
        """Return whether it is counted onto a letter that is there."""
        columns = self.table.c
        same = (
            select(columns.id)
            .where(
                columns.sender == self._sender_of(letter.subject),
                columns.subject == _storable(letter.subject)[:MAX_SUBJECT],
                columns.reason == _reason(letter.reason),
                columns.received_at > letter.received_at - MERGED_FOR,
            )
            .order_by(columns.id.desc())
            .limit(1)
        )
        found = connection.execute(same).scalar()
        if found is None:
            return False
        counted = update(self.table).where(columns.id == found)
        connection.execute(counted.values(count=columns["count"] + letter.count))
        return True

    def _trim(self, connection: Connection, sender: str, per_sender: int) -> None:
        """Drop the sender's oldest letters; the oldest that is left says how many were dropped in all."""
        columns = self.table.c
        of_sender = columns.sender == sender
        oldest = connection.execute(
            select(columns.id).where(of_sender).order_by(columns.id.desc()).offset(per_sender - 1).limit(1)
        ).scalar()
        if oldest is None:
            return
        surplus = (of_sender, columns.id < oldest)
        dropped = connection.execute(
            select(func.sum(columns["count"] + columns.dropped)).where(*surplus)
        ).scalar()
        if dropped:
            connection.execute(delete(self.table).where(*surplus))
            left = update(self.table).where(columns.id == oldest)
            connection.execute(left.values(dropped=columns.dropped + int(dropped)))

    async def due(self, database: Database, now: datetime, limit: int) -> list[WaitingLetter]:
        """At most `limit` of those to be handed over again now. Raises StorageUnavailableError."""
        columns = self.table.c
        query = (
            select(columns.id, columns.subject, columns.payload, columns.attempts)
            .where(columns.retry_at <= now)
            .order_by(columns.retry_at)
            .limit(limit)
        )
        rows = await database.read(lambda connection: connection.execute(query).all())
        return [WaitingLetter(row.id, row.subject, bytes(row.payload), row.attempts) for row in rows]

    async def retried(
        self,
        database: Database,
        outcomes: Sequence[tuple[WaitingLetter, str | None, datetime | None]],
        at: datetime,
    ) -> None:
        """For each what became of it: taken (no reason), or why not and when to try it again, if ever.

        Raises StorageUnavailableError.
        """
        columns = self.table.c

        def work(connection: Connection) -> None:
            for letter, reason, retry_at in outcomes:
                values: dict[str, Any] = {"retry_at": retry_at, "attempts": letter.attempts + 1}
                if reason is None:
                    values["replayed_at"] = at
                else:
                    values["reason"] = _reason(reason)
                connection.execute(update(self.table).where(columns.id == letter.letter_id).values(values))

        await database.write(work)

    async def newest(self, database: Database, limit: int, before: int | None = None) -> list[KeptLetter]:
        """At most `limit`, the newest first, of those with an id below `before`. Raises StorageUnavailableError."""
        query = self._without_payload.order_by(self.table.c.id.desc()).limit(limit)
        return await _letters(database, query if before is None else query.where(self.table.c.id < before))

    async def waiting(self, database: Database, limit: int, after: int) -> list[KeptLetter]:
        """At most `limit` that were not replayed, the oldest first, of those with an id above `after`.

        Raises StorageUnavailableError.
        """
        columns = self.table.c
        query = self._without_payload.where(columns.id > after, columns.replayed_at.is_(None))
        return await _letters(database, query.order_by(columns.id).limit(limit))

    async def find(self, database: Database, letter_id: int) -> KeptLetter | None:
        """Return the letter with this id. Raises StorageUnavailableError."""
        found = await _letters(database, self._without_payload.where(self.table.c.id == letter_id))
        return found[0] if found else None

    async def payload(self, database: Database, letter_id: int) -> bytes | None:
        """Return what a letter that is kept says, its beginning if it is not whole; None when it is gone.

        Raises StorageUnavailableError.
        """
        query = select(self.table.c.payload).where(self.table.c.id == letter_id)
        found = await database.read(lambda connection: connection.execute(query).scalar())
        return None if found is None else bytes(found)

    async def mark_replayed(self, database: Database, letter_id: int, at: datetime) -> datetime:
        """Note that it was taken; return since when, which is the first such time. Raises StorageUnavailableError."""
        columns = self.table.c
        mark = update(self.table).where(columns.id == letter_id, columns.replayed_at.is_(None))
        mark = mark.values(retry_at=None)
        query = select(columns.replayed_at).where(columns.id == letter_id)

        def work(connection: Connection) -> datetime:
            if connection.execute(mark.values(replayed_at=at)).rowcount:
                act = AuditedAct("DEAD_LETTER_REPLAYED", at, detail={"letter": str(letter_id)})
                note_act(connection, act)
            since: datetime | None = connection.execute(query).scalar()
            return since or at  # it may have made room for others meanwhile

        return await database.write(work)


async def _letters(database: Database, query: Select[Any]) -> list[KeptLetter]:
    rows: Sequence[Any] = await database.read(lambda connection: connection.execute(query).all())
    return [KeptLetter(*row) for row in rows]


def _storable(text: str) -> str:
    """Without what PostgreSQL refuses in a text: NUL and lone surrogates."""
    return text.encode(errors="backslashreplace").decode().replace("\0", "\\0")


def _folded(letters: Sequence[DeadLetter]) -> list[DeadLetter]:
    """With those that merge with each other as one, which has the first's payload."""
    merged: dict[tuple[str, str], int] = {}
    folded: list[DeadLetter] = []
    for letter in letters:
        same = merged.get((letter.subject, letter.reason)) if letter.merges else None
        if same is not None:
            folded[same] = replace(folded[same], count=folded[same].count + letter.count)
            continue
        if letter.merges:
            merged[letter.subject, letter.reason] = len(folded)
        folded.append(letter)
    return folded


def _reason(text: str) -> str:
    return readable(_storable(text[: MAX_REASON * 8]), MAX_REASON)


def _row(sender: str, letter: DeadLetter, limits: LetterLimits) -> dict[str, Any]:
    size = len(letter.payload)
    return {
        "subject": _storable(letter.subject)[:MAX_SUBJECT],
        "payload": letter.payload[: limits.payload_bytes],
        "reason": _reason(letter.reason),
        "received_at": letter.received_at,
        "sender": sender,
        "cut_from": size if size > limits.payload_bytes else None,
        "count": letter.count,
        "dropped": 0,
        # What is not whole would be another message.
        "retry_at": letter.retry_at if size <= limits.payload_bytes else None,
    }


def dead_letters_of(poison: Iterable[PoisonMessage], at: datetime) -> list[DeadLetter]:
    """Poison as it is kept."""
    return [
        DeadLetter(
            each.delivery.subject,
            each.delivery.data,
            each.reason,
            at,
            retry_at=at + RETRY_AFTER if each.waits else None,
            merges=each.merges,
            count=each.count,
        )
        for each in poison
    ]

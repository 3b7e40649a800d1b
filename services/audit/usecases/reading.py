"""Showing what is in the ledger: to people what is theirs to see, to operators on the record."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from services.audit.domain.reading import (
    ENDINGS,
    LATE_RESULT,
    CommandUnknownError,
    ReceiptNotReadyError,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from datetime import datetime

    from services.audit.domain.entries import AuditDecision, AuditEntry
    from services.audit.domain.reading import AuditReader, LedgerEntry

READ_AT_ONCE = 100
MOST_LOOKED_AT = 1_000
"""So many entries are looked at for one page; what is older is for the next one."""


class LedgerReading(Protocol):
    """The entries of the ledger. Every method may raise StorageUnavailableError."""

    async def entries_of_vehicle(
        self,
        vin: str,
        *,
        before: int | None,
        limit: int,
        since: datetime | None,
        of_person: str | None,
        decision: AuditDecision | None = None,
    ) -> Sequence[LedgerEntry]:
        """Return at most `limit` entries about this vehicle, newest first: of those before this leaf, not older than
        `since`, about or by this person, and of this decision (or of a row that does not say its own).
        """

    async def entries_of_person(
        self, principal: str, *, before: int | None, limit: int
    ) -> Sequence[LedgerEntry]:
        """Return at most `limit` entries about or by this person, newest first, of those before this leaf."""

    async def entries_of_command(self, command_id: str) -> Sequence[LedgerEntry]:
        """Return a command's entries, oldest first."""


class ReceiptMaker(Protocol):
    """Proves entries."""

    async def receipt(self, leaf_index: int) -> bytes | None:
        """Return the receipt of this leaf; None where no signed checkpoint covers it yet."""


@dataclass(frozen=True, slots=True)
class AuditPage:
    """A page; `next_before` is the leaf before which the next one begins, None where nothing older is to be seen."""

    entries: Sequence[LedgerEntry]
    next_before: int | None


async def list_audit(
    ledger: LedgerReading,
    reader: AuditReader,
    vin: str,
    *,
    since: datetime,
    before: int | None,
    limit: int,
    decision: AuditDecision | None = None,
) -> AuditPage:
    """Return a page of what this reader may see of a vehicle's audit since then."""
    found: list[LedgerEntry] = []
    looked_at = 0
    of_person = None if reader.is_owner else reader.subject
    begins = max(since, reader.since)
    while looked_at < MOST_LOOKED_AT:
        batch = await ledger.entries_of_vehicle(
            vin, before=before, limit=READ_AT_ONCE, since=begins, of_person=of_person, decision=decision
        )
        for entry in batch:
            if reader.may_see(entry) and (decision is None or entry.decision is decision):
                if len(found) == limit:
                    return AuditPage(found, before)
                found.append(entry)
            before = entry.leaf_index
        looked_at += len(batch)
        if len(batch) < READ_AT_ONCE:
            return AuditPage(found, None)
        await asyncio.sleep(0)  # who brings entries comes between
    return AuditPage(found, before)


async def command_receipt(
    ledger: LedgerReading, receipts: ReceiptMaker, reader: AuditReader, vin: str, command_id: str
) -> bytes:
    """Return the proof of how a command ended. Raises CommandUnknownError, ReceiptNotReadyError."""
    entries = [
        entry
        for entry in await ledger.entries_of_command(command_id)
        if entry.value("vin") == vin and reader.may_see(entry)
    ]
    if not entries:
        raise CommandUnknownError
    ended = [entry for entry in entries if entry.kind in ENDINGS]
    # Of a command that timed out, what the vehicle said later says more.
    late = [entry for entry in entries if entry.kind == LATE_RESULT]
    if not ended:
        raise ReceiptNotReadyError
    receipt = await receipts.receipt((late or ended)[-1].leaf_index)
    if receipt is None:
        raise ReceiptNotReadyError
    return receipt


async def list_for_operators(
    ledger: LedgerReading,
    record: Callable[[AuditEntry], Awaitable[None]],
    read: AuditEntry,
    *,
    vin: str,
    principal: str,
    before: int | None,
    limit: int,
) -> AuditPage:
    """Return a page about a vehicle or a person, once `read`, which says so, is in the ledger."""
    await record(read)
    if vin:
        found = await ledger.entries_of_vehicle(
            vin, before=before, limit=limit + 1, since=None, of_person=None
        )
    else:
        found = await ledger.entries_of_person(principal, before=before, limit=limit + 1)
    more = len(found) > limit
    return AuditPage(found[:limit], found[limit - 1].leaf_index if more else None)

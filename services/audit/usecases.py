"""What this service does, one function per intention."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.audit.domain.entries import AuditEntry, RejectedEntry

AT_ONCE = 64
"""So many entries are kept in one piece of work: others get their turn between."""


class LedgerRecord(Protocol):
    """Where the ledger is kept."""

    async def append(self, entries: Sequence[AuditEntry]) -> Sequence[RejectedEntry]:
        """Keep those that are not there yet, each at the next place; return those that are another's id.

        When this returns they are on the disk. Raises StorageUnavailableError.
        """


async def record_entries(ledger: LedgerRecord, entries: Sequence[AuditEntry]) -> list[RejectedEntry]:
    """Keep entries, in this order; return those that will never be taken. Raises StorageUnavailableError."""
    rejected: list[RejectedEntry] = []
    for first in range(0, len(entries), AT_ONCE):
        rejected += await ledger.append(entries[first : first + AT_ONCE])
    return rejected

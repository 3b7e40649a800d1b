"""Taking entries in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.audit.domain.entries import AuditEntry, RejectedEntry
    from services.audit.usecases.signing import HistoryWatch

AT_ONCE = 64
"""So many entries are kept in one piece of work: others get their turn between."""


class LedgerRecord(Protocol):
    """Where the ledger is kept."""

    async def append(
        self, entries: Sequence[AuditEntry], at_least: int = 0
    ) -> tuple[Sequence[RejectedEntry], int]:
        """Keep those that are not there yet, each at the next place; return those that are another's id, and how many
        leaves there are then.

        When this returns they are on the disk. Raises StorageUnavailableError, and HistoryBrokenError where there are
        fewer leaves than `at_least`.
        """


async def record_entries(
    ledger: LedgerRecord, history: HistoryWatch, entries: Sequence[AuditEntry]
) -> list[RejectedEntry]:
    """Keep entries, in this order; return those that will never be taken.

    Raises HistoryBrokenError where this is not known to be the database that was signed for: what were taken would
    stand where others stand already. Raises StorageUnavailableError.
    """
    history.check()
    rejected: list[RejectedEntry] = []
    for first in range(0, len(entries), AT_ONCE):
        these, size = await ledger.append(entries[first : first + AT_ONCE], history.largest)
        history.saw(size)  # it is committed: until then another could be told of it in vain
        rejected += these
    return rejected

"""A copy of the log, for whoever verifies it: the files of c2sp.org/tlog-tiles, and what the tables say of each leaf.

Made from the database, not from the published folder: the two can be compared.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from services.audit.domain.history import HistoryBrokenError, NothingSignedError
from services.platform.times import milliseconds
from tlog.checkpoints import CHECKPOINT
from tlog.leaves import base64url, canonical
from tlog.signed_tables import SIGNED_TABLES, SignedTables, table_path
from tlog.tiles import TileError, tiles_between

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from datetime import datetime

    from services.audit.adapters.log_key import LogKeys
    from services.audit.adapters.store import LedgerInspection, SqlTree
    from services.audit.adapters.store.inspection import InspectedRow
    from services.audit.domain.history import SignedTree

CHUNK_BYTES = 1 << 20
_LINES_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class LogExport:
    """Reads the log. `keys` sign what the tables say; `now` gives aware times."""

    tree: SqlTree
    inspection: LedgerInspection
    keys: LogKeys
    now: Callable[[], datetime]

    async def checkpoint(self) -> SignedTree:
        """Return the last checkpoint. Raises NothingSignedError, HistoryBrokenError, StorageUnavailableError."""
        latest = await self.tree.latest_checkpoint()
        if latest is None:
            raise NothingSignedError
        try:
            current = await self.tree.head()
        except TileError as error:
            raise HistoryBrokenError(f"the tree's hashes are not all there: {error}") from error
        if current.size < latest.head.size:
            raise HistoryBrokenError(f"{latest.head.size} leaves were signed, and there are {current.size}")
        return latest

    async def files(self, *, with_members: bool) -> AsyncIterator[tuple[str, bytes]]:
        """Yield path and content of each file, a long one in pieces.

        A tile that is not there is left out: who verifies finds it missing. What the tables say is signed, in the last
        file: so that who passes a copy on cannot take back what is said of a row. Raises NothingSignedError,
        HistoryBrokenError, StorageUnavailableError.
        """
        latest = await self.checkpoint()
        yield CHECKPOINT, latest.note
        for tile in tiles_between(0, latest.head.size):
            try:
                data = await self.tree.content_of(tile)
            except TileError:
                continue
            for at in range(0, len(data), CHUNK_BYTES):
                yield tile.path, data[at : at + CHUNK_BYTES]
        began, digest = self.now(), hashlib.sha256()
        for first in range(0, latest.head.size, _LINES_AT_ONCE):
            rows = await self.inspection.rows(first, min(first + _LINES_AT_ONCE, latest.head.size))
            lines = b"".join(canonical(_line(row, with_members=with_members)) + b"\n" for row in rows)
            digest.update(lines)
            yield table_path(first), lines
        signed = SignedTables(
            self.keys.origin, latest.head.size, latest.head.root, digest.digest(), milliseconds(began)
        )
        yield SIGNED_TABLES, self.keys.sign_text(signed.text())


def _line(row: InspectedRow, *, with_members: bool) -> dict[str, Any]:
    line: dict[str, Any] = {
        "index": row.leaf_index,
        "leaf_sha256": hashlib.sha256(row.leaf).hexdigest(),
        "problems": list(row.problems),
        "erased": sorted(row.entry.erased) if row.entry is not None else [],
        "lost": sorted(row.entry.lost) if row.entry is not None else [],
    }
    if row.entry is not None and with_members:
        line["members"] = {
            name: [base64url(each.salt), each.value] for name, each in row.entry.members.items()
        }
    return line

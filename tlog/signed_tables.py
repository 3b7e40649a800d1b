"""What an export says of the tables behind the log, signed with the log's key.

It is a signed note of five lines,

    tables of <the log's origin>
    <how many leaves>
    <the tree's root, base64>
    <SHA-256 over the files of the tables in order, base64>
    <when they were read, milliseconds since 1970>

The first line is no origin, so that the note is never taken for a checkpoint.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tlog.notes import NoteError, open_note, unbase64
from tlog.tiles import WIDTH, Tile, TileError, tile_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tlog.notes import NoteKey

SIGNED_TABLES = "table/signed"
"""The file's path in a copy."""
_TABLE_TILES, _TILES = "table/", "tile/0/"
_FORM = re.compile(r"tables of ([^\s]+)\n(0|[1-9]\d{0,18})\n(\S+)\n(\S+)\n(0|[1-9]\d{0,13})\n")


@dataclass(frozen=True, slots=True)
class SignedTables:
    """Of which tree the tables are, the digest of their files, and when they were read."""

    origin: str
    size: int
    root: bytes
    digest: bytes
    at_millis: int

    def text(self) -> str:
        """Return what is signed."""
        root, digest = (base64.b64encode(each).decode() for each in (self.root, self.digest))
        return f"tables of {self.origin}\n{self.size}\n{root}\n{digest}\n{self.at_millis}\n"

    @property
    def time(self) -> str:
        """Return when they were read, as people read it."""
        return datetime.fromtimestamp(self.at_millis / 1_000, UTC).isoformat(timespec="milliseconds")


def open_signed_tables(data: bytes, origin: str, keys: Iterable[NoteKey]) -> SignedTables:
    """Return what one of these keys signed of the tables of this log. Raise NoteError."""
    text = open_note(data, keys).text
    found = _FORM.fullmatch(text)
    if found is None or found[1] != origin:
        raise NoteError("it says nothing of the tables of this log")
    return SignedTables(origin, int(found[2]), unbase64(found[3]), unbase64(found[4]), int(found[5]))


def table_path(leaf_index: int) -> str:
    """Return the path in a copy of the file with the row of this leaf: a file has those of one tile's leaves."""
    return f"{Tile(0, leaf_index // WIDTH).path.replace(_TILES, _TABLE_TILES, 1)}.jsonl"


def is_table_path(path: str) -> bool:
    """Return whether there may be a file with rows at this path."""
    if not path.startswith(_TABLE_TILES) or not path.endswith(".jsonl"):
        return False
    try:
        tile_of(path.removesuffix(".jsonl").replace(_TABLE_TILES, _TILES, 1))
    except TileError:
        return False
    return True

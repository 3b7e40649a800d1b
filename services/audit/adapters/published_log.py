"""The published log as a source of leaves (usecases.restoring.PublishedLog)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from services.audit.domain.history import SignedTree, TreeHead
from services.audit.usecases.restoring import NotRestoredError
from tlog.checkpoints import CHECKPOINT, CheckpointError, open_checkpoint, unverified
from tlog.notes import MAX_NOTE_BYTES
from tlog.tiles import ENTRIES, WIDTH, Tile, TileError, leaves_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tlog.notes import NoteKey

_MAX_BUNDLE_BYTES = WIDTH * (1 << 16)


class FolderPublishedLog:
    """A folder with the log's files."""

    def __init__(self, folder: Path, origin: str, keys: Sequence[NoteKey]) -> None:
        self._folder = folder
        self._origin = origin
        self._keys = keys

    async def checkpoint(self) -> SignedTree:
        """See the port."""
        try:
            data = await asyncio.to_thread(self._read, CHECKPOINT, MAX_NOTE_BYTES)
            found = open_checkpoint(data, self._origin, self._keys).checkpoint
        except CheckpointError as error:
            raise NotRestoredError(f"its checkpoint: {error}") from error
        return SignedTree(TreeHead(found.size, found.root), data)

    def leaves(self, first: int, end: int) -> Iterator[bytes]:
        """See the port."""
        size = unverified(self._read(CHECKPOINT, MAX_NOTE_BYTES)).size
        for number in range(first // WIDTH, -(-end // WIDTH)):
            tile = Tile(ENTRIES, number, min(WIDTH, size - number * WIDTH))
            try:
                found = leaves_of(self._read(tile.path, _MAX_BUNDLE_BYTES))
            except TileError as error:
                raise NotRestoredError(f"{tile.path}: {error}") from error
            begin = number * WIDTH
            yield from found[max(first - begin, 0) : end - begin]

    def _read(self, path: str, most: int) -> bytes:
        try:
            with (self._folder / path).open("rb") as file:
                return file.read(most + 1)
        except OSError as error:
            raise NotRestoredError(f"{path}: {error.strerror}") from error

"""The published log: a folder of files as c2sp.org/tlog-tiles lays them out, each written once, whole.

Any server of files serves it, and whoever copies it has a log that verifies. The checkpoint is written last: what it
needs is there before it.
"""

from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING

import structlog

from services.audit.adapters.second_place import locked, replace_file
from services.audit.domain.history import HistoryBrokenError
from tlog.checkpoints import CHECKPOINT, CheckpointError, unverified
from tlog.tiles import WIDTH, TileError, tiles_between

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from services.audit.adapters.store import SqlTree
    from services.audit.domain.history import SignedTree
    from services.platform.health import HealthCondition
    from tlog.tiles import Tile

_log = structlog.get_logger()


class LaterCheckpointError(Exception):
    """The folder holds a later checkpoint: another replica's, or one of another log."""


class LogPublication:
    """Keeps the folder at the last checkpoint. `condition` says whether it can, `leads` whether it is this replica's
    turn, which whoever signs has.
    """

    def __init__(
        self,
        folder: Path,
        tree: SqlTree,
        condition: HealthCondition,
        leads: Callable[[], Awaitable[bool]],
    ) -> None:
        self._folder = folder
        self._tree = tree
        self._condition = condition
        self._leads = leads
        self._published: bytes | None = None

    async def publish(self) -> None:
        """Bring the folder to the last checkpoint. What cannot be written is tried again the next time.

        Raises StorageUnavailableError.
        """
        try:
            latest = await self._tree.latest_checkpoint()
        except HistoryBrokenError as error:
            self._condition.bad(str(error))
            return
        if latest is None or latest.note == self._published or not await self._leads():
            self._condition.good()
            return
        try:
            before = await asyncio.to_thread(self._size_there)
            for tile in tiles_between(before if before <= latest.head.size else 0, latest.head.size):
                await asyncio.to_thread(self._write_tile, tile, await self._tree.content_of(tile))
            await asyncio.to_thread(self._replace_checkpoint, latest)
        except (OSError, TileError, LaterCheckpointError) as error:
            self._condition.bad(f"the log cannot be published: {error}")
            return
        self._published = latest.note
        self._condition.good()

    def _size_there(self) -> int:
        """Return of how many leaves the folder holds the log; 0 where it holds none that can be read."""
        try:
            return unverified((self._folder / CHECKPOINT).read_bytes()).size
        except FileNotFoundError:
            return 0
        except CheckpointError as error:
            _log.warning("published_checkpoint_unreadable", reason=str(error))
            return 0

    def _replace_checkpoint(self, latest: SignedTree) -> None:
        """Put the checkpoint there, unless one of more leaves is. Raises LaterCheckpointError, OSError."""
        with locked(self._folder):
            there = self._size_there()
            if there > latest.head.size:
                raise LaterCheckpointError(f"a checkpoint of {there} leaves is there already")
            replace_file(self._folder / CHECKPOINT, latest.note)

    def _write_tile(self, tile: Tile, content: bytes) -> None:
        path = self._folder / tile.path
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, content)
        if tile.width == WIDTH:  # those that it grew from are not needed any more
            shutil.rmtree(path.with_name(f"{path.name}.p"), ignore_errors=True)

"""Signing the tree: one replica at a time, never a tree that does not begin with what was signed before.

What is signed is written to the second place before anybody else sees it. So whatever is known outside is known there,
and a database that lost it cannot go on as if it had not been.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from services.audit.domain.history import HistoryBrokenError, SignedTree, check_history

if TYPE_CHECKING:
    from services.audit.domain.history import TreeHead

LEASE = timedelta(seconds=10)


class SecondPlaceError(Exception):
    """The second place cannot be read or written, or somebody wrote a later checkpoint there; the text says which."""


class LedgerTree(Protocol):
    """The tree of the database. All raise StorageUnavailableError."""

    async def head(self) -> TreeHead:
        """Return the tree as it is now."""

    async def root_at(self, size: int) -> bytes | None:
        """Return the root of the first `size` leaves; None where there are fewer, or their hashes are not there."""

    async def latest_checkpoint(self) -> SignedTree | None:
        """Return what was signed last. Raises HistoryBrokenError where that was changed."""

    async def keep_checkpoint(self, signed: SignedTree) -> None:
        """Record what was signed. The same again changes nothing."""

    async def lead(self, holder: str, lasting: timedelta) -> bool:
        """Return whether this replica signs, for so long from now on, and nobody else."""


class SecondPlace(Protocol):
    """Where the last checkpoint is kept besides, out of reach of whoever changes the database."""

    async def read(self) -> SignedTree | None:
        """Return the checkpoint there; None where there was never one. Raises SecondPlaceError, HistoryBrokenError."""

    async def write(self, signed: SignedTree) -> None:
        """Put a checkpoint there in place of a smaller one; on the disk when this returns. Raises SecondPlaceError."""


class CheckpointSigner(Protocol):
    """Has the log's key."""

    def sign(self, head: TreeHead) -> SignedTree:
        """Return the signed checkpoint: for the same tree always the same."""


class HistoryWatch:
    """Whether the database is known to be the one that was signed for. Until it has been looked at it is not."""

    def __init__(self) -> None:
        self._reason = "the second place has not been read yet"
        self._largest = 0

    @property
    def largest(self) -> int:
        """How many leaves it was seen to have, or were signed."""
        return self._largest

    def saw(self, size: int) -> None:
        """Note that it had so many leaves, or that so many were signed."""
        self._largest = max(self._largest, size)

    @property
    def reason(self) -> str:
        """Why not; empty where it is."""
        return self._reason

    def good(self) -> None:
        """Note that it is."""
        self._reason = ""

    def broken(self, reason: str) -> None:
        """Note that it is not."""
        self._reason = reason

    def check(self) -> None:
        """Raise HistoryBrokenError where it is not."""
        if self._reason:
            raise HistoryBrokenError(self._reason)


@dataclass(frozen=True, slots=True)
class SigningDependencies:
    """What the use cases work with. `holder` names this replica."""

    tree: LedgerTree
    second_place: SecondPlace
    signer: CheckpointSigner
    history: HistoryWatch
    holder: str


async def look_at_history(deps: SigningDependencies) -> TreeHead:
    """Return the current tree, which begins with all that was signed.

    Raises HistoryBrokenError, which `history` says from then on; SecondPlaceError, StorageUnavailableError.
    """
    try:
        current = await _compared(deps)
    except HistoryBrokenError as broken:
        deps.history.broken(str(broken))
        raise
    deps.history.good()
    deps.history.saw(current.size)
    return current


async def _compared(deps: SigningDependencies) -> TreeHead:
    kept = await deps.tree.latest_checkpoint()
    # What is kept was written there before: whoever else signs at this moment, it is not behind.
    saved = await deps.second_place.read()
    current = await deps.tree.head()
    root_then = await deps.tree.root_at(saved.head.size) if saved is not None else None
    check_history(
        current,
        kept.head if kept is not None else None,
        saved.head if saved is not None else None,
        root_then,
    )
    return current


async def sign_new(deps: SigningDependencies) -> SignedTree | None:
    """Look at the history, and sign the tree if it has grown and it is this replica's turn; return what was signed.

    Raises HistoryBrokenError, SecondPlaceError, StorageUnavailableError.
    """
    leads = await deps.tree.lead(deps.holder, LEASE)
    current = await look_at_history(deps)
    kept = await deps.tree.latest_checkpoint()
    if not leads or current.size == 0 or (kept is not None and kept.head.size >= current.size):
        return None
    signed = deps.signer.sign(current)
    await deps.second_place.write(signed)
    await deps.tree.keep_checkpoint(signed)
    return signed

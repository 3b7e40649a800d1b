"""Taking back from the published log what a database that was rolled back has lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from services.audit.domain.history import SignedTree, TreeHead
    from services.audit.usecases.signing import SecondPlace


class NotRestoredError(Exception):
    """The published log does not lead from what the database has to what was signed; the text says why."""


class PublishedLog(Protocol):
    """A copy of the log's files."""

    async def checkpoint(self) -> SignedTree:
        """Return its checkpoint, which the log signed. Raises NotRestoredError."""

    def leaves(self, first: int, end: int) -> Iterator[bytes]:
        """Yield the leaves from `first` to before `end` of the tree that the checkpoint is of, a bundle at a time.

        Raises NotRestoredError.
        """


class RestorableLedger(Protocol):
    """Where the ledger is kept."""

    async def restore(self, head: TreeHead, leaves: Callable[[int, int], Iterator[bytes]]) -> int:
        """Put those leaves behind its own that make it the tree of `head`, or none; return how many.

        Raises NotRestoredError where they do not make it that, StorageUnavailableError.
        """


async def restore_leaves(ledger: RestorableLedger, second_place: SecondPlace, published: PublishedLog) -> int:
    """Bring the ledger to what was signed last, if it has less; return how many leaves were restored.

    What comes back are commitments: who is behind them nobody can open any more, as if the keys were lost. It is the
    tree that the second place vouches for, or nothing.

    Raises NotRestoredError, SecondPlaceError, HistoryBrokenError, StorageUnavailableError.
    """
    saved = await second_place.read()
    if saved is None:
        return 0
    copied = await published.checkpoint()
    if copied.head != saved.head:
        raise NotRestoredError(
            f"the published log is of {copied.head.size} leaves, and {saved.head.size} were signed last"
        )
    return await ledger.restore(saved.head, published.leaves)

"""What may be signed: a tree that begins with all that was signed before."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TreeHead:
    """How many leaves a tree has, and its root."""

    size: int
    root: bytes


@dataclass(frozen=True, slots=True)
class SignedTree:
    """A tree that was signed, and the note that says so."""

    head: TreeHead
    note: bytes


class HistoryBrokenError(Exception):
    """The database is not the one that was signed for: nothing may be signed, or taken, before it is restored."""


class NothingSignedError(Exception):
    """There is no checkpoint yet."""


def check_size(size: int, seen: int) -> None:
    """Raise HistoryBrokenError where a tree that had `seen` leaves has fewer now."""
    if size < seen:
        raise HistoryBrokenError(
            f"a tree of {seen} leaves was seen, and the database has {size}: it was rolled back, or is another one"
        )


def check_history(
    current: TreeHead, kept: TreeHead | None, saved: TreeHead | None, root_then: bytes | None
) -> None:
    """Raise HistoryBrokenError where signing the current tree would fork the log.

    `kept` is what the database says was signed last, `saved` what the second place says, `root_then` the root that the
    current tree had at that size (None: it has fewer leaves, or lacks hashes).
    """
    if saved is None:
        if kept is not None:
            raise HistoryBrokenError(
                f"a tree of {kept.size} leaves was signed, and the second place holds no checkpoint:"
                " put the newest one that anybody saved there"
            )
        return
    if saved.size > current.size:
        raise HistoryBrokenError(
            f"a tree of {saved.size} leaves was signed, and the database has {current.size}:"
            " it was rolled back, or is another one"
        )
    if root_then != saved.root:
        raise HistoryBrokenError(
            f"the first {saved.size} leaves are not those that were signed: the database was changed, or is another one"
        )
    if kept is not None and kept.size > saved.size:
        raise HistoryBrokenError(
            f"a tree of {kept.size} leaves was signed, and the second place ends at {saved.size}:"
            " it was rolled back: put the newest checkpoint that anybody saved there"
        )

"""RFC 6962, section 2.1: how leaves and nodes are hashed, and how proofs of a tree are made and verified.

Proofs are made from the hashes of perfect subtrees: `node(level, index)` is the hash of the 2**level leaves from
index * 2**level on.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()
MAX_PROOF_HASHES = 63
NodeReader: TypeAlias = "Callable[[int, int], bytes]"


class ProofError(ValueError):
    """The proof does not show what it should; the text says in which way."""


def leaf_hash(data: bytes) -> bytes:
    """Return the hash of a leaf."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of the node above these two."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def perfect_root(hashes: Sequence[bytes]) -> bytes:
    """Return the root above 1, 2, 4, 8, ... hashes."""
    row = list(hashes)
    while len(row) > 1:
        row = [node_hash(row[at], row[at + 1]) for at in range(0, len(row), 2)]
    return row[0]


def tree_root(size: int, node: NodeReader) -> bytes:
    """Return the root of the tree of the first `size` leaves."""
    return range_root(0, size, node) if size else EMPTY_ROOT


def range_root(first: int, end: int, node: NodeReader) -> bytes:
    """Return the root of the leaves from `first` to before `end`, as a subtree that stands in a tree."""
    count = end - first
    level = count.bit_length() - 1
    if count == 1 << level:
        return node(level, first >> level)
    middle = first + _split(count)
    return node_hash(range_root(first, middle, node), range_root(middle, end, node))


def inclusion_proof(index: int, size: int, node: NodeReader) -> list[bytes]:
    """Return the audit path of a leaf in the tree of the first `size`. Raise ValueError for one that is not in it."""
    if not 0 <= index < size:
        raise ValueError(f"leaf {index} is not in a tree of {size}")
    first, end, path = 0, size, []
    while end - first > 1:
        middle = first + _split(end - first)
        if index < middle:
            path.append(range_root(middle, end, node))
            end = middle
        else:
            path.append(range_root(first, middle, node))
            first = middle
    return path[::-1]


def consistency_proof(old: int, new: int, node: NodeReader) -> list[bytes]:
    """Return that the tree of the first `old` leaves is how that of the first `new` begins.

    Raise ValueError unless 0 <= old <= new. It is empty where either is empty or both are the same.
    """
    if not 0 <= old <= new:
        raise ValueError(f"a tree of {new} does not begin with one of {old}")
    if old in {0, new}:
        return []
    first, end, whole, path = 0, new, True, []
    while old != end:
        middle = first + _split(end - first)
        if old <= middle:
            path.append(range_root(middle, end, node))
            end = middle
        else:
            path.append(range_root(first, middle, node))
            first, whole = middle, False
    if not whole:
        path.append(range_root(first, end, node))
    return path[::-1]


def verify_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> None:
    """Raise ProofError unless the path shows that this leaf's hash stands at `index` in the tree of this root."""
    if not 0 <= index < size:
        raise ProofError(f"leaf {index} is not in a tree of {size}")
    _check_hashes(path)
    found, at, last = leaf, index, size - 1
    for hash_ in path:
        if last == 0:
            raise ProofError("the path is too long")
        if at & 1 or at == last:
            found = node_hash(hash_, found)
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            found = node_hash(found, hash_)
        at, last = at >> 1, last >> 1
    if last:
        raise ProofError("the path is too short")
    if not hmac.compare_digest(found, root):
        raise ProofError("the path leads to another root")


def verify_consistency(old: int, new: int, old_root: bytes, new_root: bytes, path: Sequence[bytes]) -> None:
    """Raise ProofError unless the path shows that the tree of `old_root` is how that of `new_root` begins."""
    if not 0 <= old <= new:
        raise ProofError(f"a tree of {new} does not begin with one of {old}")
    _check_hashes(path)
    if old in {0, new}:
        if path:
            raise ProofError("the path is too long")
        same = new_root if old else EMPTY_ROOT
        if not hmac.compare_digest(old_root, same):
            raise ProofError("two roots of the same size")
        return
    steps = list(path)
    first, second = _rebuilt(old, new, old_root, steps)
    if steps:
        raise ProofError("the path is too long")
    if not hmac.compare_digest(first, old_root) or not hmac.compare_digest(second, new_root):
        raise ProofError("the path leads to other roots")


def _rebuilt(old: int, count: int, whole: bytes | None, steps: list[bytes]) -> tuple[bytes, bytes]:
    """Return the roots of the first `old` of `count` leaves and of all, taking from `steps` what is needed.

    `whole` is the root of the first `old` as long as they begin the tree: the path does not repeat it.
    """
    if old == count:
        root = whole if whole is not None else _next(steps)
        return root, root
    middle = _split(count)
    if old <= middle:
        first, second = _rebuilt(old, middle, whole, steps)
        return first, node_hash(second, _next(steps))
    first, second = _rebuilt(old - middle, count - middle, None, steps)
    left = _next(steps)
    return node_hash(left, first), node_hash(left, second)


def _next(steps: list[bytes]) -> bytes:
    if not steps:
        raise ProofError("the path is too short")
    return steps.pop(0)


def _check_hashes(path: Sequence[bytes]) -> None:
    if len(path) > MAX_PROOF_HASHES or any(len(each) != HASH_BYTES for each in path):
        raise ProofError("not a path of hashes")


def _split(count: int) -> int:
    """Return the largest power of two that is less than `count`."""
    return 1 << ((count - 1).bit_length() - 1)

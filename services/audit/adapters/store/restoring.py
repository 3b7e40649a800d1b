"""Leaves that come back from the published log: what they commit to is known to nobody any more."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, update

from services.audit.adapters.store.tables import entries, tree
from services.audit.adapters.store.tree import extend, hold, nodes_of
from services.audit.usecases.restoring import NotRestoredError
from services.platform.times import EPOCH
from tlog.hashing import tree_root
from tlog.leaves import LeafError, decode
from tlog.tiles import WIDTH

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Connection

    from services.audit.adapters.sealing import HouseKey
    from services.audit.domain.history import TreeHead

NOBODYS_KEY = bytes(16)
"""The id of no key: what would be sealed under it is lost."""


def restore(
    connection: Connection, house: HouseKey, head: TreeHead, leaves: Callable[[int, int], Iterator[bytes]]
) -> int:
    """See usecases.restoring.RestorableLedger."""
    size = at = hold(connection)
    if size >= head.size:
        return 0
    coming = leaves(size, head.size)
    while some := list(islice(coming, WIDTH)):
        try:
            rows = [_row(house, at + number, leaf) for number, leaf in enumerate(some)]
        except LeafError as error:
            raise NotRestoredError(f"a leaf that is none: {error}") from error
        connection.execute(insert(entries), rows)
        extend(connection, at, some)
        at += len(some)
    if at != head.size or tree_root(at, nodes_of(connection, at)) != head.root:
        raise NotRestoredError("its leaves, behind those of the database, are not those that were signed")
    connection.execute(update(tree).where(tree.c.number == 1).values(size=at))
    return at - size


def _row(house: HouseKey, leaf_index: int, data: bytes) -> dict[str, Any]:
    """Return the row of a leaf. Raises LeafError."""
    leaf = decode(data)
    row: dict[str, Any] = {
        "leaf_index": leaf_index,
        "leaf_id": leaf.id,
        "leaf": data,
        "at": EPOCH + timedelta(milliseconds=leaf.at_millis),
        "decision": leaf.decision,
        "vehicle": None,
        "command": None,
        "subject": NOBODYS_KEY,
        "subject_sealed": None,
        "actor": NOBODYS_KEY,
        "actor_sealed": None,
        # The id of the entry is nobody's to know any more; each row has one that no entry has.
        "entry_key": hashlib.sha256(b"restored leaf " + data).digest(),
        "content_mac": None,
    }
    return {**row, "row_mac": house.row_mac(row)}

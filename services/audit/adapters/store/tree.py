"""The hashes above the entries, proofs from them, and what was signed of the tree."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, or_, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite

from services.audit.adapters.store.tables import checkpoints, entries, lease, tiles, tree
from services.audit.domain.history import HistoryBrokenError, SignedTree, TreeHead
from tlog.checkpoints import CheckpointError, unverified
from tlog.hashing import HASH_BYTES, consistency_proof, inclusion_proof, leaf_hash, tree_root
from tlog.notes import signer_of, split
from tlog.tiles import ENTRIES, WIDTH, Tile, TileError, TileNodes, bundle, grown, right_edge

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime, timedelta

    from sqlalchemy import Connection, Table

    from services.platform.database import Database

_SIZE = select(tree.c.size).where(tree.c.number == 1)


def hold(connection: Connection) -> int:
    """Hold the tree's row until the commit, as whoever adds to the tree does; return how many leaves there are."""
    connection.execute(_insert(connection, tree).values(number=1, size=0).on_conflict_do_nothing())
    return int(connection.execute(_SIZE.with_for_update()).scalar_one())


def extend(connection: Connection, size: int, leaves: Sequence[bytes]) -> None:
    """Put these leaves behind the first `size`. Only for who holds the tree's row."""
    places = {tile.level: (tile.level, tile.number) for tile in right_edge(size)}
    found = {}
    if places:
        query = select(tiles).where(tuple_(tiles.c.level, tiles.c.number).in_(list(places.values())))
        found = {row.level: row.hashes for row in connection.execute(query)}
    changed = grown(size, found, [leaf_hash(each) for each in leaves])
    put = _insert(connection, tiles)
    put = put.on_conflict_do_update(
        index_elements=[tiles.c.level, tiles.c.number], set_={"hashes": put.excluded.hashes}
    )
    rows = [{"level": level, "number": at, "hashes": data} for (level, at), data in changed.items()]
    connection.execute(put, rows)


class SqlTree:
    """The tree of a database. `now` gives aware times."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now

    async def size(self) -> int:
        """Return how many leaves there are. Raises StorageUnavailableError."""
        return await self._database.read(lambda connection: int(connection.execute(_SIZE).scalar() or 0))

    async def head(self) -> TreeHead:
        """Return the tree as it is now. Raises StorageUnavailableError, TileError."""

        def look(connection: Connection) -> TreeHead:
            size = int(connection.execute(_SIZE).scalar() or 0)
            return TreeHead(size, tree_root(size, nodes_of(connection, size)))

        return await self._database.read(look)

    async def root_at(self, size: int) -> bytes | None:
        """Return the root of the first `size` leaves; None where there are fewer, or their hashes are not there.

        Raises StorageUnavailableError.
        """

        def look(connection: Connection) -> bytes | None:
            if size > int(connection.execute(_SIZE).scalar() or 0):
                return None
            try:
                return tree_root(size, nodes_of(connection, size))
            except TileError:
                return None

        return await self._database.read(look)

    async def inclusion_proof(self, leaf_index: int, size: int) -> list[bytes]:
        """Return the audit path of a leaf in the tree of the first `size`.

        Raises ValueError where it is not in it, TileError for a tree that is not there, StorageUnavailableError.
        """
        return await self._database.read(lambda c: inclusion_proof(leaf_index, size, nodes_of(c, size)))

    async def consistency_proof(self, old: int, new: int) -> list[bytes]:
        """Return that the tree of the first `old` leaves is how that of the first `new` begins.

        Raises ValueError for a tree that shrank, TileError for one that is not there, StorageUnavailableError.
        """
        return await self._database.read(lambda c: consistency_proof(old, new, nodes_of(c, new)))

    async def content_of(self, tile: Tile) -> bytes:
        """Return a tile's hashes, or a bundle's leaves, as they are published.

        Raises TileError where it is not there, StorageUnavailableError.
        """
        if tile.level != ENTRIES:
            return await self._database.read(lambda connection: _tile(connection, tile))

        def look(connection: Connection) -> bytes:
            first = tile.number * WIDTH
            query = (
                select(entries.c.leaf_index, entries.c.leaf)
                .where(entries.c.leaf_index >= first, entries.c.leaf_index < first + tile.width)
                .order_by(entries.c.leaf_index)
            )
            found = list(connection.execute(query))
            if [row.leaf_index for row in found] != list(range(first, first + tile.width)):
                raise TileError(f"{tile.path} lacks leaves")
            return bundle([row.leaf for row in found])

        return await self._database.read(look)

    async def latest_checkpoint(self) -> SignedTree | None:
        """Return what was signed last.

        Raises HistoryBrokenError where the row says something else than its note, StorageUnavailableError.
        """
        query = select(checkpoints).order_by(checkpoints.c.size.desc()).limit(1)
        row = await self._database.read(lambda connection: connection.execute(query).one_or_none())
        if row is None:
            return None
        try:
            said = unverified(row.note)
        except CheckpointError as error:
            raise HistoryBrokenError(f"the checkpoint of {row.size} leaves was changed: {error}") from error
        if (said.size, said.root) != (row.size, row.root):
            raise HistoryBrokenError(f"the checkpoint of {row.size} leaves was changed")
        return SignedTree(TreeHead(row.size, row.root), row.note)

    async def keep_checkpoint(self, signed: SignedTree) -> None:
        """Record what was signed, in place of what was signed before. The same again changes nothing.

        Raises StorageUnavailableError.
        """
        values = {
            "size": signed.head.size,
            "root": signed.head.root,
            "note": signed.note,
            "signed_at": self._now(),
        }

        def work(connection: Connection) -> None:
            connection.execute(_insert(connection, checkpoints).values(values).on_conflict_do_nothing())
            connection.execute(delete(checkpoints).where(checkpoints.c.size < signed.head.size))

        await self._database.write(work)

    async def add_signatures(self, size: int, lines: Sequence[str]) -> bytes | None:
        """Add witnesses' lines to a checkpoint's note, one of each key; return the note, None where it is not there.

        Of a key that has one already the first stays: a cosignature of another moment says no more, and a note has room
        for few. Raises StorageUnavailableError, NoteError for a line that is no signature's.
        """

        def work(connection: Connection) -> bytes | None:
            query = select(checkpoints.c.note).where(checkpoints.c.size == size).with_for_update()
            note: bytes | None = connection.execute(query).scalar()
            if note is None:
                return None
            there = {signer_of(line) for line in split(note)[1]}
            more = {signer_of(line): line.encode() for line in reversed(lines)}
            more = {signer: line for signer, line in more.items() if signer not in there}
            if more:
                note += b"".join(more.values())
                connection.execute(update(checkpoints).where(checkpoints.c.size == size).values(note=note))
            return note

        return await self._database.write(work)

    async def lead(self, holder: str, lasting: timedelta) -> bool:
        """Return whether this replica signs, for so long from now on, and nobody else.

        Raises StorageUnavailableError.
        """
        now = self._now()
        mine = or_(lease.c.holder == holder, lease.c.until < now)
        claim = update(lease).where(lease.c.number == 1, mine).values(holder=holder, until=now + lasting)

        def work(connection: Connection) -> bool:
            first = _insert(connection, lease).values(number=1, holder=holder, until=now)
            connection.execute(first.on_conflict_do_nothing())
            return bool(connection.execute(claim).rowcount)

        return await self._database.write(work)


def _insert(connection: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    if connection.dialect.name == "postgresql":
        return postgresql.insert(table)
    return sqlite.insert(table)


def nodes_of(connection: Connection, size: int) -> TileNodes:
    """Return the hashes of the tree of this size, as the tiles have them."""
    return TileNodes(size, lambda tile: _tile(connection, tile))


def _tile(connection: Connection, tile: Tile) -> bytes:
    """Return a tile as it was when the tree was as large as its width says."""
    query = select(tiles.c.hashes).where(tiles.c.level == tile.level, tiles.c.number == tile.number)
    found: bytes = connection.execute(query).scalar() or b""
    if len(found) < tile.width * HASH_BYTES:
        raise TileError(f"{tile.path} is not there")
    return found[: tile.width * HASH_BYTES]

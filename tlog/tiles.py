"""c2sp.org/tlog-tiles: a log as files that are written once.

A tile is up to 256 hashes of one level, an entry bundle up to 256 leaves.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tlog.hashing import HASH_BYTES, perfect_root

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

WIDTH = 256
_HEIGHT = 8
ENTRIES = -1
"""The level of entry bundles."""
_MAX_LEVEL = 63
_PATH = re.compile(r"tile/(0|[1-9]\d?|entries)((?:/x\d{3})*/\d{3})(?:\.p/([1-9]\d{0,2}))?")
_LENGTH_BYTES = 2
_MAX_LEAF = (1 << 16) - 1


class TileError(ValueError):
    """A tile or a bundle is not what it should be; the text says how."""


@dataclass(frozen=True, slots=True, order=True)
class Tile:
    """Where a tile is: its level (ENTRIES for a bundle), its number in the level, and how many it holds."""

    level: int
    number: int
    width: int = WIDTH

    @property
    def path(self) -> str:
        """Return the path below the log's prefix."""
        number, words = self.number, []
        while True:
            words.append(f"{number % 1_000:03}")
            number //= 1_000
            if not number:
                break
        name = "/".join([*(f"x{word}" for word in words[:0:-1]), words[0]])
        level = "entries" if self.level == ENTRIES else str(self.level)
        return f"tile/{level}/{name}" + ("" if self.width == WIDTH else f".p/{self.width}")


def tile_of(path: str) -> Tile:
    """Return the tile at this path. Raise TileError for a path of none."""
    found = _PATH.fullmatch(path)
    if found is None:
        raise TileError(f"{path[:80]!r} is no tile's path")
    level = ENTRIES if found[1] == "entries" else int(found[1])
    tile = Tile(level, int(found[2].replace("/", "").replace("x", "")), int(found[3] or WIDTH))
    if tile.level > _MAX_LEVEL or tile.path != path:
        raise TileError(f"{path[:80]!r} is no tile's path in its one form")
    return tile


def tiles_between(old: int, new: int) -> Iterator[Tile]:
    """Yield those of a tree of `new` leaves that it did not have when it had `old`: bundles, then level by level."""
    yield from _row(ENTRIES, old, new)
    level = 0
    while new >> (_HEIGHT * level):
        yield from _row(level, old >> (_HEIGHT * level), new >> (_HEIGHT * level))
        level += 1


def _row(level: int, old: int, new: int) -> Iterator[Tile]:
    yield from (Tile(level, number) for number in range(old // WIDTH, new // WIDTH))
    if new % WIDTH and new > old:
        yield Tile(level, new // WIDTH, new % WIDTH)


def right_edge(size: int) -> list[Tile]:
    """Return the tiles of a tree of this size that are not full, lowest first."""
    return [tile for tile in tiles_at_edge(size) if tile.width < WIDTH]


def tiles_at_edge(size: int) -> Iterator[Tile]:
    """Yield of each level the last tile of a tree of this size."""
    level = 0
    while hashes := size >> (_HEIGHT * level):
        last = (hashes - 1) // WIDTH
        yield Tile(level, last, hashes - last * WIDTH)
        level += 1


def grown(size: int, edge: Mapping[int, bytes], leaf_hashes: Sequence[bytes]) -> dict[tuple[int, int], bytes]:
    """Return the tiles that change when these leaves follow the first `size`, whole, by level and number.

    `edge` holds the tiles that are not full, by level (see right_edge).
    """
    changed: dict[tuple[int, int], bytes] = {}
    row, level, before = list(leaf_hashes), 0, size
    while row:
        above = []
        number, held = before // WIDTH, edge.get(level, b"") if before % WIDTH else b""
        if len(held) != before % WIDTH * HASH_BYTES:
            raise TileError(f"the tile at the edge of level {level} has not {before % WIDTH} hashes")
        for first in range(0, before % WIDTH + len(row), WIDTH):
            begin = max(0, first - before % WIDTH)
            end = first + WIDTH - before % WIDTH
            data = (held if first == 0 else b"") + b"".join(row[begin:end])
            changed[level, number] = data
            if len(data) == WIDTH * HASH_BYTES:
                above.append(perfect_root(hashes_of(data)))
            number += 1
        row, level, before = above, level + 1, before // WIDTH
    return changed


def hashes_of(data: bytes) -> list[bytes]:
    """Return the hashes of a tile. Raise TileError where it holds a part of one."""
    if len(data) % HASH_BYTES:
        raise TileError("a tile holds a part of a hash")
    return [data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES)]


class TileNodes:
    """hashing.NodeReader over the tiles of a tree of `size` leaves. `read` returns a tile's bytes.

    Each tile is read once. Calls raise what `read` raises, and TileError for a tile of another width.
    """

    def __init__(self, size: int, read: Callable[[Tile], bytes]) -> None:
        self._size = size
        self._read = read
        self._known: dict[tuple[int, int], list[bytes]] = {}

    def __call__(self, level: int, index: int) -> bytes:
        """Return the hash of a perfect subtree."""
        tile_level, rest = divmod(level, _HEIGHT)
        first = index << rest
        hashes = self._tile(tile_level, first // WIDTH)
        at = first % WIDTH
        found = hashes[at : at + (1 << rest)]
        if len(found) != 1 << rest:
            raise TileError("beyond the tree")
        return perfect_root(found)

    def tiles_needed(self, level: int, number: int) -> Tile:
        """Return the tile of this place in this tree."""
        width = min(WIDTH, (self._size >> (_HEIGHT * level)) - number * WIDTH)
        if width <= 0:
            raise TileError("beyond the tree")
        return Tile(level, number, width)

    def _tile(self, level: int, number: int) -> list[bytes]:
        if (level, number) not in self._known:
            tile = self.tiles_needed(level, number)
            hashes = hashes_of(self._read(tile))
            if len(hashes) != tile.width:
                raise TileError(f"{tile.path} holds {len(hashes)} hashes")
            self._known[level, number] = hashes
        return self._known[level, number]


def bundle(leaves: Sequence[bytes]) -> bytes:
    """Return an entry bundle. Raise TileError for a leaf of 64 KiB or more."""
    if any(len(leaf) > _MAX_LEAF for leaf in leaves):
        raise TileError("a leaf is too long")
    return b"".join(len(leaf).to_bytes(_LENGTH_BYTES, "big") + leaf for leaf in leaves)


def leaves_of(data: bytes) -> list[bytes]:
    """Return the leaves of an entry bundle. Raise TileError where it ends within one."""
    leaves, at = [], 0
    while at < len(data):
        begin = at + _LENGTH_BYTES
        end = begin + int.from_bytes(data[at:begin], "big")
        if begin > len(data) or end > len(data):
            raise TileError("a bundle ends within a leaf")
        leaves.append(data[begin:end])
        at = end
    return leaves

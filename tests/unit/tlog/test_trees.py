"""Trees, tiles and proofs: the same as RFC 6962 and c2sp.org/tlog-tiles define, and nothing else verifies."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.tlog import naive_tree as naive
from tlog.hashing import (
    EMPTY_ROOT,
    ProofError,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    tree_root,
    verify_consistency,
    verify_inclusion,
)
from tlog.tiles import (
    ENTRIES,
    Tile,
    TileError,
    TileNodes,
    bundle,
    grown,
    hashes_of,
    leaves_of,
    right_edge,
    tile_of,
    tiles_at_edge,
    tiles_between,
)

SIZES = st.one_of(st.integers(1, 40), st.integers(250, 270), st.sampled_from([511, 512, 513, 700]))


class Log:
    """A log in a dict: its leaves are numbers."""

    def __init__(self, *steps: int) -> None:
        self.tiles: dict[tuple[int, int], bytes] = {}
        self.leaves: list[bytes] = []
        for step in steps:
            self.grow(step)

    def grow(self, more: int) -> None:
        size = len(self.leaves)
        new = [b"leaf %d" % (size + each) for each in range(more)]
        edge = {tile.level: self.tiles[tile.level, tile.number] for tile in right_edge(size)}
        self.tiles |= grown(size, edge, [leaf_hash(each) for each in new])
        self.leaves += new

    def nodes(self, size: int | None = None) -> TileNodes:
        size = len(self.leaves) if size is None else size
        return TileNodes(size, lambda tile: self.tiles[tile.level, tile.number][: tile.width * 32])


BIG = Log(70_000)


@given(steps=st.lists(st.integers(0, 300), max_size=4))
@settings(deadline=None, max_examples=60)
def test_a_log_that_grows_in_steps_has_the_tiles_of_one_that_grew_at_once(steps: list[int]) -> None:
    size = sum(steps)
    log = Log(*steps)
    assert log.tiles == Log(size).tiles
    assert tree_root(size, log.nodes()) == naive.mth(log.leaves)
    assert {(t.level, t.number): t.width * 32 for t in tiles_between(0, size) if t.level != ENTRIES} == {
        place: len(data) for place, data in log.tiles.items()
    }


@given(size=SIZES, data=st.data())
@settings(deadline=None, max_examples=120)
def test_proofs_are_those_of_the_rfc_and_verify(size: int, data: st.DataObject) -> None:
    leaves = BIG.leaves[:size]
    nodes, root = BIG.nodes(size), naive.mth(leaves)
    index = data.draw(st.integers(0, size - 1))
    path = inclusion_proof(index, size, nodes)
    assert path == naive.path(index, leaves)
    verify_inclusion(leaf_hash(leaves[index]), index, size, path, root)
    old = data.draw(st.integers(1, size))
    proof = consistency_proof(old, size, nodes)
    assert proof == naive.proof(old, leaves)
    verify_consistency(old, size, naive.mth(leaves[:old]), root, proof)


@given(size=SIZES, data=st.data())
@settings(deadline=None, max_examples=150)
def test_nothing_else_verifies(size: int, data: st.DataObject) -> None:
    nodes = BIG.nodes(size)
    root = tree_root(size, nodes)
    index, old = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, size))
    leaf, old_root = leaf_hash(BIG.leaves[index]), tree_root(old, BIG.nodes(old))
    inclusion, consistency = inclusion_proof(index, size, nodes), consistency_proof(old, size, nodes)

    def other(path: list[bytes]) -> list[bytes]:
        """The path with one thing changed."""
        change = data.draw(st.sampled_from(["flip", "drop", "add", "swap", "short"]))
        place = data.draw(st.integers(0, max(0, len(path) - 1)))
        match change:
            case "flip" if path:
                flipped = bytes([path[place][0] ^ 1]) + path[place][1:]
                return [*path[:place], flipped, *path[place + 1 :]]
            case "drop" if path:
                return [*path[:place], *path[place + 1 :]]
            case "swap" if len(path) > 1 and path[0] != path[-1]:
                return [path[-1], *path[1:-1], path[0]]
            case "short" if path:
                return [*path[:place], path[place][:31], *path[place + 1 :]]
        return [*path, root]

    with pytest.raises(ProofError):
        verify_inclusion(leaf, index, size, other(inclusion), root)
    with pytest.raises(ProofError):
        verify_inclusion(leaf_hash(b"another"), index, size, inclusion, root)
    with pytest.raises(ProofError):
        verify_inclusion(leaf, size, size, inclusion, root)
    with pytest.raises(ProofError):
        verify_consistency(old, size, old_root, root, other(consistency))
    with pytest.raises(ProofError):
        verify_consistency(old, size, leaf_hash(b"x"), root, consistency)
    with pytest.raises(ProofError):
        verify_consistency(old, size, old_root, leaf_hash(b"x"), consistency)


def test_a_tree_begins_with_the_empty_one_and_with_itself() -> None:
    root = tree_root(5, BIG.nodes(5))
    assert tree_root(0, BIG.nodes(0)) == EMPTY_ROOT == naive.mth([])
    verify_consistency(0, 5, EMPTY_ROOT, root, [])
    verify_consistency(5, 5, root, root, [])
    for old, new in ((6, 5), (-1, 5)):
        with pytest.raises(ProofError):
            verify_consistency(old, new, root, root, [])
        with pytest.raises(ValueError, match="begin"):
            consistency_proof(old, new, BIG.nodes(5))
    with pytest.raises(ProofError):
        verify_consistency(5, 5, root, root, [root])
    with pytest.raises(ValueError, match="not in a tree"):
        inclusion_proof(5, 5, BIG.nodes(5))


def test_the_trees_of_the_rfcs_test_vectors() -> None:
    """The roots that certificate transparency's own tests have for these eight leaves (RFC 6962, 2.1.3's shapes)."""
    leaves = [
        bytes.fromhex(each)
        for each in (
            "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
        )
    ]  # fmt: skip
    roots = (
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    )
    for size, root in enumerate(roots, 1):
        tiles = grown(0, {}, [leaf_hash(each) for each in leaves[:size]])
        nodes = TileNodes(size, lambda tile, tiles=tiles: tiles[tile.level, tile.number])
        assert tree_root(size, nodes).hex() == root


def test_the_tiles_of_seventy_thousand_leaves_are_those_of_the_page() -> None:
    tiles = list(tiles_between(0, 70_000))
    of = {level: [t for t in tiles if t.level == level] for level in (0, 1, 2)}
    assert ([t.width for t in of[0]].count(256), of[0][-1].width) == (273, 112)
    assert [t.width for t in of[1]] == [256, 17]
    assert [t.width for t in of[2]] == [1]
    assert [t.width for t in tiles_between(0, 256) if t.level != ENTRIES] == [256, 1]
    assert [t.width for t in tiles_at_edge(256)] == [256, 1]
    assert list(tiles_between(0, 0)) == []


@given(old=st.integers(0, 1_000), more=st.integers(0, 1_000))
def test_what_is_new_in_a_tree_that_grew(old: int, more: int) -> None:
    assert list(tiles_between(old, old + more)) == [
        tile for tile in tiles_between(0, old + more) if tile not in set(tiles_between(0, old))
    ]


@given(level=st.integers(ENTRIES, 63), number=st.integers(0, 10**12), width=st.integers(1, 256))
def test_a_path_names_one_tile(level: int, number: int, width: int) -> None:
    tile = Tile(level, number, width)
    assert tile_of(tile.path) == tile


def test_paths_are_those_of_the_page() -> None:
    assert Tile(0, 1_234_067).path == "tile/0/x001/x234/067"
    assert Tile(ENTRIES, 5, 7).path == "tile/entries/005.p/7"


@pytest.mark.parametrize(
    "path",
    [
        "tile/0/1", "tile/00/001", "tile/64/001", "tile/0/x000/001", "tile/0/001.p/0", "tile/0/001.p/256",
        "tile/0/001.p/01", "tile/0/001/002", "tile/0/x001", "tile/-1/001",
        "tile/0/001.p/", "/tile/0/001", "tile/0/../001", "checkpoint",
    ],
)  # fmt: skip
def test_other_paths_name_none(path: str) -> None:
    with pytest.raises(TileError):
        tile_of(path)


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_a_bundle_holds_its_leaves(leaves: list[bytes]) -> None:
    data = bundle(leaves)
    assert leaves_of(data) == leaves
    if data:
        with pytest.raises(TileError):
            leaves_of(data[:-1] if leaves[-1] else data + b"\0")


def test_what_is_no_bundle_and_no_tile() -> None:
    with pytest.raises(TileError):
        bundle([b"x" * 65_536])
    with pytest.raises(TileError):
        hashes_of(b"x" * 31)
    with pytest.raises(TileError):
        grown(3, {}, [b"h" * 32])
    with pytest.raises(TileError):
        TileNodes(3, lambda _tile: b"h" * 32)(0, 0)
    with pytest.raises(TileError):
        BIG.nodes(3)(0, 256)
    with pytest.raises(TileError):
        BIG.nodes(3)(2, 0)

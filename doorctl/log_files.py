"""Whether a copy of the audit log is whole and unchanged: on files, with the log's public key and a saved checkpoint.

The leaves are hashed anew; nothing in the copy is believed but the log's signatures: that of the checkpoint, and that
of what the service found in its tables.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from tlog.checkpoints import CHECKPOINT, CheckpointError, SignedCheckpoint, open_checkpoint
from tlog.hashing import HASH_BYTES, leaf_hash, tree_root
from tlog.leaves import Disclosure, Leaf, LeafError, canonical, decode, unbase64url
from tlog.notes import MAX_NOTE_BYTES, NoteError
from tlog.signed_tables import SIGNED_TABLES, open_signed_tables, table_path
from tlog.tiles import ENTRIES, WIDTH, Tile, TileError, TileNodes, grown, leaves_of, tiles_between

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tlog.notes import NoteKey

TABLE = "table"
_ROW = {"index", "leaf_sha256", "problems", "erased", "lost"}


class Verdict(IntEnum):
    """What becomes of a copy; the exit status."""

    WHOLE = 0
    TAMPERED = 1
    INCOMPLETE = 2


@dataclass(slots=True)
class LogReport:
    """What was found in a copy."""

    size: int = 0
    tampered: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> Verdict:
        """Return the verdict: what was changed counts more than what is not there."""
        if self.tampered:
            return Verdict.TAMPERED
        return Verdict.INCOMPLETE if self.missing else Verdict.WHOLE


@dataclass(frozen=True, slots=True)
class LogTrust:
    """What the verifier brings along: the log's keys, a checkpoint that was saved, and witnesses of whom so many must
    have cosigned.
    """

    keys: Sequence[NoteKey]
    saved: bytes | None = None
    witnesses: Sequence[NoteKey] = ()
    quorum: int = 0

    @property
    def origin(self) -> str:
        """The log's name, which is its key's."""
        return self.keys[0].name


def verify_log(folder: Path, trust: LogTrust, *, tables: bool = False) -> LogReport:
    """Return what is found in the copy in this folder. With `tables` it must hold what the tables say, too.

    Raises CheckpointError where the saved checkpoint is none of this log. Raises OSError.
    """
    report = LogReport()
    saved = None
    if trust.saved is not None:
        saved = open_checkpoint(trust.saved, trust.origin, trust.keys, trust.witnesses)
    signed = _signed_checkpoint(folder, trust, report)
    if signed is None:
        return report
    report.size = signed.checkpoint.size
    copy = _LogCopy(folder, report)
    copy.read(report.size)
    if copy.root() not in {None, signed.checkpoint.root}:
        report.tampered.append("the leaves are not those that the checkpoint signs")
    if saved is not None:
        _compare_saved(copy, signed, saved, report)
    if tables or (folder / TABLE).is_dir():
        digest = _check_tables(folder, copy, report)
        _check_signed_tables(folder, trust, signed, digest, report)
    else:
        report.notes.append("it holds no word of the tables")
    return report


def _signed_checkpoint(folder: Path, trust: LogTrust, report: LogReport) -> SignedCheckpoint | None:
    data = _content(folder / CHECKPOINT, MAX_NOTE_BYTES)
    if data is None:
        report.missing.append("checkpoint is not there")
        return None
    try:
        signed = open_checkpoint(data, trust.origin, trust.keys, trust.witnesses)
    except CheckpointError as error:
        report.tampered.append(f"checkpoint: {error}")
        return None
    cosigned = signed.cosigned_by()
    if cosigned:
        report.notes.append(f"cosigned by {', '.join(cosigned)}")
    if len(cosigned) < trust.quorum:
        report.missing.append(
            f"cosigned by {len(cosigned)} of the {trust.quorum} witnesses that are asked for"
        )
    return signed


def _compare_saved(
    copy: _LogCopy, signed: SignedCheckpoint, saved: SignedCheckpoint, report: LogReport
) -> None:
    theirs, ours = saved.checkpoint, signed.checkpoint
    if theirs.size > ours.size:
        report.tampered.append(
            f"rolled back: it has {ours.size} leaves, and the saved checkpoint {theirs.size}"
        )
        return
    if theirs.size == ours.size and theirs.root != ours.root:
        report.tampered.append("the saved checkpoint is of another tree of the same size")
        return
    root = copy.root_at(theirs.size)
    if root is None:
        report.missing.append("what lies before the saved checkpoint is not all there")
    elif root != theirs.root:
        report.tampered.append(f"its first {theirs.size} leaves are not those of the saved checkpoint")


class _LogCopy:
    """The tiles and leaves of a copy, as far as they are there."""

    def __init__(self, folder: Path, report: LogReport) -> None:
        self._folder = folder
        self._report = report
        self._size = 0
        self.leaves: dict[int, bytes] = {}
        self._tiles: dict[tuple[int, int], bytes] = {}

    def read(self, size: int) -> None:
        """Read the tree of this size, and compare each level with the one below."""
        self._size = size
        ids: set[str] = set()
        for tile in tiles_between(0, size):
            if tile.level == ENTRIES:
                self._read_bundle(tile, ids)
        for tile in tiles_between(0, size):
            if tile.level != ENTRIES:
                self._read_tile(tile)
        made = self._made()
        for place, data in self._tiles.items():
            if place in made and made[place] != data:
                self._report.tampered.append(
                    f"{Tile(*place, len(data) // HASH_BYTES).path} is not that of the leaves"
                )
        self._tiles |= made

    def root(self) -> bytes | None:
        """Return the root; None where what is there does not say."""
        return self.root_at(self._size)

    def root_at(self, size: int) -> bytes | None:
        """Return the root of the first so many leaves; None where what is there does not say."""

        def read(tile: Tile) -> bytes:
            data = self._tiles.get((tile.level, tile.number), b"")
            if len(data) < tile.width * HASH_BYTES:
                raise TileError(f"{tile.path} is not there")
            return data[: tile.width * HASH_BYTES]

        try:
            return tree_root(size, TileNodes(size, read))
        except TileError:
            return None

    def _made(self) -> dict[tuple[int, int], bytes]:
        """Return the tiles as the leaves make them: all, or of those bundles that are there the lowest."""
        hashes = {index: leaf_hash(leaf) for index, leaf in self.leaves.items()}
        if len(hashes) == self._size:
            return grown(0, {}, [hashes[index] for index in range(self._size)])
        made = {}
        for number in {index // WIDTH for index in hashes}:
            row = [
                hashes.get(index) for index in range(number * WIDTH, min(self._size, (number + 1) * WIDTH))
            ]
            if None not in row:
                made[0, number] = b"".join(each for each in row if each is not None)
        return made

    def _read_bundle(self, tile: Tile, ids: set[str]) -> None:
        data = self._read(tile)
        if data is None:
            return
        try:
            leaves = leaves_of(data)
        except TileError:
            self._report.missing.append(f"{tile.path} ends within a leaf")
            return
        if len(leaves) < tile.width:
            self._report.missing.append(f"{tile.path} holds {len(leaves)} of {tile.width} leaves")
        elif len(leaves) > tile.width:
            self._report.tampered.append(f"{tile.path} holds more leaves than were signed")
        for index, data_ in enumerate(leaves[: tile.width], tile.number * WIDTH):
            self.leaves[index] = data_
            try:
                leaf = decode(data_)
            except LeafError as error:
                self._report.tampered.append(f"leaf {index}: {error}")
                continue
            if leaf.id in ids:
                self._report.tampered.append(f"leaf {index} has the id of another")
            ids.add(leaf.id)

    def _read_tile(self, tile: Tile) -> None:
        data = self._read(tile)
        if data is None:
            return
        if len(data) < tile.width * HASH_BYTES:
            self._report.missing.append(f"{tile.path} is cut off")
        elif len(data) > tile.width * HASH_BYTES:
            self._report.tampered.append(f"{tile.path} holds more hashes than were signed")
        else:
            self._tiles[tile.level, tile.number] = data

    def _read(self, tile: Tile) -> bytes | None:
        data = _content(self._folder / tile.path)
        if data is None:
            self._report.missing.append(f"{tile.path} is not there")
        return data


def _content(path: Path, most: int = 1 << 25) -> bytes | None:
    """Return what is in the file, up to so many bytes; None where there is none."""
    try:
        with path.open("rb") as file:
            return file.read(most + 1)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None


def _check_tables(folder: Path, copy: _LogCopy, report: LogReport) -> bytes | None:
    """Return the digest of the tables' files; None where they are not all there."""
    erased = lost = 0
    whole, digest = True, hashlib.sha256()
    for first in range(0, report.size, WIDTH):
        name = table_path(first)
        data = _content(folder / name)
        if data is None:
            report.missing.append(f"{name} is not there")
            whole = False
            continue
        digest.update(data)
        expected = range(first, min(report.size, first + WIDTH))
        lines = data.split(b"\n")
        if lines.pop() or len(lines) < len(expected):
            report.missing.append(f"{name} is cut off, or rows are not there")
            whole = False
        for index, line in zip(expected, lines, strict=False):
            try:
                row = _table_row(line, index)
                _check_row(row, copy.leaves.get(index))
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
                report.tampered.append(f"row {index}: {error}")
                continue
            erased += bool(row["erased"])
            lost += bool(row["lost"])
        if len(lines) > len(expected):
            report.tampered.append(f"{name} holds more rows than there are leaves")
    if erased:
        report.notes.append(f"{erased} entries are of people who were forgotten")
    if lost:
        report.missing.append(f"the keys of {lost} entries are lost: their members cannot be opened")
    return digest.digest() if whole else None


def _check_signed_tables(
    folder: Path, trust: LogTrust, signed: SignedCheckpoint, digest: bytes | None, report: LogReport
) -> None:
    data = _content(folder / SIGNED_TABLES, MAX_NOTE_BYTES)
    if data is None:
        report.missing.append(f"{SIGNED_TABLES} is not there: nobody vouches for what the tables say")
        return
    try:
        found = open_signed_tables(data, trust.origin, trust.keys)
    except NoteError as error:
        report.tampered.append(f"{SIGNED_TABLES}: {error}")
        return
    if (found.size, found.root) != (signed.checkpoint.size, signed.checkpoint.root):
        report.tampered.append(f"{SIGNED_TABLES} is that of another copy")
    elif digest is not None and found.digest != digest:
        report.tampered.append("the tables do not say what was signed")
    else:
        report.notes.append(f"the tables are those of {found.time}")


def _table_row(line: bytes, index: int) -> dict[str, Any]:
    row: dict[str, Any] = json.loads(line)
    if canonical(row) != line or not _ROW <= row.keys() <= {*_ROW, "members"}:
        raise ValueError("it is not in the form that an export has")
    if json.dumps(row["index"]) != str(index):
        raise ValueError("it is the row of another leaf")
    if not {*row["erased"], *row["lost"]} <= {"subject", "actor"}:
        raise ValueError("it tells of somebody that an entry has not")
    return row


def _check_row(row: dict[str, Any], leaf: bytes | None) -> None:
    """Raise ValueError where the row is not that of its leaf."""
    if row["problems"]:
        raise ValueError("; ".join(str(each)[:100] for each in row["problems"][:3]))
    if not isinstance(row["problems"], list):
        raise TypeError("it is none")
    if leaf is None:
        return
    if row["leaf_sha256"] != hashlib.sha256(leaf).hexdigest():
        raise ValueError("it holds another leaf")
    if "members" not in row:
        return
    read: Leaf = decode(leaf)
    for name, (salt, value) in row["members"].items():
        if not read.holds(Disclosure(name, unbase64url(salt), value)):
            raise ValueError(f"{name[:40]} is not what the leaf commits to")
    if not row["erased"] and not row["lost"] and row["members"].keys() != read.commitments.keys():
        raise ValueError("members are not there")


def tile_reader(folder: Path) -> Callable[[Tile], bytes]:
    """Return what reads tiles of a copy. It raises TileError for one that is not there."""

    def read(tile: Tile) -> bytes:
        data = _content(folder / tile.path)
        if data is None:
            raise TileError(f"{tile.path} is not there")
        return data

    return read

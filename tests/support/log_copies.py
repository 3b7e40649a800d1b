"""Copies of an audit log, and what a hostile hand does to them and to the tables behind them."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.audit.adapters.export import LogExport
from services.audit.adapters.store import LedgerInspection, SqlTree
from services.platform.database import open_database
from tests.support.audit_entries import HOUSE_KEY, T0
from tests.support.audit_log import KEYS
from tlog.tiles import bundle, leaves_of

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random

    from services.platform.database import Database


async def export_to(database: Database, folder: Path, *, with_members: bool = True) -> None:
    """Write the log of this database as `doorctl audit export` does."""
    export = LogExport(SqlTree(database, lambda: T0), LedgerInspection(database, HOUSE_KEY), KEYS, lambda: T0)
    async for path, data in export.files(with_members=with_members):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        with (folder / path).open("ab") as file:
            file.write(data)


async def export_of_file(file: Path, folder: Path) -> None:
    """Write the log of the SQLite database in this file."""
    database = await open_database(f"sqlite:///{file}")
    try:
        await export_to(database, folder)
    finally:
        await database.close()


@dataclass
class LogCopy:
    """The files of a copy, which can be put back as they were."""

    folder: Path
    files: dict[str, bytes]

    @classmethod
    def of(cls, folder: Path) -> LogCopy:
        found = {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
        return cls(folder, found)

    def write(self, changed: dict[str, bytes | None]) -> None:
        """Write these files, and delete those that are None."""
        for name, data in changed.items():
            path = self.folder / name
            if data is None:
                path.unlink(missing_ok=True)
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)

    def restore(self, changed: dict[str, bytes | None]) -> None:
        """Put back what was written."""
        self.write({name: self.files.get(name) for name in changed})

    def tampered(self, random: Random) -> tuple[str, dict[str, bytes | None]]:
        """One way of tampering, and the files as they are after it. Never what is there."""
        while True:
            kind = random.choice(KINDS)
            changed = getattr(self, f"_{kind}")(random)
            if changed and any(self.files.get(name) != data for name, data in changed.items()):
                return kind, changed

    def _name(self, random: Random, part: str = "") -> str:
        return random.choice([name for name in self.files if part in name])

    def _edit(self, random: Random) -> dict[str, bytes | None]:
        name = self._name(random)
        data = bytearray(self.files[name])
        for _ in range(random.choice((1, 1, 1, 2, 5))):
            data[random.randrange(len(data))] ^= 1 << random.randrange(8)
        return {name: bytes(data)}

    def _delete(self, random: Random) -> dict[str, bytes | None]:
        return {self._name(random): None}

    def _truncate(self, random: Random) -> dict[str, bytes | None]:
        name = self._name(random)
        return {name: self.files[name][: random.randrange(len(self.files[name]))]}

    def _swap_files(self, random: Random) -> dict[str, bytes | None]:
        one, other = self._name(random), self._name(random)
        return {one: self.files[other], other: self.files[one]}

    def _leaves(self, random: Random) -> dict[str, bytes | None]:
        """Swap, drop or repeat leaves of a bundle."""
        name = self._name(random, "entries")
        leaves = leaves_of(self.files[name])
        one, other = random.randrange(len(leaves)), random.randrange(len(leaves))
        match random.choice(("swap", "drop", "repeat", "replace")):
            case "swap":
                leaves[one], leaves[other] = leaves[other], leaves[one]
            case "drop":
                del leaves[one]
            case "repeat":
                leaves.insert(one, leaves[other])
            case "replace":
                leaves[one] = leaves[other]
        return {name: bundle(leaves)}

    def _rows(self, random: Random) -> dict[str, bytes | None]:
        """Swap, drop or repeat rows of the tables."""
        name = self._name(random, ".jsonl")
        rows = self.files[name].splitlines(keepends=True)
        one, other = random.randrange(len(rows)), random.randrange(len(rows))
        match random.choice(("swap", "drop", "repeat")):
            case "swap":
                rows[one], rows[other] = rows[other], rows[one]
            case "drop":
                del rows[one]
            case "repeat":
                rows.insert(one, rows[other])
        return {name: b"".join(rows)}

    def _hashes(self, random: Random) -> dict[str, bytes | None]:
        """Swap two hashes of a tile."""
        name = self._name(random, "tile/0/")
        data = self.files[name]
        hashes = [data[at : at + 32] for at in range(0, len(data), 32)]
        one, other = random.randrange(len(hashes)), random.randrange(len(hashes))
        hashes[one], hashes[other] = hashes[other], hashes[one]
        return {name: b"".join(hashes)}


KINDS = ("edit", "edit", "edit", "delete", "truncate", "swap_files", "leaves", "rows", "hashes")

COLUMNS = {
    "ledger_entry": (
        "leaf_index", "entry_key", "content_mac", "leaf_id", "leaf", "at", "vehicle", "command", "subject",
        "subject_sealed", "actor", "actor_sealed", "row_mac",
    ),
    "ledger_tile": ("level", "number", "hashes"),
    "ledger_checkpoint": ("size", "root", "note"),
    "person_key": ("key_id", "person", "wrapped", "made_at", "destroyed_at", "row_mac"),
}  # fmt: skip
"""What of the tables says something."""


def tamper_with_tables(file: Path, random: Random) -> str | None:
    """Change something in the tables of this database; say what, or None where it came out the same."""
    connection = sqlite3.connect(file)
    try:
        before = "\n".join(connection.iterdump())
        said = _change(connection, random)
        connection.commit()
        return said if "\n".join(connection.iterdump()) != before else None
    except sqlite3.IntegrityError:
        return None
    finally:
        connection.close()


def _change(connection: sqlite3.Connection, random: Random) -> str:
    table = random.choice(["ledger_entry"] * 6 + ["ledger_tile", "ledger_checkpoint", "person_key"])
    ids = [row[0] for row in connection.execute(f"SELECT rowid FROM {table}")]  # noqa: S608  # names of ours
    one, other = random.choice(ids), random.choice(ids)
    column = random.choice(COLUMNS[table])
    kind = random.choice(("edit", "edit", "swap", "copy", "delete"))
    said = f"{kind} {table}.{column}"
    if kind == "delete":
        connection.execute(f"DELETE FROM {table} WHERE rowid = ?", (one,))  # noqa: S608
        return said
    read = f"SELECT {column} FROM {table} WHERE rowid = ?"  # noqa: S608
    write = f"UPDATE {table} SET {column} = ? WHERE rowid = ?"  # noqa: S608
    first, second = (connection.execute(read, (each,)).fetchone()[0] for each in (one, other))
    if kind == "edit":
        new = 1_700_000_000_000_000 if column == "destroyed_at" else _edited(first, random)
        connection.execute(write, (new, one))
        return said
    if kind == "swap" and column in {"leaf_index", "entry_key", "key_id", "size", "level", "number"}:
        connection.execute(write, (_edited(first, random), one))  # unique: out of the way first
        connection.execute(write, (first, other))
        connection.execute(write, (second, one))
        return said
    connection.execute(write, (second, one))
    if kind == "swap":
        connection.execute(write, (first, other))
    return said


def _edited(value: object, random: Random) -> object:
    if isinstance(value, int):
        return value + random.choice((1, 1_000, 10_000_000))
    if isinstance(value, bytes):
        data = bytearray(value)
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)
        return bytes(data)
    if isinstance(value, str):
        place = random.randrange(len(value))
        return value[:place] + ("0" if value[place] != "0" else "1") + value[place + 1 :]
    return b"x" * 32  # it was not there

"""`doorctl audit` on copies: what was tampered with is found, by the log's key and a saved checkpoint alone."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sqlite3
from pathlib import Path
from random import Random
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typer.testing import CliRunner

from doorctl.__main__ import app
from doorctl.log_files import LogTrust, Verdict, verify_log
from services.audit.adapters.log_key import LogKeys
from services.audit.domain.history import HistoryBrokenError, NothingSignedError, TreeHead
from tests.support.audit_entries import entry
from tests.support.audit_log import KEYS, ORIGIN, VKEY, opened_log
from tests.support.log_copies import LogCopy, export_of_file, export_to, tamper_with_tables
from tests.support.tlog_witness import TrueWitness
from tlog.hashing import leaf_hash, tree_root
from tlog.leaves import LeafError
from tlog.notes import cosignature_line
from tlog.tiles import TileNodes, bundle, grown, leaves_of

LEAVES, SAVED = 270, 260
COUNT = int(os.environ.get("AUDIT_TAMPERINGS", "80"))
"""How often a copy is tampered with; an eighth as often the tables. `make audit-tampering` does 10,000."""
SEED = int(os.environ.get("AUDIT_TAMPERINGS_SEED", "1"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a `copy` of 270 leaves, one of the 100 before (`early`), the database, and a `saved` checkpoint."""
    folder = tmp_path_factory.mktemp("log")

    async def make() -> None:
        async with opened_log(f"sqlite:///{folder}/ledger.sqlite3", folder) as log:
            for first, end, name in ((0, 100, "early"), (100, SAVED, ""), (SAVED, LEAVES, "copy")):
                await log.ledger.append(
                    [entry(number, subject=f"user-{number % 7}") for number in range(first, end)]
                )
                await log.sequencer.step()
                if not name:
                    shutil.copy(folder / "second" / "checkpoint", folder / "saved")
                elif name == "copy":
                    await log.ledger.destroy_key("user-3")
                if name:
                    await export_to(log.database, folder / name)

    asyncio.run(make())
    return folder


@pytest.fixture(scope="module")
def trust(made: Path) -> LogTrust:
    return LogTrust(KEYS.public, (made / "saved").read_bytes())


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> LogCopy:
    return LogCopy.of(Path(shutil.copytree(made / "copy", tmp_path / "copy")))


def doorctl(*words: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["audit", *map(str, words)])
    return done.exit_code, done.output


def test_a_copy_is_verified_with_the_key_and_a_saved_checkpoint_alone(made: Path, copy: LogCopy) -> None:
    status, said = doorctl("verify", copy.folder, "--key", VKEY, "--checkpoint", made / "saved", "--tables")
    assert (status, f"{LEAVES} leaves of {ORIGIN}: whole and unchanged" in said) == (0, True)
    assert "39 entries are of people who were forgotten" in said
    status, said = doorctl("verify", made / "log", "--key", VKEY)
    assert (status, "rolled back" in said, "no word of the tables" in said) == (0, True, True)
    assert doorctl("verify", made / "log", "--key", VKEY, "--tables")[0] == 2


def test_the_published_folder_and_the_copy_are_the_same_log(made: Path, copy: LogCopy) -> None:
    published = LogCopy.of(made / "log").files
    tree = {name: data for name, data in copy.files.items() if "table/" not in name}
    assert {name: published.get(name) for name in tree} == tree


def test_every_random_tampering_with_a_copy_is_found(copy: LogCopy, trust: LogTrust) -> None:
    random = Random(SEED)  # noqa: S311  # to be repeated
    assert verify_log(copy.folder, trust).verdict is Verdict.WHOLE
    missed, found = [], {Verdict.TAMPERED: 0, Verdict.INCOMPLETE: 0}
    for number in range(COUNT):
        kind, changed = copy.tampered(random)
        copy.write(changed)
        verdict = verify_log(copy.folder, trust, tables=True).verdict
        if verdict is Verdict.WHOLE:
            missed.append((number, kind, sorted(changed)))
        else:
            found[verdict] += 1
        copy.restore(changed)
    assert missed == []
    assert all(found.values())
    assert verify_log(copy.folder, trust).verdict is Verdict.WHOLE


def test_every_random_tampering_with_the_tables_is_found(made: Path, tmp_path: Path, trust: LogTrust) -> None:
    random = Random(SEED)  # noqa: S311  # to be repeated
    file, folder = tmp_path / "ledger.sqlite3", tmp_path / "exported"

    async def is_found() -> bool:
        try:
            await export_of_file(file, folder)
        except (HistoryBrokenError, LeafError, NothingSignedError):
            return True  # the service itself refuses to show it
        return verify_log(folder, trust, tables=True).verdict is not Verdict.WHOLE

    missed, tried = [], 0
    while tried < max(16, COUNT // 8):
        shutil.copy(made / "ledger.sqlite3", file)
        said = tamper_with_tables(file, random)
        if said is None:
            continue
        tried += 1
        shutil.rmtree(folder, ignore_errors=True)
        if not asyncio.run(is_found()):
            missed.append(said)
    assert missed == []


def test_a_roll_back_is_found_and_without_a_saved_checkpoint_it_cannot_be(made: Path) -> None:
    status, said = doorctl("verify", made / "early", "--key", VKEY, "--checkpoint", made / "saved")
    assert (status, "rolled back" in said) == (1, True)
    status, said = doorctl("verify", made / "early", "--key", VKEY)
    assert (status, "nobody can tell" in said) == (0, True)


def forged(copy: LogCopy, keys: LogKeys) -> None:
    """Another log of the same size, every hash as it should be, signed with these keys."""
    names = sorted(name for name in copy.files if "entries" in name)
    leaves = [leaf for name in names for leaf in leaves_of(copy.files[name])]
    leaves[5] = leaves[5].replace(b'"ALLOWED"', b'"REFUSED"')
    tiles = grown(0, {}, [leaf_hash(each) for each in leaves])
    root = tree_root(LEAVES, TileNodes(LEAVES, lambda tile: tiles[tile.level, tile.number]))
    copy.write(
        {
            "checkpoint": keys.sign(TreeHead(LEAVES, root)).note,
            "tile/0/000": tiles[0, 0],
            f"tile/0/001.p/{LEAVES - 256}": tiles[0, 1],
            "tile/1/000.p/1": tiles[1, 0],
            "tile/entries/000": bundle(leaves[:256]),
        }
    )


def test_a_forgery_that_agrees_with_itself_is_found_by_the_key_or_by_the_saved_checkpoint(
    made: Path, copy: LogCopy, trust: LogTrust
) -> None:
    forged(copy, LogKeys(ORIGIN, Ed25519PrivateKey.from_private_bytes(b"f" * 32)))
    assert "not signed" in verify_log(copy.folder, trust).tampered[0]
    forged(copy, KEYS)  # whoever stole the key
    shutil.rmtree(copy.folder / "table")
    assert verify_log(copy.folder, LogTrust(KEYS.public)).verdict is Verdict.WHOLE
    report = verify_log(copy.folder, trust)
    assert report.tampered == [f"its first {SAVED} leaves are not those of the saved checkpoint"]
    same_size = LogTrust(KEYS.public, (made / "copy" / "checkpoint").read_bytes())
    assert "another tree of the same size" in verify_log(copy.folder, same_size).tampered[0]


def test_a_checkpoint_of_another_log_is_not_taken(made: Path, copy: LogCopy, tmp_path: Path) -> None:
    other = LogKeys("other.test/log", Ed25519PrivateKey.from_private_bytes(b"o" * 32))
    foreign = other.sign(TreeHead(1, bytes(32))).note
    (tmp_path / "foreign").write_bytes(foreign)
    status, said = doorctl("verify", copy.folder, "--key", VKEY, "--checkpoint", tmp_path / "foreign")
    assert (status, "not signed" in said) == (2, True)
    copy.write({"checkpoint": foreign})
    assert doorctl("verify", copy.folder, "--key", VKEY, "--checkpoint", made / "saved")[0] == 1


def test_what_is_not_there_is_incomplete(copy: LogCopy, trust: LogTrust, tmp_path: Path) -> None:
    for name in copy.files:
        copy.write({name: None})
        assert verify_log(copy.folder, trust, tables=True).verdict is Verdict.INCOMPLETE
        copy.restore({name: None})
    assert verify_log(tmp_path / "nowhere", trust).verdict is Verdict.INCOMPLETE


def test_a_lost_key_is_said_and_the_tree_verifies(made: Path, tmp_path: Path, trust: LogTrust) -> None:
    file = Path(shutil.copy(made / "ledger.sqlite3", tmp_path / "ledger.sqlite3"))
    connection = sqlite3.connect(file)
    connection.execute(
        "DELETE FROM person_key WHERE key_id = (SELECT subject FROM ledger_entry WHERE leaf_index = 1)"
    )
    connection.commit()
    connection.close()
    asyncio.run(export_of_file(file, tmp_path / "copy"))
    report = verify_log(tmp_path / "copy", trust)
    assert report.tampered == []
    assert report.missing == ["the keys of 39 entries are lost: their members cannot be opened"]


def test_so_many_witnesses_must_have_cosigned(copy: LogCopy) -> None:
    witness = TrueWitness(ORIGIN, [])
    note = copy.files["checkpoint"]
    text = note.decode().rpartition("\n\n")[0] + "\n"
    copy.write({"checkpoint": note + cosignature_line(text, witness.name, witness.private, 1).encode()})
    known = ("--witness", witness.key.vkey())
    assert doorctl("verify", copy.folder, "--key", VKEY, *known, "--quorum", 1)[0] == 0
    assert doorctl("verify", copy.folder, "--key", VKEY, *known, "--quorum", 2)[0] == 2
    assert doorctl("verify", copy.folder, "--key", VKEY, "--quorum", 1)[0] == 2


def test_a_proof_is_made_from_a_copy_and_verified_without_it(copy: LogCopy, tmp_path: Path) -> None:
    for index in (0, 256, LEAVES - 1):
        out = tmp_path / f"{index}.tlog-proof"
        assert doorctl("prove", copy.folder, index, "--out", out)[0] == 0
        status, said = doorctl("verify-proof", out, "--key", VKEY)
        assert (
            status,
            f"leaf {index} of {LEAVES} of {ORIGIN}" in said,
            '"kind":"COMMAND_ACCEPTED"' in said,
        ) == (0, True, True)
        data = out.read_bytes()
        out.write_bytes(data.replace(b"index %d" % index, b"index 7"))
        assert doorctl("verify-proof", out, "--key", VKEY)[0] == 1
        out.write_bytes(b"nothing")
        assert doorctl("verify-proof", out, "--key", VKEY)[0] == 2
    assert doorctl("prove", copy.folder, LEAVES, "--out", tmp_path / "none")[0] == 1
    copy.write({"tile/0/000": None})
    assert doorctl("prove", copy.folder, 3, "--out", tmp_path / "none")[0] == 2
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("key", ["nothing", "a+00000000+AQ==", TrueWitness(ORIGIN, []).key.vkey()])
def test_a_key_that_is_none_is_said(copy: LogCopy, key: str) -> None:
    assert doorctl("verify", copy.folder, "--key", key)[0] == 2


def test_keys_may_stand_in_a_file(copy: LogCopy, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(f"{VKEY}\n\n")
    assert doorctl("verify", copy.folder, "--key", tmp_path / "keys")[0] == 0


def test_members_are_compared_with_what_the_leaf_commits_to(copy: LogCopy, trust: LogTrust) -> None:
    name = "table/000.jsonl"
    rows: list[dict[str, Any]] = [json.loads(line) for line in copy.files[name].splitlines()]
    assert rows[1]["members"]["rule"][1] == "OWNER"
    rows[1]["members"]["rule"][1] = "SHARED"
    lines = [json.dumps(row, sort_keys=True, separators=(",", ":")) for row in rows]
    copy.write({name: ("\n".join(lines) + "\n").encode()})
    assert verify_log(copy.folder, trust).tampered == [
        "row 1: rule is not what the leaf commits to",
        "the tables do not say what was signed",
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"erased": ["subject"], "members": {}},
        {"members": None},
        {"problems": []},
        {"lost": []},
    ],
    ids=["hidden as forgotten", "members left out", "a problem taken back", "a loss taken back"],
)
def test_what_the_service_says_of_a_row_cannot_be_changed(
    made: Path, tmp_path: Path, trust: LogTrust, change: dict[str, Any]
) -> None:
    file = Path(shutil.copy(made / "ledger.sqlite3", tmp_path / "ledger.sqlite3"))
    connection = sqlite3.connect(file)
    if "problems" in change:
        connection.execute("UPDATE ledger_entry SET vehicle = x'00' WHERE leaf_index = 1")
    elif "lost" in change:
        connection.execute("UPDATE person_key SET wrapped = x'00'")
    connection.commit()
    connection.close()
    asyncio.run(export_of_file(file, tmp_path / "copy"))
    copy = LogCopy.of(tmp_path / "copy")
    for name in sorted(copy.files):
        if not name.endswith(".jsonl"):
            continue
        rows = [json.loads(line) | change for line in copy.files[name].splitlines()]
        kept = [{key: value for key, value in row.items() if value is not None} for row in rows]
        lines = [json.dumps(row, sort_keys=True, separators=(",", ":")) for row in kept]
        copy.write({name: ("\n".join(lines) + "\n").encode()})
    report = verify_log(copy.folder, trust, tables=True)
    assert (report.verdict, report.tampered[-1]) == (
        Verdict.TAMPERED,
        "the tables do not say what was signed",
    )


def test_the_word_of_another_copy_is_none_of_this(made: Path, copy: LogCopy, trust: LogTrust) -> None:
    copy.write({"table/signed": (made / "early" / "table" / "signed").read_bytes()})
    assert verify_log(copy.folder, trust).tampered == ["table/signed is that of another copy"]
    copy.write({"table/signed": copy.files["checkpoint"]})
    assert "nothing of the tables" in verify_log(copy.folder, trust).tampered[0]

"""The offline ceremony as its operator does it, and what a car makes of its manifests."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from typer.testing import CliRunner

from doorctl.__main__ import app
from key_files.pem import read_open_keys, read_public, read_signer
from protocol.faults import Fault, MessageRefusedError
from protocol.keys import key_id
from protocol.manifest import Trust
from tlog.notes import NoteKey

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

KINDS = ("root", "signer", "seal", "report")


class Ceremony:
    """A folder with a key of each kind, and `manifest` to endorse with them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifests = folder / "manifests"
        self.manifests.mkdir()
        for kind in KINDS:
            self.make(kind, f"{kind}.key")

    def run(self, *words: str) -> Result:
        return CliRunner().invoke(app, ["keys", *words])

    def make(self, kind: str, name: str) -> bytes:
        """The new key's id."""
        done = self.run(kind, "--out", str(self.folder / name))
        assert done.exit_code == 0, done.output
        found = re.search(r"key ([0-9a-f]{16}) in ", done.output)
        assert found
        return bytes.fromhex(found[1])

    def manifest(self, *more: str, sign: tuple[str, ...] = ("signer.key",), root: str = "root.key") -> Result:
        words = ["--root", str(self.folder / root), "--manifests", str(self.manifests), "--days", "365"]
        for option, names in (("--sign", sign), ("--seal", ("seal.key",)), ("--report", ("report.key",))):
            for name in names:
                words += [option, str(self.folder / f"{name}.pub")]
        return self.run("manifest", *words, *more)

    def endorsed(self, version: int) -> bytes:
        return (self.manifests / f"{version}.manifest").read_bytes()

    def key_id(self, name: str) -> bytes:
        return read_signer(self.folder / name).key_id

    def new_car(self) -> Trust:
        return Trust(read_public(self.folder / "root.key.pub", Ed25519PublicKey))


@pytest.fixture
def ceremony(tmp_path: Path) -> Ceremony:
    return Ceremony(tmp_path)


def now() -> int:
    """A car whose clock was never set: it accepts what the manifest says of the time."""
    return 0


def fault_of(trust: Trust, key: bytes) -> Fault | None:
    try:
        trust.verify_key(key, now())
    except MessageRefusedError as refused:
        return refused.fault
    return None


def test_the_first_manifest_is_adopted_by_a_new_car(ceremony: Ceremony) -> None:
    done = ceremony.manifest()
    assert done.exit_code == 0, done.output
    trust = ceremony.new_car().adopt(ceremony.endorsed(1), now())
    assert trust.version == 1
    assert trust.verify_key(ceremony.key_id("signer.key"), now())
    assert read_open_keys(ceremony.folder / "seal.key").find(trust.seal_key(now()).key_id)
    assert read_open_keys(ceremony.folder / "report.key").find(trust.report_key(now()).key_id)


def test_a_signer_is_rotated_and_the_old_one_revoked_for_good(ceremony: Ceremony) -> None:
    old, new = ceremony.key_id("signer.key"), ceremony.make("signer", "new.key")
    ceremony.manifest()
    assert ceremony.manifest(sign=("signer.key", "new.key")).exit_code == 0
    both = ceremony.new_car().adopt(ceremony.endorsed(1), now()).adopt(ceremony.endorsed(2), now())
    assert (fault_of(both, old), fault_of(both, new)) == (None, None)

    done = ceremony.manifest("--revoke", old.hex(), sign=("new.key",))
    assert done.exit_code == 0, done.output
    revoked = both.adopt(ceremony.endorsed(3), now())
    assert (fault_of(revoked, old), fault_of(revoked, new)) == (Fault.REVOKED_KEY, None)

    assert ceremony.manifest(sign=("new.key",)).exit_code == 0
    later = revoked.adopt(ceremony.endorsed(4), now())
    assert (fault_of(later, old), fault_of(later, new)) == (Fault.REVOKED_KEY, None)
    back = ceremony.manifest(sign=("new.key", "signer.key"))
    assert (back.exit_code, "cannot come back" in back.stderr) == (1, True)
    # A car that was away for all of it needs only the last.
    assert ceremony.new_car().adopt(ceremony.endorsed(4), now()) == later


def test_a_root_is_replaced_by_a_manifest_that_both_signed(ceremony: Ceremony) -> None:
    ceremony.manifest()
    ceremony.make("root", "next.key")
    alone = ceremony.manifest(root="next.key")
    assert (alone.exit_code, "--previous-root" in alone.stderr) == (1, True)
    done = ceremony.manifest("--previous-root", str(ceremony.folder / "root.key"), root="next.key")
    assert done.exit_code == 0, done.output
    assert ceremony.manifest(root="next.key").exit_code == 0
    assert ceremony.manifest(root="root.key").exit_code == 1
    trust = ceremony.new_car().adopt(ceremony.endorsed(2), now()).adopt(ceremony.endorsed(3), now())
    assert key_id(trust.root_public_key) == ceremony.key_id("next.key")


def test_what_is_left_out_is_said(ceremony: Ceremony) -> None:
    ceremony.manifest()
    ceremony.make("signer", "new.key")
    done = ceremony.manifest(sign=("new.key",))
    assert f"left out {ceremony.key_id('signer.key').hex()}" in done.stdout


def test_files_are_private_and_never_overwritten(ceremony: Ceremony) -> None:
    ceremony.manifest()
    before = {path: path.read_bytes() for path in ceremony.folder.rglob("*") if path.is_file()}
    assert len(before) == 2 * len(KINDS) + 1
    assert {path.stat().st_mode & 0o777 for path in before} == {0o600}
    for kind in KINDS:
        again = ceremony.run(kind, "--out", str(ceremony.folder / f"{kind}.key"))
        assert (again.exit_code, "not overwritten" in again.stderr) == (1, True)
    (ceremony.folder / "root.key").rename(ceremony.folder / "elsewhere")
    assert ceremony.run("root", "--out", str(ceremony.folder / "root.key")).exit_code == 1
    assert not (ceremony.folder / "root.key").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--revoke", "0" * 16], "no key has the id"),
        (["--revoke", "all"], "hexadecimal"),
        (["--sign", "seal.key.pub"], "not an Ed25519 public key"),
        (["--seal", "signer.key.pub"], "not an X25519 public key"),
        (["--sign", "signer.key"], "not an Ed25519 public key"),
        (["--sign", "signer.key.pub"], "named twice"),
        (["--report", "seal.key.pub"], "named twice"),
        (["--sign", "nowhere"], "No such file"),
        (["--root", "seal.key"], "one Ed25519 private key"),
        (["--root", "root.key.pub"], "private keys"),
        (["--manifests", "nowhere"], "not a folder"),
    ],
)
def test_what_is_wrong_is_one_line_and_makes_no_manifest(
    ceremony: Ceremony, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
) -> None:
    monkeypatch.chdir(ceremony.folder)
    done = ceremony.manifest(*words)
    assert (done.exit_code, done.stdout) == (1, "")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert list(ceremony.manifests.iterdir()) == []


def test_the_last_key_of_a_use_cannot_be_revoked(ceremony: Ceremony) -> None:
    done = ceremony.manifest("--revoke", ceremony.key_id("signer.key").hex())
    assert (done.exit_code, "no key is left to sign" in done.stderr) == (1, True)


def test_a_manifest_is_shown_for_people(ceremony: Ceremony) -> None:
    ceremony.manifest()
    ceremony.make("signer", "new.key")
    ceremony.manifest("--revoke", ceremony.key_id("signer.key").hex(), sign=("new.key",))
    done = ceremony.run("show", str(ceremony.manifests / "2.manifest"))
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert lines[0] == "manifest 2"
    assert f"root     {ceremony.key_id('root.key').hex()}, endorsed by itself" in lines
    assert f"sign     {ceremony.key_id('signer.key').hex()} REVOKED" in lines
    assert sum(" until " in line for line in lines) == 3


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: data + b"x", lambda _data: b""])
def test_a_damaged_manifest_is_neither_shown_nor_followed(
    ceremony: Ceremony, damage: object, tmp_path: Path
) -> None:
    ceremony.manifest()
    path = tmp_path / "manifests" / "1.manifest"
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]  # a function
    for done in (ceremony.run("show", str(path)), ceremony.manifest()):
        assert (done.exit_code, "not an endorsed manifest" in done.stderr) == (1, True)


def test_a_manifest_under_another_s_name_is_not_followed(ceremony: Ceremony) -> None:
    ceremony.manifest()
    (ceremony.manifests / "1.manifest").rename(ceremony.manifests / "7.manifest")
    done = ceremony.manifest()
    assert (done.exit_code, "holds version 1" in done.stderr) == (1, True)


def test_a_log_s_key_comes_with_what_verifies_its_signatures(ceremony: Ceremony) -> None:
    out = ceremony.folder / "log.key"
    done = ceremony.run("log", "--out", str(out), "--origin", "log.test/audit")
    assert done.exit_code == 0, done.output
    verifier = NoteKey.of_vkey(out.with_name("log.key.vkey").read_text())
    assert (verifier.name, verifier.public) == ("log.test/audit", read_signer(out).public_bytes)
    assert done.output.splitlines()[-1] == verifier.vkey()
    assert ceremony.run("log", "--out", str(out), "--origin", "log.test/audit").exit_code == 1
    other = ceremony.folder / "other.key"
    assert ceremony.run("log", "--out", str(other), "--origin", "no name").exit_code == 1
    assert not other.exists()

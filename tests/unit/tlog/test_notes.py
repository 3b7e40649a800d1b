"""Signed notes, checkpoints, cosignatures and proof files, as the C2SP's documents define them."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from tlog.checkpoints import Checkpoint, CheckpointError, open_checkpoint, read_text, unverified
from tlog.hashing import EMPTY_ROOT, ProofError, leaf_hash, node_hash
from tlog.notes import (
    COSIGNATURE,
    ED25519,
    NoteError,
    NoteKey,
    cosignature_line,
    join,
    open_note,
    signature_line,
    split,
)
from tlog.proof_files import ProofFile, ProofFileError, read_proof

ORIGIN = "log.test/audit"
LOG, OTHER, WITNESS = (Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2, 3))
KEY = NoteKey(ORIGIN, ED25519, LOG.public_key().public_bytes_raw())
WITNESS_KEY = NoteKey("witness.test/w", COSIGNATURE, WITNESS.public_key().public_bytes_raw())
A, B = leaf_hash(b"a"), leaf_hash(b"b")
TREE = Checkpoint(ORIGIN, 2, node_hash(A, B))


def signed(checkpoint: Checkpoint = TREE, *more: str, private: Ed25519PrivateKey = LOG) -> bytes:
    text = checkpoint.text()
    return join(text, [signature_line(text, ORIGIN, private), *more])


def test_the_note_that_gos_documentation_shows_is_one() -> None:
    """golang.org/x/mod/sumdb/note: its example's key and note."""
    key = NoteKey.of_vkey("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
    text = (
        "If you think cryptography is the answer to your problem,\n"
        "then you don't know what your problem is.\n"
    )
    line = (
        "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
        "\n"
    )
    note = open_note(join(text, [line]), [key])
    assert (note.text, note.signatures[0].key) == (text, key)
    assert key.vkey() == "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
    with pytest.raises(NoteError):
        open_note(join(text + "x\n", [line]), [key])


def test_a_checkpoint_is_opened_by_the_logs_key_alone() -> None:
    opened = open_checkpoint(signed(), ORIGIN, [KEY])
    assert opened.checkpoint == TREE
    assert TREE.text().startswith(f"{ORIGIN}\n2\n")
    with pytest.raises(CheckpointError, match="not signed"):
        open_checkpoint(signed(private=OTHER), ORIGIN, [KEY])


def test_a_checkpoint_of_another_log_is_none_of_ours() -> None:
    foreign = Checkpoint("other.test/log", 2, TREE.root)
    with pytest.raises(CheckpointError, match="another log"):
        open_checkpoint(signed(foreign), ORIGIN, [KEY])


def test_a_witness_cosigns_and_does_not_stand_for_the_log() -> None:
    line = cosignature_line(TREE.text(), WITNESS_KEY.name, WITNESS, 1_679_315_147)
    opened = open_checkpoint(signed(TREE, line), ORIGIN, [KEY], [WITNESS_KEY])
    assert opened.cosigned_by() == ["witness.test/w"]
    assert [each.time for each in opened.note.signatures] == [None, 1_679_315_147]
    with pytest.raises(CheckpointError, match="not signed by the log"):
        open_checkpoint(join(TREE.text(), [line]), ORIGIN, [KEY], [WITNESS_KEY])
    other = cosignature_line(Checkpoint(ORIGIN, 3, TREE.root).text(), WITNESS_KEY.name, WITNESS, 1)
    with pytest.raises(CheckpointError, match="does not verify"):
        open_checkpoint(signed(TREE, other), ORIGIN, [KEY], [WITNESS_KEY])
    assert open_checkpoint(signed(TREE, other), ORIGIN, [KEY]).cosigned_by() == []


def test_the_key_that_follows_and_the_one_before_are_both_good_while_both_are_known() -> None:
    new = NoteKey(ORIGIN, ED25519, OTHER.public_key().public_bytes_raw())
    both = signed(TREE, signature_line(TREE.text(), ORIGIN, OTHER))
    for keys in ([KEY], [new], [new, KEY]):
        assert open_checkpoint(both, ORIGIN, keys).checkpoint == TREE


@given(data=st.data())
def test_no_byte_of_a_checkpoint_can_be_another(data: st.DataObject) -> None:
    note = signed()
    place = data.draw(st.integers(0, len(note) - 1))
    other = data.draw(st.integers(0, 255).filter(lambda value: value != note[place]))
    with pytest.raises(CheckpointError):
        open_checkpoint(note[:place] + bytes([other]) + note[place + 1 :], ORIGIN, [KEY])


@given(cut=st.integers(0, len(signed()) - 1))
def test_a_checkpoint_that_was_cut_is_none(cut: int) -> None:
    with pytest.raises(CheckpointError):
        open_checkpoint(signed()[:cut], ORIGIN, [KEY])


@pytest.mark.parametrize(
    "text",
    [
        "", "o\n", "o\n1\n", "\n1\n" + "A" * 43 + "=\n", "o\n01\n" + "A" * 43 + "=\n", "o\n-1\n" + "A" * 43 + "=\n",
        "o\n1\nAAAA\n", "o\n1\nno base64\n", "o\n0\n" + "A" * 43 + "=\n", "o\n1\n" + "A" * 43 + "=\nmore\n",
        "o\n1\n" + "A" * 43 + "=", "o\n" + "9" * 20 + "\n" + "A" * 43 + "=\n", "o\n1\n" + "A" * 42 + "B=\n",
    ],
)  # fmt: skip
def test_what_is_no_checkpoint(text: str) -> None:
    with pytest.raises(CheckpointError):
        read_text(text)


def test_the_empty_tree_has_a_checkpoint() -> None:
    assert read_text(Checkpoint("o", 0, EMPTY_ROOT).text()).size == 0


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\n\n", b"text\n", b"text\n\n", b"text\n\n- name AAAAAAA=\n", "text\n\n— na+me AAAAAAA=\n".encode(),
        "text\n\n— name AAAAAAA\n".encode(), "text\n\n— name AAAAAAA=".encode(),
        "te\x00xt\n\n— name AAAAAAA=\n".encode(),
        "text\n\n— name AAAAAAA= more\n".encode(), "text\n\n—  AAAAAAA=\n".encode(), b"\xff\n\n", b"x" * 70_000,
        ("text\n\n" + "— name AAAAAAA=\n" * 65).encode(),
    ],
)  # fmt: skip
def test_what_is_no_note(data: bytes) -> None:
    with pytest.raises(NoteError):
        split(data)


@pytest.mark.parametrize(
    "vkey",
    [
        "",
        "name",
        "name+00000000+AQ==",
        KEY.vkey()[:-4] + "AAA=",
        KEY.vkey().replace("log", "lag"),
        "a b+00000000+AA==",
    ],
)
def test_what_is_no_key(vkey: str) -> None:
    with pytest.raises(NoteError):
        NoteKey.of_vkey(vkey)


def test_a_key_has_a_name_and_a_kind() -> None:
    assert NoteKey.of_vkey(WITNESS_KEY.vkey()) == WITNESS_KEY
    for name, kind, public in (
        ("", 1, KEY.public),
        ("a b", 1, KEY.public),
        ("a", 2, KEY.public),
        ("a", 1, b"x"),
    ):
        with pytest.raises(NoteError):
            NoteKey(name, kind, public)


def test_a_proof_file_holds_all_that_is_needed() -> None:
    proof = ProofFile(1, (A,), signed(), b"what else")
    again = read_proof(proof.encode())
    assert again == proof
    assert proof.encode().startswith(b"c2sp.org/tlog-proof@v1\nextra ")
    again.verify(B)
    with pytest.raises(ProofError):
        again.verify(A)
    assert read_proof(ProofFile(1, (A,), signed()).encode()).extra == b""
    assert unverified(again.checkpoint) == TREE


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"@v1", b"@v2"), (b"index 1", b"index 01"), (b"index 1", b"index"), (b"index 1\n", b""), (b"\n\n", b"\n"),
        (b"index 1", b"index 1\nAAAA"), (b"extra ", b"extra !"), (b"log.test", b"\x00"), (b"index", "ïndex".encode()),
    ],
)  # fmt: skip
def test_what_is_no_proof_file(old: bytes, new: bytes) -> None:
    with pytest.raises(ProofFileError):
        read_proof(ProofFile(1, (A,), signed(), b"what else").encode().replace(old, new, 1))

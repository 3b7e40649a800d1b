"""`doorctl receipt verify`: a receipt holds without us, and one changed byte of it does not."""

from __future__ import annotations

import base64
import hashlib
import json
import random
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from ecarus.remotecontrol.vehicle.v1 import body_pb2, report_pb2, session_pb2
from typer.testing import CliRunner

from doorctl.__main__ import app
from key_files.pem import public_pem
from protocol import cose
from protocol.domains import ContentType, Domain, subject_of
from protocol.keys import KeySigner
from tlog.checkpoints import Checkpoint
from tlog.hashing import inclusion_proof, leaf_hash, node_hash, tree_root
from tlog.leaves import Disclosure, Leaf, commitments_of
from tlog.notes import ED25519, NoteKey, join, signature_line
from tlog.proof_files import ProofFile, read_proof
from tlog.receipts import Receipt, ReceiptForgedError, read_receipt

if TYPE_CHECKING:
    from pathlib import Path

VIN = "KMHSH81C7LU123456"
ORIGIN = "log.example/audit"
ORDER = hashlib.sha256(b"the order").digest()


def vehicle_answer(
    car: Ed25519PrivateKey,
    command_id: str,
    outcome: Any = report_pb2.COMMAND_OUTCOME_SUCCEEDED,
    *,
    done: bool = False,
    vin: str = VIN,
    content_type: ContentType = ContentType.RESULT,
) -> bytes:
    """What a vehicle signs of a command that it carried out; where it is `done`, of a door too."""
    answer = session_pb2.SignedAnswer(
        vin=vin, message_id="m-1", counter=1, epoch=b"e" * 16, request_hash=ORDER
    )
    answer.result.command_id = command_id
    answer.result.outcome = outcome
    if done:
        answer.result.doors.add(door=body_pb2.DOOR_ID_DRIVER, succeeded=True)
    subject = subject_of(VIN, Domain.RESULT)
    return cose.sign(KeySigner(car), content_type, subject, answer.SerializeToString())


@dataclass
class Log:
    """A log of some leaves."""

    leaves: list[bytes] = field(default_factory=list)
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)

    @property
    def public(self) -> NoteKey:
        return NoteKey(ORIGIN, ED25519, self.key.public_key().public_bytes_raw())

    def node(self, level: int, number: int) -> bytes:
        if level == 0:
            return leaf_hash(self.leaves[number])
        return node_hash(self.node(level - 1, 2 * number), self.node(level - 1, 2 * number + 1))

    def proof(self, index: int) -> ProofFile:
        size = len(self.leaves)
        text = Checkpoint(ORIGIN, size, tree_root(size, self.node)).text()
        note = join(text, [signature_line(text, ORIGIN, self.key)])
        return ProofFile(index, tuple(inclusion_proof(index, size, self.node)), note)


@dataclass
class Case:
    """A receipt, and whose keys prove it."""

    log: Log
    car: Ed25519PrivateKey
    receipt: Receipt
    folder: Path

    def write(self, data: bytes) -> Path:
        path = self.folder / "receipt.txt"
        path.write_bytes(data)
        return path

    def verify(self, data: bytes | None = None, *more: str, key: str = "", car: bool = True) -> Any:
        vehicle = self.folder / "vehicle.pem"
        vehicle.write_bytes(public_pem(self.car.public_key(), X25519PrivateKey.generate().public_key()))
        words = ["receipt", "verify", str(self.write(self.receipt.encode() if data is None else data))]
        words += ["--key", key or self.log.public.vkey()]
        words += ["--vehicle-key", str(vehicle)] if car else []
        return CliRunner().invoke(app, [*words, *more])

    def ended(self, kind: str, answer: bytes) -> Any:
        """Verify the receipt of a command that ended so, and of which the vehicle signed this."""
        digest = hashlib.sha256(answer).hexdigest()
        members = {"command_id": "cmd-1", "order_sha256": ORDER.hex(), "result_sha256": digest}
        shown = {name: Disclosure(name, b"s" * 32, text) for name, text in members.items()}
        leaf = replace(self.receipt.leaf, kind=kind, commitments=commitments_of(shown.values()))
        self.log.leaves[5] = leaf.encode()
        return self.verify(Receipt(leaf, shown, answer, self.log.proof(5)).encode())


@pytest.fixture
def case(tmp_path: Path) -> Case:
    car, log = Ed25519PrivateKey.generate(), Log([f"leaf {n}".encode() for n in range(11)])
    result = vehicle_answer(car, "cmd-1")
    members = {
        "command_id": "cmd-1",
        "order_sha256": ORDER.hex(),
        "result_sha256": hashlib.sha256(result).hexdigest(),
        "subject": "user-123",
        "vin": VIN,
    }
    all_of_it = {
        name: Disclosure(name, bytes([n]) * 32, text) for n, (name, text) in enumerate(members.items())
    }
    commitments = commitments_of(all_of_it.values())
    leaf = Leaf("0" * 32, 1_768_228_200_123, "COMMAND_SUCCESS", "NONE", "command", commitments)
    log.leaves[5] = leaf.encode()
    shown = {name: all_of_it[name] for name in ("command_id", "order_sha256", "result_sha256")}
    return Case(log, car, Receipt(leaf, shown, result, log.proof(5)), tmp_path)


def test_a_receipt_proves_how_a_command_ended_and_what_the_vehicle_signed(case: Case) -> None:
    done = case.verify(None, "--command", "cmd-1")
    assert done.exit_code == 0, done.output
    assert (
        "COMMAND_SUCCESS at 2026-01-12T14:30:00.123+00:00, as leaf 5 of 11 of log.example/audit"
        in done.output
    )
    assert f"order_sha256 {ORDER.hex()}" in done.output
    assert f"the vehicle {VIN} signed SUCCEEDED (its signature holds)" in done.output
    assert "user-123" not in case.receipt.encode().decode("latin-1")
    unproven = case.verify(car=False)
    assert (unproven.exit_code, "not checked: --vehicle-key" in unproven.output) == (0, True)


def test_the_key_may_be_in_a_file(case: Case) -> None:
    path = case.folder / "log.vkey"
    path.write_text(case.log.public.vkey() + "\n")
    assert case.verify(key=str(path)).exit_code == 0
    path.write_text(f"{Log().public.vkey()}\n{case.log.public.vkey()}\n")  # while one is replaced
    assert case.verify(key=str(path)).exit_code == 0
    path.write_text("\n")
    assert case.verify(key=str(path)).exit_code == 2


def test_what_is_not_proven_is_1_and_what_cannot_be_checked_is_2(case: Case) -> None:
    other = Log(list(case.log.leaves))
    receipt = case.receipt
    changed = Disclosure("command_id", receipt.disclosed["command_id"].salt, "cmd-2")
    forged = {
        "another log's key": case.verify(key=other.public.vkey()),
        "another command": case.verify(None, "--command", "cmd-2"),
        "another value": case.verify(replace(receipt, disclosed={"command_id": changed}).encode()),
        "another answer": case.verify(replace(receipt, result=vehicle_answer(case.car, "cmd-9")).encode()),
        "another place": case.verify(replace(receipt, proof=replace(receipt.proof, index=4)).encode()),
        "another leaf": case.verify(
            replace(receipt, leaf=replace(receipt.leaf, kind="COMMAND_FAILED")).encode()
        ),
        "another origin": case.verify(None, "--origin", "elsewhere"),
    }
    assert {name: done.exit_code for name, done in forged.items()} == dict.fromkeys(forged, 1)
    uncheckable = {
        "no receipt": case.verify(b"hello"),
        "cut": case.verify(receipt.encode()[:200]),
        "a proof of something else": case.verify(replace(receipt.proof, extra=b"{}").encode()),
        "huge": case.verify(b"x" * (2 << 20)),
        "no key": case.verify(key="log+00000000+AAAA"),
        "no file of a key": case.verify(key="nowhere"),
    }
    assert {name: done.exit_code for name, done in uncheckable.items()} == dict.fromkeys(uncheckable, 2)
    missing = CliRunner().invoke(app, ["receipt", "verify", "nowhere", "--key", case.log.public.vkey()])
    assert missing.exit_code == 2


def test_a_vehicle_that_did_not_sign_it_is_found_out(case: Case) -> None:
    case.car = Ed25519PrivateKey.generate()
    done = case.verify()
    assert (done.exit_code, "signed by another key" in done.output) == (1, True)


@pytest.mark.parametrize("content_type", [ContentType.FAULT, ContentType.RECEIVED, ContentType.SESSION])
def test_an_answer_under_another_content_type_than_its_own_proves_nothing(
    case: Case, content_type: ContentType
) -> None:
    done = case.ended("COMMAND_SUCCESS", vehicle_answer(case.car, "cmd-1", content_type=content_type))
    assert (done.exit_code, "did not sign it" in done.output) == (1, True)


@pytest.mark.parametrize("vin", ["", "x", "\N{AUTOMOBILE}"])
def test_an_answer_of_no_vehicle_proves_nothing(case: Case, vin: str) -> None:
    done = case.ended("COMMAND_SUCCESS", vehicle_answer(case.car, "cmd-1", vin=vin))
    assert (done.exit_code, "of no vehicle" in done.output) == (1, True)


def test_an_answer_to_another_order_or_command_proves_nothing(case: Case) -> None:
    stolen = vehicle_answer(case.car, "cmd-9")
    digest = hashlib.sha256(stolen).hexdigest()
    members = {"command_id": "cmd-1", "order_sha256": ORDER.hex(), "result_sha256": digest}
    shown = {name: Disclosure(name, b"s" * 32, text) for name, text in members.items()}
    leaf = replace(case.receipt.leaf, commitments=commitments_of(shown.values()))
    case.log.leaves[5] = leaf.encode()
    done = case.verify(Receipt(leaf, shown, stolen, case.log.proof(5)).encode())
    assert (done.exit_code, "about another command" in done.output) == (1, True)


def test_a_receipt_whose_evidence_was_taken_out_does_not_hold(case: Case) -> None:
    receipt = case.receipt
    for name in receipt.disclosed:
        left = {each: shown for each, shown in receipt.disclosed.items() if each != name}
        stripped = replace(receipt, disclosed=left, result=b"").encode()
        assert case.verify(stripped, car=False).exit_code == 1, name
    bare = replace(receipt, result=b"").encode()
    done = case.verify(bare)
    assert (done.exit_code, "the hash alone" in done.output) == (2, True)
    assert case.verify(bare, car=False).exit_code == 0  # it proves the end alone, and says so


def test_a_vehicles_key_that_is_not_there_is_said_first(case: Case) -> None:
    for result in (case.receipt.result, b""):
        data = replace(case.receipt, result=result).encode()
        assert case.verify(data, "--vehicle-key", str(case.folder / "none.pem"), car=False).exit_code == 2


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("COMMAND_SUCCESS", 0),
        ("LATE_RESULT", 0),
        ("COMMAND_FAILED", 1),
        ("COMMAND_CANCELLED", 1),
        ("COMMAND_TIMEOUT", 1),
    ],
)
def test_an_end_that_the_vehicles_word_contradicts_does_not_hold(case: Case, kind: str, status: int) -> None:
    answer = vehicle_answer(case.car, "cmd-1", done=True)
    assert case.ended(kind, answer).exit_code == status
    failed = vehicle_answer(case.car, "cmd-1", report_pb2.COMMAND_OUTCOME_FAILED)
    assert case.ended("COMMAND_SUCCESS", failed).exit_code == 1
    assert case.ended("COMMAND_FAILED", failed).exit_code == 0


def test_no_changed_byte_of_a_receipt_holds(case: Case) -> None:
    data = case.receipt.encode()
    by_chance = random.Random(7)  # noqa: S311  # which bytes are tried, and the same every time
    for _ in range(400):
        at = by_chance.randrange(len(data))
        mutant = bytearray(data)
        mutant[at] ^= 1 << by_chance.randrange(8)
        try:
            receipt = read_receipt(bytes(mutant))
            receipt.verify(ORIGIN, [case.log.public])
        except ValueError:
            continue
        assert receipt.encode() == data, at


def test_a_program_of_somebody_elses_verifies_it(case: Case) -> None:
    """RFC 6962 and the C2SP documents by hand: hashlib, json, and Ed25519."""
    head, _, note = case.receipt.encode().partition(b"\n\n")
    lines = head.decode().split("\n")
    assert lines[0] == "c2sp.org/tlog-proof@v1"
    extra = json.loads(base64.b64decode(lines[1].removeprefix("extra ")))
    index = int(lines[2].removeprefix("index "))

    def from_url(text: str) -> bytes:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))

    leaf = from_url(extra["leaf"])
    for name, (salt, value) in extra["disclosed"].items():
        digest = hashlib.sha256(from_url(salt) + name.encode() + b"\0" + value.encode()).digest()
        assert from_url(json.loads(leaf)["c"][name]) == digest
    assert hashlib.sha256(from_url(extra["result"])).hexdigest() == extra["disclosed"]["result_sha256"][1]
    text, _, signatures = note.decode().rpartition("\n\n")
    origin, size, root = text.split("\n")[:3]
    signature = base64.b64decode(signatures.split(" ")[2])
    public = Ed25519PublicKey.from_public_bytes(case.log.public.public)
    public.verify(signature[4:], (text + "\n").encode())
    node, last, found = index, int(size) - 1, hashlib.sha256(b"\0" + leaf).digest()
    for line in lines[3:]:
        other = base64.b64decode(line)
        if node % 2 or node == last:
            found = hashlib.sha256(b"\1" + other + found).digest()
            while not node % 2 and node:
                node, last = node // 2, last // 2
        else:
            found = hashlib.sha256(b"\1" + found + other).digest()
        node, last = node // 2, last // 2
    assert (origin, last, found) == (ORIGIN, 0, base64.b64decode(root))


def test_a_receipt_is_read_as_it_was_written(case: Case) -> None:
    data = case.receipt.encode()
    assert read_receipt(data) == replace(case.receipt, proof=read_proof(data))
    with pytest.raises(ReceiptForgedError):
        read_receipt(data).verify(ORIGIN, [])

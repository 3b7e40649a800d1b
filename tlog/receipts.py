"""Receipts: that the log holds how a command ended, what its vehicle signed, and nothing else of anybody.

A receipt is a `c2sp.org/tlog-proof@v1` file. Its `extra` holds, as JSON in one form,

    {"disclosed":{"command_id":["<salt>","<value>"],...},"leaf":"<the leaf, base64url>","result":"<base64url>","v":1}

the leaf that is proven, the members of it that the receipt is about, each with its salt (base64url), and the bytes that
the vehicle signed, of which the leaf commits to the hash. The other members stay commitments.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tlog import leaves
from tlog.checkpoints import CheckpointError, open_checkpoint
from tlog.hashing import ProofError, leaf_hash
from tlog.leaves import Disclosure, LeafError, base64url, canonical, unbase64url
from tlog.proof_files import ProofFile, ProofFileError, read_proof

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tlog.leaves import Leaf
    from tlog.notes import NoteKey

VERSION = 1
DISCLOSED = ("command_id", "order_sha256", "result_sha256")
"""The members that a receipt shows, where the leaf has them."""


class ReceiptError(ValueError):
    """It is no receipt; the text says why."""


class ReceiptForgedError(ValueError):
    """It is a receipt, and what it says is not proven; the text says what."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """A leaf, what of it is shown, what the vehicle signed (empty: nothing), and the proof that the log holds it."""

    leaf: Leaf
    disclosed: Mapping[str, Disclosure]
    result: bytes
    proof: ProofFile

    def value(self, name: str) -> str:
        """Return what is shown of this member; empty where nothing is."""
        found = self.disclosed.get(name)
        return "" if found is None else found.value

    def encode(self) -> bytes:
        """Return the file."""
        extra = canonical(
            {
                "disclosed": {
                    name: [base64url(each.salt), each.value] for name, each in self.disclosed.items()
                },
                "leaf": base64url(self.leaf.encode()),
                "result": base64url(self.result),
                "v": VERSION,
            }
        )
        return ProofFile(self.proof.index, self.proof.path, self.proof.checkpoint, extra).encode()

    def verify(self, origin: str, log_keys: Iterable[NoteKey], witnesses: Iterable[NoteKey] = ()) -> None:
        """Raise ReceiptForgedError unless one of these keys signed a checkpoint of this log that has this leaf, the
        leaf committed to what is shown, and what a receipt is about is shown wherever the leaf has it.
        """
        for name in DISCLOSED:
            if name in self.leaf.commitments and name not in self.disclosed:
                raise ReceiptForgedError(f"the leaf has a {name}, which was taken out of the receipt")
        for name, each in self.disclosed.items():
            if not self.leaf.holds(each):
                raise ReceiptForgedError(f"the leaf holds another {name}")
        if self.result and hashlib.sha256(self.result).hexdigest() != self.value("result_sha256"):
            raise ReceiptForgedError("the vehicle's answer is not the one whose hash the leaf holds")
        try:
            open_checkpoint(self.proof.checkpoint, origin, log_keys, witnesses)
            self.proof.verify(leaf_hash(self.leaf.encode()))
        except (CheckpointError, ProofError) as error:
            raise ReceiptForgedError(str(error)) from error


def read_receipt(data: bytes) -> Receipt:
    """Return the receipt in a file. Raise ReceiptError."""
    try:
        proof = read_proof(data)
        found = json.loads(proof.extra)
    except (ProofFileError, ValueError, RecursionError) as error:
        raise ReceiptError(f"no receipt: {error}") from error
    try:
        return _read(found, proof)
    except (LeafError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise ReceiptError(f"its extra is not a receipt's: {error}") from error


def _read(found: Any, proof: ProofFile) -> Receipt:
    if found.keys() != {"disclosed", "leaf", "result", "v"} or found["v"] != VERSION:
        raise ReceiptError(f"not a receipt of version {VERSION}")
    disclosed = {
        name: Disclosure(name, unbase64url(salt), str(value))
        for name, (salt, value) in found["disclosed"].items()
    }
    leaf = leaves.decode(unbase64url(found["leaf"]))
    return Receipt(leaf, disclosed, unbase64url(found["result"]), proof)

"""c2sp.org/tlog-proof: that a leaf is in a log, in one file that needs nobody to be asked."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass

from tlog.checkpoints import CheckpointError, unverified
from tlog.hashing import HASH_BYTES, MAX_PROOF_HASHES, verify_inclusion
from tlog.notes import NoteError, unbase64

_FIRST = "c2sp.org/tlog-proof@v1"
_INDEX = re.compile(r"index (0|[1-9]\d{0,18})")
MAX_PROOF_BYTES = 131_072


class ProofFileError(ValueError):
    """It is no proof file; the text says why."""


@dataclass(frozen=True, slots=True)
class ProofFile:
    """Where the leaf is, its audit path, the signed checkpoint, and what else came along, which nobody vouches for."""

    index: int
    path: tuple[bytes, ...]
    checkpoint: bytes
    extra: bytes = b""

    def encode(self) -> bytes:
        """Return the file."""
        lines = [_FIRST]
        if self.extra:
            lines.append(f"extra {base64.b64encode(self.extra).decode()}")
        lines.append(f"index {self.index}")
        lines += [base64.b64encode(each).decode() for each in self.path]
        return ("\n".join(lines) + "\n\n").encode() + self.checkpoint

    def verify(self, leaf_hash: bytes) -> None:
        """Raise ProofError or CheckpointError unless it shows that this leaf is in the checkpoint's tree.

        Who signed the checkpoint is for the caller to look at (open_checkpoint).
        """
        checkpoint = unverified(self.checkpoint)
        verify_inclusion(leaf_hash, self.index, checkpoint.size, self.path, checkpoint.root)


def read_proof(data: bytes) -> ProofFile:
    """Return the proof. Raise ProofFileError."""
    head, blank, checkpoint = data.partition(b"\n\n")
    if len(data) > MAX_PROOF_BYTES or not blank:
        raise ProofFileError("no proof file")
    try:
        first, *lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError as error:
        raise ProofFileError("a proof file is ASCII up to its checkpoint") from error
    if first != _FIRST:
        raise ProofFileError(f"does not begin with {_FIRST}")
    try:
        extra = (
            unbase64(lines.pop(0).removeprefix("extra ")) if lines and lines[0].startswith("extra ") else b""
        )
        found = _INDEX.fullmatch(lines.pop(0)) if lines else None
        if found is None:
            raise ProofFileError("names no index")
        path = tuple(unbase64(line) for line in lines)
        unverified(checkpoint)
    except (NoteError, CheckpointError) as error:
        raise ProofFileError(str(error)) from error
    if len(path) > MAX_PROOF_HASHES or any(len(each) != HASH_BYTES for each in path):
        raise ProofFileError("its path holds something else than hashes")
    return ProofFile(int(found[1]), path, checkpoint, extra)

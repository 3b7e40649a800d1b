"""c2sp.org/tlog-checkpoint: how many leaves a log has, and their root, signed by the log and cosigned by witnesses."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tlog.hashing import EMPTY_ROOT, HASH_BYTES
from tlog.notes import NoteError, open_note, split, unbase64

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tlog.notes import NoteKey, SignedNote

CHECKPOINT = "checkpoint"
"""The path of the last one in a log (c2sp.org/tlog-tiles), and in a copy."""
_SIZE = re.compile(r"0|[1-9]\d{0,18}")


class CheckpointError(ValueError):
    """It is no checkpoint of this log; the text says why."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The log's origin, how many leaves it has, and their root."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """Return the text that is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


@dataclass(frozen=True, slots=True)
class SignedCheckpoint:
    """A checkpoint with the note that it stands in."""

    checkpoint: Checkpoint
    note: SignedNote
    data: bytes

    def cosigned_by(self) -> list[str]:
        """Return the names of the witnesses who cosigned it."""
        return sorted(each.key.name for each in self.note.signatures if each.time is not None)


def read_text(text: str) -> Checkpoint:
    """Return the checkpoint of this text, whoever signed it. Raise CheckpointError."""
    lines = text.split("\n")
    match lines:
        case [str(origin), str(size), str(root), ""] if origin and _SIZE.fullmatch(size):
            try:
                hash_ = unbase64(root)
            except NoteError as error:
                raise CheckpointError("a checkpoint's root is a hash in base64") from error
        case _:
            raise CheckpointError("a checkpoint is an origin, a size and a root, a line each")
    if len(hash_) != HASH_BYTES or (size == "0" and hash_ != EMPTY_ROOT):
        raise CheckpointError("a checkpoint's root is the hash of its tree")
    return Checkpoint(origin, int(size), hash_)


def unverified(data: bytes) -> Checkpoint:
    """Return the checkpoint, whoever signed it. Raise CheckpointError."""
    try:
        text, _ = split(data)
    except NoteError as error:
        raise CheckpointError(str(error)) from error
    return read_text(text)


def open_checkpoint(
    data: bytes, origin: str, log_keys: Iterable[NoteKey], witnesses: Iterable[NoteKey] = ()
) -> SignedCheckpoint:
    """Return the checkpoint of the log of this origin, signed by one of its keys.

    Raise CheckpointError: of another log, not signed by this one, or with a false signature of a key that is known.
    """
    keys = list(log_keys)
    try:
        note = open_note(data, [*keys, *witnesses])
    except NoteError as error:
        raise CheckpointError(str(error)) from error
    if not note.signed_by(keys):
        raise CheckpointError("not signed by the log")
    checkpoint = read_text(note.text)
    if checkpoint.origin != origin:
        raise CheckpointError(f"of another log, {checkpoint.origin[:100]!r}")
    return SignedCheckpoint(checkpoint, note, data)

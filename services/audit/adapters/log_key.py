"""The log's own key (usecases.signing.CheckpointSigner): Ed25519, for checkpoints and what exports say of tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from key_files.pem import KeyFileError, read_private
from services.audit.domain.history import SignedTree
from tlog.checkpoints import Checkpoint
from tlog.notes import ED25519, NoteKey, join, signature_line

if TYPE_CHECKING:
    from pathlib import Path

    from services.audit.domain.history import TreeHead


class LogKeys:
    """The log's keys, more than one while one is replaced: every checkpoint is signed with each."""

    def __init__(self, origin: str, *private: Ed25519PrivateKey) -> None:
        self.origin = origin
        """The log's name."""
        self._private = private
        self.public = [NoteKey(origin, ED25519, each.public_key().public_bytes_raw()) for each in private]
        """Who verifies needs one of these."""

    @classmethod
    def read(cls, path: Path, origin: str) -> LogKeys:
        """Return the keys in this file (PEM). Raises KeyFileError."""
        keys = read_private(path)
        signing = [key for key in keys if isinstance(key, Ed25519PrivateKey)]
        if len(signing) != len(keys):
            raise KeyFileError(f"{path} holds a key that is not Ed25519")
        return cls(origin, *signing)

    def sign(self, head: TreeHead) -> SignedTree:
        """Return the signed checkpoint: for the same tree always the same."""
        return SignedTree(head, self.sign_text(Checkpoint(self.origin, head.size, head.root).text()))

    def sign_text(self, text: str) -> bytes:
        """Return the signed note of this text, which ends with a newline."""
        return join(text, [signature_line(text, self.origin, each) for each in self._private])

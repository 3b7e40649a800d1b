"""Receipts from the ledger: an entry with what may be shown of it, and the proof that a signed tree holds it."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Protocol

from tlog.proof_files import ProofFile
from tlog.receipts import DISCLOSED, Receipt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.audit.adapters.store import SqlLedger
    from services.audit.domain.history import SignedTree


class ProvenTree(Protocol):
    """The tree, as far as proofs need it. Every method may raise StorageUnavailableError."""

    async def latest_checkpoint(self) -> SignedTree | None:
        """Return what was signed last."""

    async def inclusion_proof(self, leaf_index: int, size: int) -> Sequence[bytes]:
        """Return the audit path of a leaf in the tree of the first `size`."""


class LedgerReceipts:
    """usecases.reading.ReceiptMaker."""

    def __init__(self, ledger: SqlLedger, tree: ProvenTree) -> None:
        self._ledger = ledger
        self._tree = tree

    async def receipt(self, leaf_index: int) -> bytes | None:
        """Return the receipt of this leaf; None where no signed checkpoint covers it yet."""
        signed = await self._tree.latest_checkpoint()
        if signed is None or signed.head.size <= leaf_index:
            return None
        entry = await self._ledger.entry(leaf_index)
        if entry is None:
            return None
        path = await self._tree.inclusion_proof(leaf_index, signed.head.size)
        return Receipt(
            leaf=entry.leaf,
            disclosed={name: entry.members[name] for name in DISCLOSED if name in entry.members},
            result=base64.b64decode(entry.value("result")),
            proof=ProofFile(leaf_index, tuple(path), signed.note),
        ).encode()

"""Telling the other replicas of this service which proofs were seen, so that a copy is good at none of them for long.

It costs no request anything: what was seen is told together, some times a second, and nobody waits for it. A plain
subscription, that nothing is kept for: what is lost leaves a proof to be used once more at another replica, within its
window.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import nats.errors
import structlog

from protocol.subjects import PROOFS_SEEN_SUBJECT
from services.access.adapters.dpop import PROOF_ID_BYTES

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg

    from services.access.adapters.dpop import ProofVerifier

TELL_SECONDS = 0.05
MOST_WAITING = 20_000
"""Of more proofs between two messages some are not told."""
_MOST_TOLD = 2_048
"""Proofs in one message: 32 KiB."""
_log = structlog.get_logger()


class SharedProofs:
    """Tells and hears. `verifier` is who remembers them here."""

    def __init__(self, client: Client, verifier: ProofVerifier) -> None:
        self._client = client
        self.verifier = verifier
        self._waiting: list[bytes] = []
        self._lost = 0
        verifier.share(self._note)

    async def start(self) -> None:
        """Begin to hear what other replicas have seen."""
        await self._client.subscribe(PROOFS_SEEN_SUBJECT, cb=self._received)

    async def tell(self) -> None:
        """Tell what was seen since the last time. What the broker does not take is lost, and said to be."""
        waiting, self._waiting = self._waiting, []
        lost, self._lost = self._lost, 0
        for begin in range(0, len(waiting), _MOST_TOLD):
            some = waiting[begin : begin + _MOST_TOLD]
            try:
                await self._client.publish(PROOFS_SEEN_SUBJECT, b"".join(some))
            except nats.errors.Error:
                lost += len(some)
        if lost:
            _log.warning("proofs_not_shared", count=lost)

    def _note(self, proof_id: bytes) -> None:
        if len(self._waiting) < MOST_WAITING:
            self._waiting.append(proof_id)
        else:
            self._lost += 1

    async def _received(self, message: Msg) -> None:
        told = message.data
        if len(told) % PROOF_ID_BYTES or len(told) > _MOST_TOLD * PROOF_ID_BYTES:
            _log.warning("proofs_not_understood", length=len(told))
            return
        for begin in range(0, len(told), PROOF_ID_BYTES):
            self.verifier.learn(told[begin : begin + PROOF_ID_BYTES])

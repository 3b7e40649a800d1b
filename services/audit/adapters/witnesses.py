"""Witnesses (c2sp.org/tlog-witness): others who remember how far they have seen the log, and cosign what continues it.

None of them is waited for by anything else, and none is believed: a cosignature counts when it verifies under the
witness's key.
"""

from __future__ import annotations

import asyncio
import base64
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx
import structlog

from services.audit.domain.history import HistoryBrokenError
from tlog.hashing import ProofError
from tlog.notes import COSIGNATURE, NoteError, NoteKey, split, verified
from tlog.tiles import TileError

if TYPE_CHECKING:
    from services.audit.adapters.store import SqlTree
    from services.audit.domain.history import SignedTree

MAX_WITNESSES = 16
_SECONDS = 5.0
_MAX_ANSWER_BYTES = 16_384
_CONFLICT, _OK = 409, 200
_SIZE = re.compile(rb"(0|[1-9]\d{0,18})\n")
_log = structlog.get_logger()


@dataclass(slots=True)
class Witness:
    """A witness: its key, and the URL below which it takes checkpoints. `seen` is how far it is known to have seen."""

    key: NoteKey
    url: str
    seen: int = 0
    trouble: str = ""
    cosigned: int = 0


@dataclass(frozen=True, slots=True)
class WitnessAnswer:
    """How a witness answered: HTTP status and body."""

    status_code: int
    content: bytes


class WitnessError(Exception):
    """A witness did not cosign; the text says why."""


def read_witnesses(text: str) -> list[Witness]:
    """Return the witnesses that `<vkey> <url>, <vkey> <url>` names. Raises ValueError."""
    witnesses = []
    for one in filter(None, (each.strip() for each in text.split(","))):
        vkey, _, url = one.partition(" ")
        try:
            key = NoteKey.of_vkey(vkey)
        except NoteError as error:
            raise ValueError(f"a witness is <verifier key> <URL>: {error}") from error
        if key.kind != COSIGNATURE:
            raise ValueError("a witness's key is one for cosignatures (type 4)")
        if not re.fullmatch(r"https?://[^\s/]+(/\S*)?", url.strip()):
            raise ValueError("a witness is <verifier key> <URL>")
        witnesses.append(Witness(key, url.strip().rstrip("/")))
    if len({each.key for each in witnesses}) != len(witnesses) or len(witnesses) > MAX_WITNESSES:
        raise ValueError(f"at most {MAX_WITNESSES} witnesses, each once")
    return witnesses


class WitnessRound:
    """Brings each checkpoint to the witnesses, and keeps what they sign."""

    def __init__(
        self, tree: SqlTree, witnesses: list[Witness], client: httpx.AsyncClient | None = None
    ) -> None:
        self._tree = tree
        self._witnesses = witnesses
        self._client = client or httpx.AsyncClient(timeout=_SECONDS)

    async def ask(self) -> None:
        """Have the last checkpoint cosigned by those who have not done so. Raises StorageUnavailableError.

        Witnesses are not shown what was changed: the sequencer says that it was.
        """
        try:
            latest = await self._tree.latest_checkpoint()
        except HistoryBrokenError:
            return
        if latest is None:
            return
        await asyncio.gather(
            *(self._ask(each, latest) for each in self._witnesses if each.cosigned < latest.head.size)
        )

    async def close(self) -> None:
        """Let go of the connections."""
        await self._client.aclose()

    async def _ask(self, witness: Witness, latest: SignedTree) -> None:
        """Have it cosigned, unless it is: before this process began, or through another replica."""
        try:
            text, cosignatures = split(latest.note)
            if verified(text, cosignatures, [witness.key]):
                witness.seen = witness.cosigned = latest.head.size
                return
            lines = await self._cosignature(witness, latest)
            await self._tree.add_signatures(latest.head.size, lines)
        except (WitnessError, NoteError, TileError, ProofError) as error:
            if str(error) != witness.trouble:  # once for each trouble, not each second
                _log.warning("witness_did_not_cosign", witness=witness.key.name, reason=str(error))
            witness.trouble = str(error)
            return
        if witness.trouble:
            _log.info("witness_cosigns_again", witness=witness.key.name)
        witness.trouble, witness.seen, witness.cosigned = "", latest.head.size, latest.head.size

    async def _cosignature(self, witness: Witness, latest: SignedTree) -> list[str]:
        answer = await self._post(witness, latest)
        if answer.status_code == _CONFLICT:  # it has seen another size than we knew of
            seen = _size_in(answer)
            if seen > latest.head.size:
                raise WitnessError(f"it has seen {seen} leaves of this log, and there are {latest.head.size}")
            witness.seen = seen
            answer = await self._post(witness, latest)
        if answer.status_code != _OK:
            raise WitnessError(f"it answers with status {answer.status_code}")
        return _cosignatures(witness.key, latest, answer.content)

    async def _post(self, witness: Witness, latest: SignedTree) -> WitnessAnswer:
        proof = await self._tree.consistency_proof(witness.seen, latest.head.size)
        lines = [f"old {witness.seen}", *(base64.b64encode(each).decode() for each in proof), "", ""]
        body = "\n".join(lines).encode() + latest.note
        try:
            async with (
                asyncio.timeout(_SECONDS),
                self._client.stream("POST", f"{witness.url}/add-checkpoint", content=body) as answer,
            ):
                content = b""
                async for chunk in answer.aiter_bytes():
                    content += chunk
                    if len(content) > _MAX_ANSWER_BYTES:
                        raise WitnessError("it answers with too much")
                return WitnessAnswer(answer.status_code, content)
        except (httpx.HTTPError, TimeoutError) as error:
            raise WitnessError(f"it does not answer: {type(error).__name__}") from error


def _size_in(answer: WitnessAnswer) -> int:
    found = _SIZE.fullmatch(answer.content)
    if found is None:
        raise WitnessError("it says that it has seen another size, and not which")
    return int(found[1])


def _cosignatures(key: NoteKey, latest: SignedTree, answer: bytes) -> list[str]:
    """Return the lines of the witness's own cosignatures. Raise WitnessError where there is none that verifies."""
    try:
        text, _ = split(latest.note)
        _, lines = split(text.encode() + b"\n" + answer)
        found = verified(text, lines, [key])
    except NoteError as error:
        raise WitnessError(f"its answer is no cosignature: {error}") from error
    if not found:
        raise WitnessError("its answer holds no cosignature of its key")
    return [each.line for each in found]

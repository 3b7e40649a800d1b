"""DeadLetterService: RPC in, RPC out. Every service with dead letters serves it, for operators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
from ecarus.remotecontrol.access.v1 import dead_letter_service_pb2 as contract
from ecarus.remotecontrol.access.v1 import dead_letter_service_pb2_grpc as stubs
from typing_extensions import override

from services.platform import errors
from services.platform.errors import Refusal
from services.platform.free_text import readable
from services.platform.policy import policy_of
from services.platform.server import ServedApi
from services.platform.times import shown_time

if TYPE_CHECKING:
    from services.platform.dead_letter_replay import DeadLetterReplay, ReplayResult
    from services.platform.inbox import KeptLetter

SERVICE = "ecarus.remotecontrol.access.v1.DeadLetterService"
POLICY = policy_of(SERVICE)
DEFAULT_PAGE = 50
_MAX_TOLD = 300
"""So many characters of a reason are told."""

Context = grpc.aio.ServicerContext[Any, Any]


class DeadLetterServicer(stubs.DeadLetterServiceServicer):
    """Answers about one service's letters."""

    def __init__(self, letters: DeadLetterReplay) -> None:
        self._letters = letters

    @override
    async def ListDeadLetters(
        self,
        request: contract.ListDeadLettersRequest,
        context: Context,
    ) -> contract.ListDeadLettersResponse:
        before = request.before if request.HasField("before") else None
        found, more = await self._letters.newest(request.page_size or DEFAULT_PAGE, before)
        return contract.ListDeadLettersResponse(letters=map(_letter, found), more=more)

    @override
    async def ReplayDeadLetter(
        self,
        request: contract.ReplayDeadLetterRequest,
        context: Context,
    ) -> contract.DeadLetterReplay:
        replayed = await self._letters.replay(request.id)
        if replayed is None:
            raise Refusal(errors.DEAD_LETTER_NOT_FOUND, f"there is no letter {request.id}")
        return _replay(replayed)

    @override
    async def ReplayWaitingDeadLetters(
        self,
        request: contract.ReplayWaitingDeadLettersRequest,
        context: Context,
    ) -> contract.ReplayWaitingDeadLettersResponse:
        done, next_after = await self._letters.replay_waiting(request.after)
        return contract.ReplayWaitingDeadLettersResponse(replays=map(_replay, done), next_after=next_after)


def dead_letter_api(letters: DeadLetterReplay) -> ServedApi:
    """Make the API that a service's server also serves."""
    servicer = DeadLetterServicer(letters)
    return ServedApi(
        SERVICE, POLICY, lambda server: stubs.add_DeadLetterServiceServicer_to_server(servicer, server)
    )


def _replay(replayed: ReplayResult) -> contract.DeadLetterReplay:
    problem = "" if replayed.problem is None else _text(replayed.problem)
    return contract.DeadLetterReplay(letter=_letter(replayed.letter), problem=problem)


def _letter(letter: KeptLetter) -> contract.DeadLetter:
    return contract.DeadLetter(
        id=letter.letter_id,
        subject=_text(letter.subject),
        reason=_text(letter.reason),
        received_at=shown_time(letter.received_at),
        payload_bytes=letter.payload_bytes,
        replayed_at=None if letter.replayed_at is None else shown_time(letter.replayed_at),
        messages=letter.count,
        dropped_before=letter.dropped,
        payload_cut=not letter.whole,
    )


def _text(text: str) -> str:
    """As people can read it: whoever sent the message may have chosen some of it."""
    return readable(text[: _MAX_TOLD * 8].encode(errors="backslashreplace").decode(), _MAX_TOLD)

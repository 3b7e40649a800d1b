"""Erasing what a stream of the broker keeps that names a person.

A stream keeps copies of what was told for hours after everybody was told. They are read here from the first to the
last, a piece in each call, and the bytes of those that name the person are written over in the broker's files. Nothing
is taken from a consumer that has not confirmed it yet.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog
from nats.errors import Error as NatsError
from nats.js.errors import BadRequestError, NotFoundError

from services.platform.broker_layout import ANSWER_SECONDS, FAILURES
from services.platform.jetstream import heed_cancellation
from services.platform.mentions import mentions, texts_in

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from services.platform.jetstream import Broker

MESSAGES_KEPT = "MESSAGES_KEPT"
"""What stands in an erasure's way until the broker keeps nothing of the person."""
SETTLED_SECONDS = 15.0
"""For so long after the first look messages may come that were about to leave then; so the last look is later."""
PIECE_SECONDS = 2.0
"""For about so long one call reads: the caller waits for it."""
_AT_ONCE = 256
_AT_ONCE_BYTES = 4 * 1024 * 1024
_MOST_ERASURES = 64
_NO_SUCH_MESSAGE = 10043
_END = "204"
_NOTHING = "404"
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class KeptMessage:
    """A message as the stream keeps it."""

    subject: str
    sequence: int
    payload: bytes


@dataclass(slots=True)
class _ErasureProgress:
    """How far an erasure is: since when it is looked for, and which message is next."""

    began: float
    next_sequence: int = 1
    erased: int = field(default=0)


class BrokerErasure:
    """Erases in one stream. `read_by` names the durable consumers of each subject that has any, where a `*`
    stands for any word. `words_in` returns the texts of a message that an erasure's words are compared with.
    """

    def __init__(
        self,
        broker: Broker,
        stream: str,
        read_by: Mapping[str, Sequence[str]],
        monotonic: Callable[[], float],
        *,
        words_in: Callable[[bytes], Iterable[str]] = texts_in,
        settled_seconds: float = SETTLED_SECONDS,
        piece_seconds: float = PIECE_SECONDS,
    ) -> None:
        self._broker = broker
        self._stream = stream
        self._read_by = read_by
        self._monotonic = monotonic
        self._words_in = words_in
        self._settled_seconds = settled_seconds
        self._piece_seconds = piece_seconds
        self._progress: OrderedDict[str, _ErasureProgress] = OrderedDict()

    async def erase(self, erasure_id: str, person: str, words: Collection[str] = ()) -> str:
        """Go on erasing what names this person, or has one of these words; MESSAGES_KEPT while it is not all gone,
        or the broker cannot be asked: then ask again. Empty when nothing is left.
        """
        known = self._progress.get(erasure_id)
        if known is None:
            known = self._progress[erasure_id] = _ErasureProgress(self._monotonic())
            if len(self._progress) > _MOST_ERASURES:
                self._progress.popitem(last=False)
        began = self._monotonic()
        try:
            while not await self._erase_some(known, person, frozenset(words)):
                if self._monotonic() - began > self._piece_seconds:
                    return MESSAGES_KEPT
        except _NotConfirmedYetError:
            return MESSAGES_KEPT
        except FAILURES as error:
            _log.warning("broker_not_erased", stream=self._stream, reason=str(error) or "no answer")
            return MESSAGES_KEPT
        if began - known.began < self._settled_seconds:
            return MESSAGES_KEPT
        if known.erased:
            _log.info("broker_erased", stream=self._stream, erasure=erasure_id, count=known.erased)
            known.erased = 0
        return ""

    async def _erase_some(self, known: _ErasureProgress, person: str, words: frozenset[str]) -> bool:
        """Read some, and erase those that are theirs; whether there are no more. Raises FAILURES,
        _NotConfirmedYetError.
        """
        messages, is_last = await self._read(known.next_sequence)
        heed_cancellation()
        theirs = [
            each
            for each in messages
            if mentions(each.payload, person)
            or (words and not words.isdisjoint(self._words_in(each.payload)))
        ]
        confirmed: dict[str, float] = {}
        for each in theirs:
            for consumer in self._readers(each.subject):
                if consumer not in confirmed:
                    confirmed[consumer] = await self._confirmed(consumer)
                if each.sequence > confirmed[consumer]:
                    known.next_sequence = each.sequence
                    raise _NotConfirmedYetError
            await self._delete(each.sequence)
            known.erased += 1
        if messages:
            known.next_sequence = messages[-1].sequence + 1
        return is_last

    def _readers(self, subject: str) -> list[str]:
        words = subject.split(".")
        return [
            name
            for known, names in self._read_by.items()
            if len(known.split(".")) == len(words)
            and all(ours in {"*", theirs} for ours, theirs in zip(known.split("."), words, strict=True))
            for name in names
        ]

    async def _read(self, first: int) -> tuple[list[KeptMessage], bool]:
        """Return some messages from this one on, in order, and whether there are no more (ADR-31 of the broker)."""
        client = self._broker.client
        inbox = client.new_inbox()
        subscription = await client.subscribe(inbox)
        asked = {"seq": first, "batch": _AT_ONCE, "max_bytes": _AT_ONCE_BYTES, "next_by_subj": ">"}
        found: list[KeptMessage] = []
        try:
            question = f"{self._broker.api_prefix}.DIRECT.GET.{self._stream}"
            await client.publish(question, json.dumps(asked).encode(), reply=inbox)
            while True:
                answer = await subscription.next_msg(timeout=ANSWER_SECONDS)
                headers = answer.headers or {}
                status = headers.get("Status")
                if status is None:
                    place = int(headers["Nats-Sequence"])
                    found.append(KeptMessage(headers["Nats-Subject"], place, answer.data))
                elif status == _NOTHING:
                    return found, True
                elif status == _END:
                    return found, int(headers.get("Nats-Num-Pending", 0)) == 0
                else:
                    raise NatsError(f"{self._stream} cannot be read: {status}")
        finally:
            await subscription.unsubscribe()

    async def _confirmed(self, consumer: str) -> float:
        """Return up to which message the consumer has confirmed all that are there for it."""
        try:
            info = await self._broker.jetstream.consumer_info(self._stream, consumer, timeout=ANSWER_SECONDS)
        except NotFoundError:
            return 0  # once it is made it gets all
        if not info.num_pending and not info.num_ack_pending:
            return math.inf
        return info.ack_floor.stream_seq if info.ack_floor else 0

    async def _delete(self, sequence: int) -> None:
        """Have the broker write over it; one that is gone already is gone."""
        try:
            await asyncio.wait_for(
                self._broker.jetstream.delete_msg(self._stream, sequence), timeout=ANSWER_SECONDS
            )
            heed_cancellation()
        except BadRequestError as error:
            if error.err_code != _NO_SUCH_MESSAGE:
                raise


class _NotConfirmedYetError(Exception):
    """A consumer has not confirmed a message that must go."""

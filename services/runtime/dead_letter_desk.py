"""The operator's way to a room's dead letters: to see them, and to have the room take them in after all.

`doorctl deadletter` asks over NATS, in JSON. Only the broker's user for it may ask.

- `operator.deadletter.<room>.list`: {"limit": 1 to 200, else 50, "before": an id, else none}. The answer has
  `letters`, the newest first, and `more`, whether there are older ones.
- `operator.deadletter.<room>.replay`: {"id": an id}, or {"after": an id or 0} for those beyond it that wait, the
  oldest first. The answer has `replays`, each with `replayedAt`, or with the `problem` for which the letter stays,
  and `after`, from where to ask on; null when that was all.

Either may have `problem` instead, a sentence. Subjects are told in full, which logs may not hold: the operator
must know whose message it is.

To replay a letter is to hand it to the handler that refused it, in this process, as if it were delivered
now. Nothing is published: what a message's sender alone may say is not said for him. A letter is marked only after
its handler has committed; what ends in between is replayed again, which handlers survive as they survive a second
delivery. Headers are not kept, so handlers see none.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import structlog

from services.runtime.consumer import Delivery, Unhandled
from services.runtime.database import StorageUnavailable
from services.runtime.free_text import readable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence
    from datetime import datetime

    from nats.aio.msg import Msg

    from services.runtime.database import Database
    from services.runtime.inbox import DeadLetters, KeptLetter
    from services.runtime.jetstream import Broker

    Handle = Callable[[Sequence[Delivery]], Awaitable[Sequence[Unhandled]]]

DEFAULT_LIMIT = 50
MAX_LIMIT = 200
MAX_ID = 2**31 - 1
"""The largest number that the id's column can hold."""
HANDLER_SECONDS = 4.0
"""How long a handler may take."""
_BATCH_SECONDS = 4.0
"""After this no other letter is begun: together they are less than the operator waits for an answer."""
REPLAYED_AT_ONCE = 10
_MAX_TOLD = 300
"""So many characters of a reason are told: REPLAYED_AT_ONCE fit into one message, however JSON spells them."""
_MARGIN_BYTES = 1_024
_log = structlog.get_logger()


class RequestRefused(ValueError):
    """The request can not be answered; the text says why."""


class DeadLetterDesk:
    """Answers the operator about one room's dead letters.

    `handlers` are the room's own, each with the subjects it takes, `*` standing for any word.
    """

    def __init__(
        self,
        room: str,
        broker: Broker,
        database: Database,
        letters: DeadLetters,
        handlers: Iterable[tuple[Sequence[str], Handle]],
        now: Callable[[], datetime],
    ) -> None:
        self._room = room
        self._broker = broker
        self._database = database
        self._letters = letters
        self._handlers = [(subject, handle) for subjects, handle in handlers for subject in subjects]
        self._now = now
        self._deeds = {"list": self._list, "replay": self._replay}

    async def open(self) -> None:
        """Begin to answer; replicas of the room divide the requests among them."""
        subject = f"operator.deadletter.{self._room}.*"
        await self._broker.client.subscribe(subject, queue=self._room, cb=self._answer)
        await self._broker.client.flush()

    async def _answer(self, message: Msg) -> None:
        try:
            answer = await self._deed(message.subject)(request_of(message.data))
        except RequestRefused as refused:
            answer = {"problem": str(refused)}
        except StorageUnavailable:
            answer = {"problem": "the record is away: try again"}
        await message.respond(json.dumps(answer).encode())

    def _deed(self, subject: str) -> Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]:
        try:
            return self._deeds[subject.rpartition(".")[2]]
        except KeyError as error:
            raise RequestRefused("no such request") from error

    async def _list(self, request: dict[str, Any]) -> dict[str, Any]:
        limit = number_in(request, "limit", least=1, most=MAX_LIMIT, default=DEFAULT_LIMIT)
        before = number_in(request, "before", least=1, most=MAX_ID) if "before" in request else None
        found = await self._letters.newest(self._database, limit + 1, before)
        told = _that_fit([_told(letter) for letter in found[:limit]], self._broker.client.max_payload)
        return {"letters": told, "more": len(told) < len(found)}

    async def _replay(self, request: dict[str, Any]) -> dict[str, Any]:
        if ("id" in request) == ("after" in request):
            raise RequestRefused("say which letter, or after which: id or after")
        if "after" in request:
            return await self._replay_waiting(number_in(request, "after", least=0, most=MAX_ID))
        letter_id = number_in(request, "id", least=1, most=MAX_ID)
        letter = await self._letters.find(self._database, letter_id)
        if letter is None:
            raise RequestRefused(f"there is no letter {letter_id}")
        return {"replays": [await self._replay_one(letter)], "after": None}

    async def _replay_waiting(self, after: int) -> dict[str, Any]:
        """As many as there is time for: the operator asks again for the rest."""
        clock = asyncio.get_running_loop()
        until = clock.time() + _BATCH_SECONDS
        found = await self._letters.waiting(self._database, REPLAYED_AT_ONCE + 1, after)
        replays: list[dict[str, Any]] = []
        for letter in found[:REPLAYED_AT_ONCE]:
            replays.append(await self._replay_one(letter))
            if clock.time() >= until:
                break
        return {"replays": replays, "after": replays[-1]["id"] if len(replays) < len(found) else None}

    async def _replay_one(self, letter: KeptLetter) -> dict[str, Any]:
        """What became of it. One that was taken before is not handed over again."""
        told = _told(letter)
        if letter.replayed_at is not None:
            return told
        why = await self._refusal(letter)
        if why is not None:
            _log.info("dead_letter_stays", letter=letter.letter_id)
            return {**told, "problem": readable(why, _MAX_TOLD)}
        at = await self._letters.mark_replayed(self._database, letter.letter_id, self._now())
        _log.info("dead_letter_replayed", letter=letter.letter_id)
        return {**told, "replayedAt": at.isoformat()}

    async def _refusal(self, letter: KeptLetter) -> str | None:
        """Hand it over; why it was not taken, None when it was. Raises StorageUnavailable."""
        handle = next((each for subject, each in self._handlers if covers(subject, letter.subject)), None)
        if handle is None:
            return "this room takes nothing on this subject"
        if not letter.whole:
            return "only its beginning is kept"
        payload = await self._letters.payload(self._database, letter.letter_id)
        if payload is None:
            return "it is kept no longer"
        delivery = Delivery(letter.subject, payload)
        try:
            async with asyncio.timeout(HANDLER_SECONDS):
                poison = await handle([delivery])
        except StorageUnavailable:
            raise
        except TimeoutError:
            return "not done in time, and perhaps taken: replay it again"
        except Exception as error:  # noqa: BLE001  # as in the consumer: a message that meets a defect is poison
            _log.exception("dead_letter_failed", letter=letter.letter_id)
            return readable(f"{type(error).__name__}: {error}")
        return readable(poison[0].reason) if poison else None


def request_of(data: bytes) -> dict[str, Any]:
    """The request's fields; nothing at all is a request without any. Raises RequestRefused."""
    try:
        request = json.loads(data or b"{}")
    except (ValueError, RecursionError) as error:
        raise RequestRefused("the request is not JSON") from error
    if not isinstance(request, dict):
        raise RequestRefused("the request is not an object")
    return request


def number_in(
    request: dict[str, Any], name: str, *, least: int, most: int, default: int | None = None
) -> int:
    """A whole number of the request, or the default when it is not there. Raises RequestRefused."""
    number = request.get(name, default)
    if not isinstance(number, int) or isinstance(number, bool) or not least <= number <= most:
        raise RequestRefused(f"{name} is a whole number from {least} to {most}")
    return number


def covers(pattern: str, subject: str) -> bool:
    """Whether the subject is one of the pattern's, in which `*` is any word."""
    wanted, words = pattern.split("."), subject.split(".")
    return len(wanted) == len(words) and all(a in ("*", b) for a, b in zip(wanted, words, strict=True))


def _told(letter: KeptLetter) -> dict[str, Any]:
    return {
        "id": letter.letter_id,
        "subject": letter.subject,
        "reason": readable(letter.reason, _MAX_TOLD),
        "receivedAt": letter.received_at.isoformat(),
        "bytes": letter.payload_bytes,
        "whole": letter.whole,
        "count": letter.count,
        "dropped": letter.dropped,
        "replayedAt": letter.replayed_at.isoformat() if letter.replayed_at else None,
    }


def _that_fit(letters: list[dict[str, Any]], message_bytes: int) -> list[dict[str, Any]]:
    """The first of them, as many as one message holds: reasons and subjects may be anything."""
    left = message_bytes - _MARGIN_BYTES
    for count, letter in enumerate(letters):
        left -= len(json.dumps(letter)) + 2
        if left < 0:
            return letters[:count]
    return letters

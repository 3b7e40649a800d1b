"""A service's dead letters: seeing them, and having the service take them in after all.

To replay a letter is to hand it to the handler that refused it, in this process, as if it were delivered
now. Nothing is published: what a message's sender alone may say is not said for him. A letter is marked only after
its handler has committed; what ends in between is replayed again, which handlers survive as they survive a second
delivery. Headers are not kept, so handlers see none.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import structlog

from services.platform.consumer import Delivery
from services.platform.storage import StorageUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from services.platform.database import Database
    from services.platform.inbox import DeadLetters, KeptLetter
    from services.platform.subscriptions import Subscription

HANDLER_SECONDS = 4.0
"""How long a handler may take."""
_BATCH_SECONDS = 4.0
"""After this no other letter is begun: together they are less than a call may take."""
REPLAYED_AT_ONCE = 10
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """A letter that was handed over; `problem` says why it stays, None when it was taken."""

    letter: KeptLetter
    problem: str | None = None


class DeadLetterReplay:
    """One service's dead letters. Every method may raise StorageUnavailableError."""

    def __init__(
        self,
        database: Database,
        letters: DeadLetters,
        subscriptions: Sequence[Subscription],
        now: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._letters = letters
        self._subscriptions = subscriptions
        self._now = now

    async def newest(self, limit: int, before: int | None) -> tuple[list[KeptLetter], bool]:
        """At most `limit`, the newest first, of those with an id below `before`; whether there are more."""
        found = await self._letters.newest(self._database, limit + 1, before)
        return found[:limit], len(found) > limit

    async def replay(self, letter_id: int) -> ReplayResult | None:
        """Hand this letter over; None when there is none."""
        letter = await self._letters.find(self._database, letter_id)
        return None if letter is None else await self._replay(letter)

    async def replay_waiting(self, after: int) -> tuple[list[ReplayResult], int | None]:
        """Hand over those that wait beyond the id `after`, the oldest first, as many as there is time for.

        With it comes from where to go on; None when that was all.
        """
        clock = asyncio.get_running_loop()
        until = clock.time() + _BATCH_SECONDS
        found = await self._letters.waiting(self._database, REPLAYED_AT_ONCE + 1, after)
        done: list[ReplayResult] = []
        for letter in found[:REPLAYED_AT_ONCE]:
            done.append(await self._replay(letter))
            if clock.time() >= until:
                break
        return done, done[-1].letter.letter_id if len(done) < len(found) else None

    async def _replay(self, letter: KeptLetter) -> ReplayResult:
        """Return what became of it. One that was taken before is not handed over again."""
        if letter.replayed_at is not None:
            return ReplayResult(letter)
        why = await self._refusal(letter)
        if why is not None:
            _log.info("dead_letter_stays", letter=letter.letter_id)
            return ReplayResult(letter, why)
        at = await self._letters.mark_replayed(self._database, letter.letter_id, self._now())
        _log.info("dead_letter_replayed", letter=letter.letter_id)
        return ReplayResult(replace(letter, replayed_at=at))

    async def _refusal(self, letter: KeptLetter) -> str | None:
        """Hand it over; why it was not taken, None when it was."""
        subscription = next((each for each in self._subscriptions if each.takes(letter.subject)), None)
        if subscription is None:
            return "this service takes nothing on this subject"
        if not letter.whole:
            return "only its beginning is kept"
        payload = await self._letters.payload(self._database, letter.letter_id)
        if payload is None:
            return "it is kept no longer"
        delivery = Delivery(letter.subject, payload)
        try:
            async with asyncio.timeout(HANDLER_SECONDS):
                unhandled = await subscription.handle([delivery])
        except StorageUnavailableError:
            raise
        except TimeoutError:
            return "not done in time, and perhaps taken: replay it again"
        except Exception as error:  # noqa: BLE001  # as in the consumer: a message that meets a defect is poison
            _log.exception("dead_letter_failed", letter=letter.letter_id)
            return f"{type(error).__name__}: {error}"
        return unhandled[0].reason or "no reason given" if unhandled else None

"""Keeping dead letters: what waits among them is handed over again, and what is old goes."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from services.platform.consumer import Delivery, PoisonMessage, Unhandled
from services.platform.dead_letters import DeadLetter, LetterLimits, dead_letters_of
from services.platform.isolation import by_halves
from services.platform.storage import StorageUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from datetime import datetime

    from services.platform.database import Database
    from services.platform.dead_letters import DeadLetters, WaitingLetter
    from services.platform.outbox import OutgoingMessage
    from services.platform.subscriptions import Subscription

    Handle = Callable[[Sequence[Delivery]], Awaitable[Sequence[Unhandled]]]
    Outcome = tuple[WaitingLetter, str | None, datetime | None]

LOOK_SECONDS = 1.0
MOST_ATTEMPTS = 6
_FIRST_PAUSE = timedelta(seconds=10)
_AT_ONCE = 64
_log = structlog.get_logger()


class DeadLetterWriter:
    """Writes dead letters in a service, within `limits`."""

    def __init__(
        self,
        database: Database,
        letters: DeadLetters,
        now: Callable[[], datetime],
        limits: LetterLimits | None = None,
    ) -> None:
        self._database = database
        self._letters = letters
        self._now = now
        self._limits = limits or LetterLimits()

    async def dead_letter(self, poison: Sequence[PoisonMessage]) -> None:
        """Keep what a consumer could not have handled. Raises StorageUnavailableError."""
        await self._letters.dead_letter(self._database, dead_letters_of(poison, self._now()), self._limits)

    async def set_aside(self, message: OutgoingMessage, reason: str) -> None:
        """Keep what an outbox could not send. Raises StorageUnavailableError."""
        letter = DeadLetter(message.subject, message.payload, reason, self._now())
        await self._letters.dead_letter(self._database, [letter], self._limits)


class DeadLetterKeeper:
    """Looks after what becomes a dead letter in a service.

    What was set aside to wait is handed to the handlers of its `subscriptions` again,
    MOST_ATTEMPTS times over about five minutes; then it stays for the operator.
    """

    def __init__(
        self,
        database: Database,
        letters: DeadLetters,
        subscriptions: Sequence[Subscription],
        now: Callable[[], datetime],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._database = database
        self._letters = letters
        self._subscriptions = subscriptions
        self._now = now
        self._sleep = sleep

    async def run(self) -> None:
        """Look after them until cancelled."""
        while True:
            try:
                await self.look()
            except StorageUnavailableError as error:
                _log.warning("dead_letters_wait_for_store", reason=str(error))
            await self._sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Hand over what is due. Raises StorageUnavailableError."""
        now = self._now()
        due = await self._letters.due(self._database, now, _AT_ONCE)
        if not due:
            return
        outcomes: list[Outcome] = []
        by_handler: dict[Handle, list[WaitingLetter]] = {}
        for letter in due:
            subscription = next((each for each in self._subscriptions if each.takes(letter.subject)), None)
            if subscription is None:
                outcomes.append((letter, "this service takes nothing on this subject", None))
            else:
                by_handler.setdefault(subscription.handle, []).append(letter)
        for handle, letters in by_handler.items():
            outcomes += await self._handed_over(handle, letters)
        await self._letters.retried(self._database, outcomes, now)

    async def _handed_over(self, handle: Handle, letters: Sequence[WaitingLetter]) -> list[Outcome]:
        outcomes: list[Outcome] = []

        async def work(some: Sequence[WaitingLetter]) -> None:
            deliveries = [Delivery(letter.subject, letter.payload) for letter in some]
            unhandled = {id(each.delivery): each for each in await handle(deliveries)}
            for letter, delivery in zip(some, deliveries, strict=True):
                left = unhandled.get(id(delivery))
                if left is None:
                    outcomes.append((letter, None, None))
                else:
                    outcomes.append(self._again(letter, left.reason, final=isinstance(left, PoisonMessage)))

        def failed(letter: WaitingLetter, error: Exception) -> None:
            outcomes.append(self._again(letter, f"{type(error).__name__}: {error}", final=False))

        await by_halves(letters, work, failed)
        return outcomes

    def _again(self, letter: WaitingLetter, reason: str, *, final: bool) -> Outcome:
        if final or letter.attempts + 1 >= MOST_ATTEMPTS:
            return letter, reason, None
        return letter, reason, self._now() + _FIRST_PAUSE * 2**letter.attempts

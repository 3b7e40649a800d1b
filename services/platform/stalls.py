"""Subjects whose messages cannot leave at the moment: what waits for them stands in nobody else's way."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Container, Iterable

    from services.platform.outbox_table import OutgoingMessage

MOST_BEHIND = 100
"""So many messages of one subject are held while it stalls; the rows of the others are found by the scan."""
MOST_STALLS = 1_000
_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 0.5


@dataclass(slots=True)
class _Stall:
    pause: float = _FIRST_PAUSE_SECONDS / 2
    waits: bool = False
    messages: OrderedDict[str, OutgoingMessage] = field(default_factory=OrderedDict)


class Stalls:
    """What is to be tried again after a pause that doubles, by subject (or by its id). `release` gets it in order."""

    def __init__(
        self,
        release: Callable[[Iterable[OutgoingMessage]], None],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._release = release
        self._sleep = sleep
        self._stalls: dict[str, _Stall] = {}
        self._pausing: set[asyncio.Task[None]] = set()

    @property
    def full(self) -> bool:
        """Whether so many subjects stall that it is not their own fault."""
        return len(self._stalls) >= MOST_STALLS

    def holds_back(self, message: OutgoingMessage) -> bool:
        """Keep it if its subject stalls; whether it does."""
        if not self._stalls:
            return False
        for key in (message.message_id, message.subject):
            stall = self._stalls.get(key)
            if stall is not None and stall.waits:
                if len(stall.messages) < MOST_BEHIND:
                    stall.messages.setdefault(message.message_id, message)
                return True
        return False

    def stall(self, messages: Iterable[OutgoingMessage], suspects: Container[str]) -> None:
        """Pause the subjects of these, which could not leave. A suspect of breaking its sending pauses alone."""
        for message in messages:
            key = message.message_id if message.message_id in suspects else message.subject
            stall = self._stalls.setdefault(key, _Stall())
            stall.messages.setdefault(message.message_id, message)
            if not stall.waits:
                stall.waits = True
                stall.pause = min(_LONGEST_PAUSE_SECONDS, stall.pause * 2)
                task = asyncio.ensure_future(self._pause(key, stall))
                self._pausing.add(task)
                task.add_done_callback(self._pausing.discard)

    def left(self, messages: Iterable[OutgoingMessage]) -> None:
        """Let the subjects of these go on, which could leave."""
        if not self._stalls:
            return
        for message in messages:
            for key in (message.message_id, message.subject):
                stall = self._stalls.get(key)
                if stall is not None and not stall.waits:
                    del self._stalls[key]

    def pop(self, message_id: str) -> OutgoingMessage | None:
        """Take it out, if it is here."""
        for stall in self._stalls.values():
            message = stall.messages.pop(message_id, None)
            if message is not None:
                return message
        return None

    def close(self) -> None:
        """Release nothing more."""
        for task in self._pausing:
            task.cancel()

    async def _pause(self, key: str, stall: _Stall) -> None:
        await self._sleep(stall.pause)
        stall.waits = False
        messages = list(stall.messages.values())
        stall.messages.clear()
        if not messages:
            self._stalls.pop(key, None)
        self._release(messages)

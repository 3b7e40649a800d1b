"""Sending what others rely on: a message that breaks its sending is found, tried alone, and at last set aside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import structlog

from services.platform.logs import kind_of
from services.platform.storage import StorageUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Container, Sequence

    from services.platform.outbox_table import OutgoingMessage

ATTEMPTS = 24
"""So often a message that breaks its sending is tried: with the relay's pauses, for about ten seconds."""
_MOST_REMEMBERED = 10_000
_log = structlog.get_logger()


class Send(Protocol):
    """How a relay hands messages over."""

    async def __call__(self, messages: Sequence[OutgoingMessage], /) -> Sequence[bool | None]:
        """For each message in order: True when it is dealt with for good, False to send it again later, None to
        park it: no copy of it is on its way, and it waits until it is handed over again.
        """


class GuardedSend:
    """A Send that never raises for what is in a message.

    A batch that raises is halved until the message that does it is alone; the others of the batch leave. That one is
    tried ATTEMPTS times, from then on apart from others. Then it is `set_aside` with its reason, and counts as dealt
    with; without a place to set it aside, it stays to be tried again.
    """

    def __init__(
        self, send: Send, set_aside: Callable[[OutgoingMessage, str], Awaitable[None]] | None = None
    ) -> None:
        self._send = send
        self._set_aside = set_aside
        self._failures: dict[str, int] = {}

    @property
    def suspects(self) -> Container[str]:
        """The ids of messages that broke their sending when they were alone."""
        return self._failures.keys()

    async def __call__(self, messages: Sequence[OutgoingMessage], /) -> list[bool | None]:
        """For each message in order: True when it is dealt with for good, False to send it again later, None to
        park it: no copy of it is on its way, and it waits until it is handed over again.
        """
        if not self._failures:
            return await self._outcomes(messages)
        suspects = [message for message in messages if message.message_id in self._failures]
        others = [message for message in messages if message.message_id not in self._failures]
        outcomes: dict[str, bool | None] = {}
        for each in ([others] if others else []) + [[suspect] for suspect in suspects]:
            dealt = await self._outcomes(each)
            outcomes |= {message.message_id: done for message, done in zip(each, dealt, strict=True)}
        return [outcomes[message.message_id] for message in messages]

    async def _outcomes(self, messages: Sequence[OutgoingMessage]) -> list[bool | None]:
        try:
            outcomes = list(await self._send(messages))
        except StorageUnavailableError as error:
            _log.warning("sending_waits_for_store", reason=str(error))
            return [False] * len(messages)
        except Exception as error:  # noqa: BLE001  # whatever it raises is one message's fate, not the others'
            if len(messages) == 1:
                return [await self._failed(messages[0], error)]
            half = len(messages) // 2
            return [*await self._outcomes(messages[:half]), *await self._outcomes(messages[half:])]
        if self._failures:
            for message, done in zip(messages, outcomes, strict=True):
                if done is not False:
                    self._failures.pop(message.message_id, None)
        return outcomes

    async def _failed(self, message: OutgoingMessage, error: Exception) -> bool:
        """Return whether it is dealt with: set aside."""
        failures = self._failures.pop(message.message_id, 0) + 1
        kind = kind_of(message.subject)
        if failures >= ATTEMPTS and self._set_aside is not None:
            reason = f"not sent, after {failures} attempts: {type(error).__name__}: {error}"
            try:
                await self._set_aside(message, reason)
            except StorageUnavailableError as away:
                _log.warning("setting_aside_waits_for_store", reason=str(away))
            else:
                _log.error("message_set_aside", subject=kind, message_id=message.message_id, exc_info=error)
                return True
        if failures == 1:
            _log.error("message_breaks_sending", subject=kind, message_id=message.message_id, exc_info=error)
        self._failures[message.message_id] = failures
        if len(self._failures) > _MOST_REMEMBERED:
            self._failures.pop(next(iter(self._failures)))
        return False

"""Whether the broker at the other end of a living connection still answers.

A process that is stopped, or hangs, keeps its connections, and the client takes a quarter of a minute to give one up.
So the broker is pinged every second, beside whatever else goes over the connection.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from nats.errors import Error as NatsError

from services.platform.clock import CLOCK

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from nats.aio.client import Client

BEAT_SECONDS = 1.0
_SLICES = 8


class BrokerPulse:
    """Pings until nothing was heard for `silence_seconds`, and tells of it.

    That time is waited in slices, after each of which the event loop has read what had come: a process that was
    itself kept from running, on a machine that is busy, does not take that for the broker's silence.
    """

    def __init__(
        self,
        client: Client,
        silence_seconds: float,
        beat_seconds: float = BEAT_SECONDS,
        monotonic: Callable[[], float] = CLOCK.monotonic,
    ) -> None:
        self._client = client
        self._slice_seconds = silence_seconds / _SLICES
        self._beat_seconds = beat_seconds
        self._monotonic = monotonic

    async def run(self, silent: Callable[[float], Awaitable[None]]) -> None:
        """Ping until cancelled, and await `silent` with the time of the last answer whenever none comes any more."""
        while True:
            await asyncio.sleep(self._beat_seconds)
            asked_at = self._monotonic()
            if self._client.is_connected and not await self._answers():
                await silent(asked_at)

    async def _answers(self) -> bool:
        """Return whether anything came before it was silent for too long; true where the connection has ended."""
        asking = asyncio.ensure_future(self._ask())
        try:
            received = self._client.stats["in_msgs"]
            for _ in range(_SLICES):
                await asyncio.wait({asking}, timeout=self._slice_seconds)
                if asking.done() or self._client.stats["in_msgs"] != received:
                    return True
            return not self._client.is_connected
        finally:
            asking.cancel()

    async def _ask(self) -> None:
        answered: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        try:
            await self._client._send_ping(answered)  # noqa: SLF001  # its flush would break the connection when late
        except (NatsError, OSError, RuntimeError, AttributeError):
            return  # it is just ending, which the client tells
        # Kept alive, and not cancelled: the client answers it in its own time, or drops it with the connection.
        await asyncio.shield(answered)

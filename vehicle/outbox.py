"""Sends events until the broker has them, and knows the tricks a tester plays on outgoing messages."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import structlog

from protocol.envelope import pack
from vehicle.backoff import Backoff
from vehicle.link import LinkDown, VehicleLink

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from google.protobuf.message import Message

    from protocol.broker import Event
    from vehicle.clock import Clock

logger = structlog.get_logger(__name__)

CANCEL_AGAIN_SECONDS = 0.1


class Outbox:
    """The outgoing side of one agent. Sends while open; what is posted meanwhile waits."""

    def __init__(self, vin: str, link: VehicleLink, clock: Clock) -> None:
        self._vin = vin
        self._link = link
        self._clock = clock
        self._open = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._drop_next = False
        self._duplicate_next = False
        self.sent_count = 0
        self.dropped_count = 0

    def open(self) -> None:
        """The link is up."""
        self._open.set()

    def shut(self) -> None:
        """The link is down: hold everything."""
        self._open.clear()

    def drop_next(self) -> None:
        """The next event is lost on its way, and the car believes it arrived."""
        self._drop_next = True

    def duplicate_next(self) -> None:
        """The next event arrives twice, unnoticed by the broker."""
        self._duplicate_next = True

    def post(
        self,
        event: Event,
        message_id: str,
        payload: Message,
        then: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Sends until the broker has it, then calls `then`. First attempts keep the order of posting."""
        data = pack(self._vin, message_id, payload, self._clock.now())
        self.run(self._deliver(event, message_id, data, then))

    async def send(self, event: Event, payload: Message) -> None:
        """Sends once. Raises LinkDown: a report is made afresh, not repeated."""
        message_id = uuid4().hex
        await self._transmit(event, message_id, pack(self._vin, message_id, payload, self._clock.now()))

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs something on the side for as long as the outbox lives. Its failure is logged."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    async def flush(self, within_seconds: float) -> bool:
        """Waits until everything posted is out; False when time is up first."""
        if not self._tasks:
            return True
        _done, waiting = await asyncio.wait(self._tasks, timeout=within_seconds)
        return not waiting

    async def stop(self) -> None:
        """Drops whatever is still waiting. The journal has what must not be lost."""
        while self._tasks:
            for task in self._tasks:
                # Asked again: Python 3.11's wait_for swallows a cancellation that comes together with its result.
                task.cancel()
            await asyncio.wait(tuple(self._tasks), timeout=CANCEL_AGAIN_SECONDS)

    async def _deliver(
        self, event: Event, message_id: str, data: bytes, then: Callable[[], Awaitable[None]] | None
    ) -> None:
        backoff = Backoff()
        while True:
            await self._open.wait()
            try:
                await self._transmit(event, message_id, data)
                break
            except LinkDown as error:
                logger.info(
                    "event_unconfirmed", vin_tail=self._vin[-6:], event_kind=event.value, reason=str(error)
                )
                await asyncio.sleep(backoff.next_seconds())
        if then:
            await then()

    async def _transmit(self, event: Event, message_id: str, data: bytes) -> None:
        if self._drop_next:
            self._drop_next = False
            self.dropped_count += 1
            return
        await self._link.publish(event, message_id, data)
        self.sent_count += 1
        if self._duplicate_next:
            self._duplicate_next = False
            # Another deduplication id, or the broker would swallow the repetition.
            await self._link.publish(event, f"{message_id}-again", data)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception():
            logger.error("send_failed", vin_tail=self._vin[-6:], error=repr(task.exception()))

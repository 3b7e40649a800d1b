"""Sends events until the broker has them.

What is sent is sealed at the moment of each attempt: its counter and its clock are those of that moment.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import structlog

from protocol.faults import MessageRefusedError
from protocol.subjects import EventKind
from vehicle import tasks
from vehicle.link.backoff import Backoff
from vehicle.link.port import LinkDownError, VehicleLink

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from protocol.domains import Domain
    from protocol.vehicle_side import OutgoingEnvelope

    Seal = Callable[[], OutgoingEnvelope]

logger = structlog.get_logger(__name__)


class AgentOutbox:
    """The outgoing side of one agent. Between `connect` and `shut` it sends; what is posted waits for `open`."""

    def __init__(self, vin: str, link: VehicleLink) -> None:
        self._vin = vin
        self._link = link
        self._is_connected = False
        self._open = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    def connect(self) -> None:
        """Send over this link, which is up."""
        self._is_connected = True

    def open(self) -> None:
        """And the cloud knows the epoch: what was posted may go. Without effect when the link is not up."""
        if self._is_connected:
            self._open.set()

    def shut(self) -> None:
        """Hold everything: the link is down."""
        self._is_connected = False
        self._open.clear()

    def post(self, seal: Seal, then: Callable[[], Awaitable[None]] | None = None) -> None:
        """Send until the broker has it, then calls `then`. First attempts keep the order of posting."""
        self.run(self._deliver(seal, then))

    async def send(self, seal: Seal) -> None:
        """Send once. Raises LinkDownError: a report is made afresh, not repeated."""
        if not self._is_connected:
            raise LinkDownError("held back")
        await self._transmit(seal)

    async def send_last(self, seal: Seal) -> None:
        """Hold everything else back from now on, as `shut` does, and send this. Raises LinkDownError."""
        self.shut()
        await self._transmit(seal)

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something on the side for as long as the outbox lives. Its failure is logged."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    async def flush(self, within_seconds: float) -> bool:
        """Wait until everything posted is out; False when time is up first."""
        if not self._tasks:
            return True
        _done, waiting = await asyncio.wait(self._tasks, timeout=within_seconds)
        return not waiting

    async def stop(self) -> None:
        """Drop whatever is still waiting. The journal has what must not be lost."""
        await tasks.end(self._tasks)

    async def _deliver(self, seal: Seal, then: Callable[[], Awaitable[None]] | None) -> None:
        backoff = Backoff()
        while True:
            await self._open.wait()
            try:
                await self._transmit(seal)
                break
            except LinkDownError as error:
                logger.info("event_unconfirmed", vin_tail=self._vin[-6:], reason=str(error))
                await asyncio.sleep(backoff.next_seconds())
        if then:
            await then()

    async def _transmit(self, seal: Seal) -> None:
        try:
            outgoing = seal()
        except MessageRefusedError as refused:
            # Every key of the cloud to seal to is revoked: until the next manifest.
            raise LinkDownError(f"nobody to tell: {refused.detail}") from refused
        await self._link.publish(_event(outgoing.domain), outgoing.message_id, outgoing.data)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception():
            logger.error("send_failed", vin_tail=self._vin[-6:], error=repr(task.exception()))


def _event(domain: Domain) -> EventKind:
    return EventKind(domain.value.removeprefix("evt."))

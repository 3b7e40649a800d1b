"""A link that loses or repeats an event when it is told to: the network's tricks, for testers."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from protocol.subjects import EventKind
    from vehicle.link.port import CloudDelivery, VehicleLink


class UnreliableLink:
    """A VehicleLink over another one. The unit above it cannot tell that an event was lost or came twice."""

    def __init__(self, link: VehicleLink) -> None:
        self._link = link
        self._drop_next = False
        self._duplicate_next = False
        self.sent_count = 0
        self.dropped_count = 0

    def drop_next(self) -> None:
        """Lose the next event on its way: to the unit it has arrived."""
        self._drop_next = True

    def duplicate_next(self) -> None:
        """Let the next event arrive twice, the same bytes, unnoticed by the broker."""
        self._duplicate_next = True

    @property
    def is_open(self) -> bool:
        """Whether the link below has a connection."""
        return self._link.is_open

    async def open(self) -> None:
        """Connect. Raises LinkDownError."""
        await self._link.open()

    async def publish(self, event: EventKind, deduplication_id: str, data: bytes) -> None:
        """Return once the broker has stored the event, or as if it had. Raises LinkDownError."""
        if self._drop_next:
            self._drop_next = False
            self.dropped_count += 1
            return
        await self._link.publish(event, deduplication_id, data)
        self.sent_count += 1
        if self._duplicate_next:
            self._duplicate_next = False
            # Another deduplication id, or the broker would swallow the repetition.
            await self._link.publish(event, f"{deduplication_id}-again", data)

    async def receive(self) -> list[CloudDelivery]:
        """Return what the link below receives. Raises QueueGoneError, LinkDownError."""
        return await self._link.receive()

    async def drop(self) -> None:
        """End the connection without a word."""
        await self._link.drop()

    async def close(self) -> None:
        """End the connection."""
        await self._link.close()

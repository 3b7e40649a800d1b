"""What the agent needs of a connection to the cloud, whatever the transport."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from protocol.subjects import CommandKind, EventKind


class LinkDownError(ConnectionError):
    """There is no connection, or the broker did not confirm. What was sent may have arrived."""


class QueueGoneError(Exception):
    """The broker holds no command queue for this car: say hello again."""


class CloudDelivery(Protocol):
    """One message from the cloud. Not settled, it comes again."""

    @property
    def kind(self) -> CommandKind | None:
        """By its subject; None for one that this car does not know."""
        ...

    @property
    def data(self) -> bytes:
        """As it came: nothing in it is accepted yet."""
        ...

    async def acknowledge(self) -> None:
        """Done: not to come again. Raises LinkDownError."""
        ...

    async def terminate(self) -> None:
        """Never to come again: it cannot be understood. Raises LinkDownError."""
        ...


class VehicleLink(Protocol):
    """One car's connection to the broker. It does not reconnect by itself: the agent opens it again."""

    @property
    def is_open(self) -> bool:
        """Whether there is a connection, as far as one can know."""
        ...

    async def open(self) -> None:
        """Connect. Raises LinkDownError."""
        ...

    async def publish(self, event: EventKind, deduplication_id: str, data: bytes) -> None:
        """Return once the broker has stored the event. The same id twice is stored once. Raises LinkDownError."""
        ...

    async def receive(self) -> list[CloudDelivery]:
        """Wait for messages and return all that wait, so that a cancellation can be looked at first.

        Raises QueueGoneError, or LinkDownError when the connection ended.
        """
        ...

    async def drop(self) -> None:
        """End the connection without a goodbye, as where the signal ends; a waiting `receive` raises LinkDownError."""
        ...

    async def close(self) -> None:
        """End the connection; a `receive` under way raises LinkDownError. Closing twice is fine."""
        ...

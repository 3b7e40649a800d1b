"""What the use cases need of the outside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from services.notification.domain.messages import PushDevice, PushMessage, PushResult


class PushSender(Protocol):
    """One push service. Calls may run at the same time; how many, and for how long each, the sender bounds."""

    async def send(self, device: PushDevice, message: PushMessage) -> PushResult:
        """Send one message, and return what became of it.

        What the push service or the network does is an outcome and never an exception: a peer that hangs, resets or
        answers nonsense is `LATER`. It is sent again by the caller, with the same id.
        """

    async def close(self) -> None:
        """End its connections."""

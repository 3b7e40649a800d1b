"""What operators do with everybody's webhooks."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from services.notification.domain.webhooks import Backlog, Webhook
    from services.notification.usecases.webhook_ports import (
        OperatedWebhookRecord,
        WebhookPlace,
    )


class WebhookOperation:
    """The operators' side of webhooks. `changed` makes what is known in memory of them so again, `hurry` has what waits
    sent.
    """

    def __init__(
        self,
        record: OperatedWebhookRecord,
        now: Callable[[], datetime],
        *,
        changed: Callable[[], Awaitable[None]],
        hurry: Callable[[], None],
    ) -> None:
        self._record = record
        self._now = now
        self._changed = changed
        self._hurry = hurry

    async def page(
        self, principal: str, most: int, after: WebhookPlace | None
    ) -> tuple[list[tuple[Webhook, Backlog]], WebhookPlace | None]:
        """Return some of everybody's, or of this principal's, and the place after which there are more."""
        return await self._record.page(principal, most, after)

    async def stop(self, place: WebhookPlace, reason: str) -> tuple[Webhook, Backlog]:
        """Send it nothing any more, and tell its registrant's others of it. Raises WebhookUnknownError."""
        stopped = await self._record.stop(place, reason, self._now())
        await self._changed()
        self._hurry()
        return stopped

    async def enable(self, place: WebhookPlace) -> tuple[Webhook, Backlog]:
        """Have the URL of one that an operator stopped challenged. Raises WebhookUnknownError."""
        enabled = await self._record.enable(place, self._now())
        await self._changed()
        self._hurry()
        return enabled

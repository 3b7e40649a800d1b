"""What a person or a partner does with their webhooks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.notification.domain.webhooks import (
    VehicleNotReadableError,
    WebhookNotActiveError,
    WebhookState,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from services.notification.domain.webhooks import (
        Backlog,
        DeliveryStatus,
        Registrant,
        Webhook,
        WebhookWish,
    )
    from services.notification.usecases.webhook_ports import (
        OwnMessages,
        ReadingRights,
        ReadRight,
        WebhookCaller,
        WebhookDelivery,
        WebhookRecord,
        WebhookReplayResult,
    )


class Webhooks:
    """The registrant's side of webhooks. `changed` makes what is known in memory of them so again, `hurry` has what
    waits sent.
    """

    def __init__(
        self,
        record: WebhookRecord,
        caller: WebhookCaller,
        rights: ReadingRights,
        now: Callable[[], datetime],
        *,
        most: int,
        changed: Callable[[], Awaitable[None]],
        hurry: Callable[[], None],
        messages: OwnMessages,
    ) -> None:
        self._record = record
        self._caller = caller
        self._rights = rights
        self._now = now
        self._most = most
        self._changed = changed
        self._hurry = hurry
        self._messages = messages

    async def register(
        self, registrant: Registrant, name: str, wish: WebhookWish, correlation_id: str
    ) -> tuple[Webhook, Backlog, str]:
        """Keep what a webhook is to be; return it with its secret where this request made it.

        Raises UrlRefusedError, VehicleNotReadableError, TooManyWebhooksError, OtherWebhookBodyError,
        NotKnownNowError.
        """
        await self._caller.check(wish.url)
        if len(await self._rights.rights_on(registrant, wish.vins)) < len(set(wish.vins)):
            raise VehicleNotReadableError
        vehicles = [] if wish.vins else await self._rights.vehicles_of(registrant.principal)
        made = await self._record.register(
            registrant,
            name,
            wish,
            correlation_id,
            most=self._most,
            vehicles=vehicles,
            at=self._now(),
        )
        await self._changed()
        self._hurry()
        _, backlog = await self.found(registrant, name)
        return made.webhook, backlog, self._shown(made.webhook, made.sealed_secret)

    async def listed(self, registrant: Registrant) -> list[tuple[Webhook, Backlog]]:
        """Return a registrant's, the oldest first. Raises NotKnownNowError."""
        return [await self._as_readable(*each) for each in await self._record.listed(registrant)]

    async def found(self, registrant: Registrant, name: str) -> tuple[Webhook, Backlog]:
        """Return one. Raises WebhookUnknownError, NotKnownNowError."""
        return await self._as_readable(*await self._record.found(registrant, name))

    async def delete(self, registrant: Registrant, name: str) -> list[tuple[Webhook, Backlog]]:
        """Let go of one and of what waits for it; return those that are left."""
        await self._record.delete(registrant, name, self._now())
        await self._changed()
        return await self.listed(registrant)

    async def rotate(
        self, registrant: Registrant, name: str, correlation_id: str
    ) -> tuple[Webhook, Backlog, str]:
        """Make a new secret, and return it. Raises WebhookUnknownError."""
        made = await self._record.rotate(registrant, name, correlation_id, self._now())
        _, backlog = await self.found(registrant, name)
        return made.webhook, backlog, self._shown(made.webhook, made.sealed_secret)

    async def enable(self, registrant: Registrant, name: str) -> tuple[Webhook, Backlog]:
        """Have its URL challenged, unless it is ACTIVE. Raises WebhookUnknownError, WebhookStoppedError."""
        await self._record.challenge_again(registrant, name, self._now())
        await self._changed()
        self._hurry()
        return await self.found(registrant, name)

    async def test(self, registrant: Registrant, name: str, correlation_id: str) -> WebhookDelivery:
        """Send it a test, once for each correlation id. Raises WebhookUnknownError, WebhookNotActiveError."""
        webhook, _ = await self._record.found(registrant, name)
        if webhook.state is not WebhookState.ACTIVE:
            raise WebhookNotActiveError
        now = self._now()
        event = self._messages.test(webhook, correlation_id, now)
        delivery = await self._record.add_own_event(webhook, event, now)
        self._hurry()
        return delivery

    async def deliveries(
        self, registrant: Registrant, name: str, status: DeliveryStatus | None, limit: int, offset: int
    ) -> tuple[list[WebhookDelivery], int]:
        """Return some of what they may read now, the newest event first, and how many there are. Raises
        WebhookUnknownError, NotKnownNowError.
        """
        rights = await self._readable(registrant, name)
        return await self._record.deliveries(registrant, name, status, limit, offset, rights)

    async def replay(
        self, registrant: Registrant, name: str, correlation_id: str, *, after: str, since: datetime | None
    ) -> WebhookReplayResult:
        """Send once more what came after an event, or happened since a time; see the port."""
        replayed = await self._record.replay(
            registrant,
            name,
            correlation_id,
            after=after,
            since=since,
            at=self._now(),
            rights=await self._readable(registrant, name),
        )
        self._hurry()
        return replayed

    async def _readable(self, registrant: Registrant, name: str) -> dict[str, ReadRight]:
        """Return the rights by which some of what is kept for a webhook may be read now."""
        vins = await self._record.vehicles_told_of(registrant, name)
        return await self._rights.rights_on(registrant, vins)

    async def _as_readable(self, webhook: Webhook, backlog: Backlog) -> tuple[Webhook, Backlog]:
        """Return it with what waits of what its registrant may read now: how much a stranger's car is used shows in
        numbers, too.
        """
        if not backlog.waiting:
            return webhook, backlog
        rights = await self._readable(webhook.registrant, webhook.name)
        return webhook, await self._record.readable_backlog(webhook, rights)

    def _shown(self, webhook: Webhook, sealed: bytes | None) -> str:
        return "" if sealed is None else self._caller.shown_secret(webhook.id, sealed)

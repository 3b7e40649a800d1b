"""Which webhooks an event is for: known in memory, so that what concerns none costs nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from services.notification.usecases.ports import NotKnownNowError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from services.notification.domain.webhooks import WebhookEvent
    from services.notification.usecases.webhook_ports import (
        ReadingRights,
        WebhookInterest,
        WebhookInterestRecord,
    )

REREAD_VEHICLES = timedelta(minutes=5)
"""So often it is asked which vehicles somebody has who has a webhook for all of them, besides each change in it."""
_AT_ONCE = 20
_log = structlog.get_logger()


class InterestIndex:
    """Which webhooks want to hear of which vehicle. What another replica changed is known here a second later."""

    def __init__(
        self, record: WebhookInterestRecord, rights: ReadingRights, now: Callable[[], datetime]
    ) -> None:
        self._record = record
        self._rights = rights
        self._now = now
        self._version: int | None = None
        self._of_vin: dict[str, list[WebhookInterest]] = {}
        self._with_all: frozenset[str] = frozenset()

    def concerns(self, vin: str) -> bool:
        """Return whether some webhook may want to hear of this vehicle."""
        return vin in self._of_vin

    def targets(self, event: WebhookEvent) -> list[WebhookInterest]:
        """Return the webhooks that the event is for, as far as they chose."""
        return [
            each
            for each in self._of_vin.get(event.vin, ())
            if not each.event_types or event.type in each.event_types
        ]

    async def refresh(self) -> None:
        """Read what changed. Raises StorageUnavailableError."""
        version = await self._record.version()
        if version == self._version:
            return
        of_vin: dict[str, list[WebhookInterest]] = {}
        with_all = set()
        for each in await self._record.interests():
            if each.is_for_all:
                with_all.add(each.registrant.principal)
            for vin in each.vins:
                of_vin.setdefault(vin, []).append(each)
        self._of_vin, self._with_all, self._version = of_vin, frozenset(with_all), version

    async def reread(self) -> None:
        """Ask anew for some people which vehicles they have. Raises StorageUnavailableError."""
        now = self._now()
        for principal in await self._record.people_with_all(now - REREAD_VEHICLES, _AT_ONCE):
            try:
                vins = await self._rights.vehicles_of(principal)
            except NotKnownNowError as error:
                _log.info("webhook_vehicles_not_read", reason=str(error))
                return
            await self._record.set_vehicles(principal, vins, now)

    async def access_changed(self, principal: str) -> None:
        """Ask anew which vehicles somebody has whose rights changed, where they have a webhook for all of them.

        Raises StorageUnavailableError. Where access cannot say, it is asked again later.
        """
        if principal not in self._with_all:
            return
        try:
            vins = await self._rights.vehicles_of(principal)
        except NotKnownNowError as error:
            _log.info("webhook_vehicles_not_read", reason=str(error))
            return
        await self._record.set_vehicles(principal, vins, self._now())
        await self.refresh()

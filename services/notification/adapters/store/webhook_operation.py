"""Everybody's webhooks, as operators have them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select, tuple_

from services.notification.adapters.store.tables import webhooks
from services.notification.adapters.store.webhook_rows import (
    backlog_of,
    challenged,
    change_row,
    note_webhook_act,
    row_by_id,
    row_required,
    webhook_of,
    with_backlogs,
)
from services.notification.adapters.store.webhook_vehicles import note_change
from services.notification.domain.webhooks import DisabledReason
from services.notification.usecases.webhook_ports import WebhookPlace

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

    from services.notification.adapters.store.webhook_disabling import WebhookDisabling
    from services.notification.domain.webhooks import Backlog, Webhook
    from services.platform.database import Database


class SqlOperatedWebhooks:
    """usecases.webhook_ports.OperatedWebhookRecord on a database. `disabling` is how one is stopped."""

    def __init__(self, database: Database, disabling: WebhookDisabling) -> None:
        self._database = database
        self._disabling = disabling

    async def page(
        self, principal: str, most: int, after: WebhookPlace | None
    ) -> tuple[list[tuple[Webhook, Backlog]], WebhookPlace | None]:
        """Return some, and the place after which there are more; see the port."""
        columns = (webhooks.c.person, webhooks.c.key_id, webhooks.c.name)
        query = select(webhooks).order_by(*columns).limit(most + 1)
        if principal:
            query = query.where(webhooks.c.person == principal)
        if after is not None:
            query = query.where(tuple_(*columns) > tuple_(*after))
        found = await self._database.read(lambda c: with_backlogs(c, query))
        if len(found) <= most:
            return found, None
        last, _ = found[most - 1]
        return found[:most], WebhookPlace(last.registrant.principal, last.registrant.key_id, last.name)

    async def stop(self, place: WebhookPlace, reason: str, at: datetime) -> tuple[Webhook, Backlog]:
        """Disable it, and tell the registrant's others of it, once; see the port."""

        def work(connection: Connection) -> tuple[Webhook, Backlog]:
            known = row_required(connection, place.registrant, place.name, is_kept=True)
            if known.disabled_reason != DisabledReason.OPERATOR.value:
                self._disabling.disable(connection, known.id, DisabledReason.OPERATOR, at)
                note_webhook_act(
                    connection, "WEBHOOK_STOPPED", place.registrant, place.name, at, known.url, reason
                )
            webhook = webhook_of(row_by_id(connection, known.id))
            return webhook, backlog_of(connection, webhook)

        return await self._database.write(work)

    async def enable(self, place: WebhookPlace, at: datetime) -> tuple[Webhook, Backlog]:
        """Have the URL of one that an operator stopped challenged; see the port."""

        def work(connection: Connection) -> tuple[Webhook, Backlog]:
            known = row_required(connection, place.registrant, place.name, is_kept=True)
            if known.disabled_reason == DisabledReason.OPERATOR.value:
                change_row(connection, known.id, challenged(at))
                note_change(connection)
                note_webhook_act(connection, "WEBHOOK_ENABLED", place.registrant, place.name, at, known.url)
            webhook = webhook_of(row_by_id(connection, known.id))
            return webhook, backlog_of(connection, webhook)

        return await self._database.write(work)

"""Webhooks as their registrants have them."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, insert, select, update

from services.notification.adapters.store.tables import (
    webhook_deliveries,
    webhook_events,
    webhooks,
)
from services.notification.adapters.store.webhook_events import add_deliveries, add_events
from services.notification.adapters.store.webhook_readable import readable, vehicles_told_of, wished
from services.notification.adapters.store.webhook_rows import (
    backlog_of,
    challenged,
    change_row,
    delivery_of,
    note_webhook_act,
    of_registrant,
    row_by_id,
    row_named,
    row_required,
    webhook_host,
    webhook_of,
    with_backlogs,
)
from services.notification.adapters.store.webhook_vehicles import keep_vehicles, lock_person, note_change
from services.notification.domain.webhooks import (
    SECRET_OVERLAP,
    DeliveryStatus,
    DisabledReason,
    OtherWebhookBodyError,
    TooManyWebhooksError,
    WebhookEventUnknownError,
    WebhookNotActiveError,
    WebhookState,
    WebhookStoppedError,
)
from services.notification.usecases.webhook_ports import RegisteredWebhook, WebhookReplayResult

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from datetime import datetime, timedelta

    from sqlalchemy import Connection

    from services.notification.domain.webhooks import Backlog, Registrant, Webhook, WebhookEvent, WebhookWish
    from services.notification.usecases.webhook_ports import ReadRight, WebhookDelivery
    from services.platform.database import Database

MOST_REPLAYED = 10_000


class SqlWebhooks:
    """usecases.webhook_ports.WebhookRecord on a database. `new_secret` makes a sealed secret for a webhook."""

    def __init__(
        self, database: Database, new_secret: Callable[[str], tuple[str, bytes]], keep: timedelta
    ) -> None:
        self._database = database
        self._new_secret = new_secret
        self._keep = keep

    async def register(
        self,
        registrant: Registrant,
        name: str,
        wish: WebhookWish,
        correlation_id: str,
        *,
        most: int,
        vehicles: Collection[str],
        at: datetime,
    ) -> RegisteredWebhook:
        """Keep it; see the port."""

        def work(connection: Connection) -> RegisteredWebhook:
            lock_person(connection, registrant.principal, at)
            if not wish.vins:
                keep_vehicles(connection, registrant.principal, vehicles, at)
            known = row_named(connection, registrant, name, is_kept=True)
            if known is None:
                return self._add(connection, registrant, name, wish, correlation_id, most, at)
            again = known.registration_id == correlation_id
            row = _row_of(wish)
            changed = {key: value for key, value in row.items() if getattr(known, key) != value}
            if again and changed:
                raise OtherWebhookBodyError
            if changed:
                values = {**changed, "updated_at": at}
                if "url" in changed and known.disabled_reason != DisabledReason.OPERATOR.value:
                    values |= challenged(at)
                change_row(connection, known.id, values)
                note_change(connection)
                note_webhook_act(connection, "WEBHOOK_CHANGED", registrant, name, at, wish.url)
            webhook = webhook_of(row_by_id(connection, known.id))
            # Once it was rotated, its secret is another request's to be told.
            is_first = again and known.previous_secret is None
            return RegisteredWebhook(webhook, bytes(known.secret) if is_first else None)

        return await self._database.write(work)

    def _add(
        self,
        connection: Connection,
        registrant: Registrant,
        name: str,
        wish: WebhookWish,
        correlation_id: str,
        most: int,
        at: datetime,
    ) -> RegisteredWebhook:
        count = select(func.count()).select_from(webhooks).where(of_registrant(registrant))
        if connection.execute(count).scalar_one() >= most:
            raise TooManyWebhooksError(most)
        internal = uuid.uuid4().hex
        _, sealed = self._new_secret(internal)
        connection.execute(
            insert(webhooks).values(
                id=internal,
                person=registrant.principal,
                key_id=registrant.key_id,
                name=name,
                **_row_of(wish),
                last_failure="",
                registered_at=at,
                registration_id=correlation_id,
                updated_at=at,
                secret=sealed,
                rotation_id="",
                taken_at=at,
                heartbeat_at=at,
                **challenged(at),
            )
        )
        note_change(connection)
        note_webhook_act(connection, "WEBHOOK_REGISTERED", registrant, name, at, wish.url)
        return RegisteredWebhook(webhook_of(row_by_id(connection, internal)), sealed)

    async def listed(self, registrant: Registrant) -> list[tuple[Webhook, Backlog]]:
        """Return a registrant's, the oldest first."""
        query = (
            select(webhooks)
            .where(of_registrant(registrant))
            .order_by(webhooks.c.registered_at, webhooks.c.name)
        )
        return await self._database.read(lambda c: with_backlogs(c, query))

    async def found(self, registrant: Registrant, name: str) -> tuple[Webhook, Backlog]:
        """Return one. Raises WebhookUnknownError."""

        def work(connection: Connection) -> tuple[Webhook, Backlog]:
            webhook = webhook_of(row_required(connection, registrant, name))
            return webhook, backlog_of(connection, webhook)

        return await self._database.read(work)

    async def delete(self, registrant: Registrant, name: str, at: datetime) -> None:
        """Let go of it and of what waits for it."""

        def work(connection: Connection) -> None:
            known = row_named(connection, registrant, name)
            if known is None:
                return
            connection.execute(delete(webhook_deliveries).where(webhook_deliveries.c.webhook == known.id))
            connection.execute(delete(webhooks).where(webhooks.c.id == known.id))
            note_change(connection)
            note_webhook_act(connection, "WEBHOOK_DELETED", registrant, name, at, known.url)

        await self._database.write(work)

    async def rotate(
        self, registrant: Registrant, name: str, correlation_id: str, at: datetime
    ) -> RegisteredWebhook:
        """Make a new secret, once for each correlation id. Raises WebhookUnknownError."""

        def work(connection: Connection) -> RegisteredWebhook:
            known = row_required(connection, registrant, name)
            sealed = bytes(known.secret)
            if known.rotation_id != correlation_id:
                _, sealed = self._new_secret(known.id)
                values = {
                    "secret": sealed,
                    "previous_secret": known.secret,
                    "previous_until": at + SECRET_OVERLAP,
                    "rotation_id": correlation_id,
                    "updated_at": at,
                }
                change_row(connection, known.id, values)
                note_webhook_act(connection, "WEBHOOK_SECRET_ROTATED", registrant, name, at, known.url)
            return RegisteredWebhook(webhook_of(row_by_id(connection, known.id)), sealed)

        return await self._database.write(work)

    async def challenge_again(self, registrant: Registrant, name: str, at: datetime) -> Webhook:
        """Have its URL challenged, unless it is ACTIVE; see the port."""

        def work(connection: Connection) -> Webhook:
            known = row_required(connection, registrant, name, is_kept=True)
            if known.disabled_reason == DisabledReason.OPERATOR.value:
                raise WebhookStoppedError
            if known.state != WebhookState.ACTIVE.value:
                change_row(connection, known.id, challenged(at))
                note_change(connection)
                note_webhook_act(connection, "WEBHOOK_ENABLED", registrant, name, at, known.url)
            return webhook_of(row_by_id(connection, known.id))

        return await self._database.write(work)

    async def add_own_event(self, webhook: Webhook, event: WebhookEvent, at: datetime) -> WebhookDelivery:
        """Send it an event of its own, once. Raises WebhookNotActiveError."""

        def work(connection: Connection) -> WebhookDelivery:
            row = connection.execute(select(webhooks.c.state).where(webhooks.c.id == webhook.id)).first()
            if row is None or row.state != WebhookState.ACTIVE.value:
                raise WebhookNotActiveError
            add_events(connection, [event], at)
            add_deliveries(connection, event, [webhook], at, self._keep)
            query = _deliveries(webhook.id).where(webhook_deliveries.c.event_id == event.key)
            return delivery_of(connection.execute(query).one())

        return await self._database.write(work)

    async def vehicles_told_of(self, registrant: Registrant, name: str) -> list[str]:
        """Return the VINs of which it has deliveries. Raises WebhookUnknownError."""

        def work(connection: Connection) -> list[str]:
            return vehicles_told_of(connection, row_required(connection, registrant, name).id)

        return await self._database.read(work)

    async def readable_backlog(self, webhook: Webhook, rights: Mapping[str, ReadRight]) -> Backlog:
        """Return what waits for it of what these rights let them read."""
        which = readable(rights) & wished(webhook.wish)
        return await self._database.read(lambda c: backlog_of(c, webhook, which))

    async def deliveries(
        self,
        registrant: Registrant,
        name: str,
        status: DeliveryStatus | None,
        limit: int,
        offset: int,
        rights: Mapping[str, ReadRight],
    ) -> tuple[list[WebhookDelivery], int]:
        """Return some of this status, the newest event first, and how many there are; see the port."""

        def work(connection: Connection) -> tuple[list[WebhookDelivery], int]:
            known = row_required(connection, registrant, name)
            query = _deliveries(known.id).where(readable(rights))
            if status is not None:
                query = query.where(webhook_deliveries.c.status == status.value)
            count = query.with_only_columns(func.count())
            query = query.order_by(webhook_deliveries.c.position.desc(), webhook_deliveries.c.event_id)
            rows = connection.execute(query.limit(limit).offset(offset))
            return [delivery_of(row) for row in rows], connection.execute(count).scalar_one()

        return await self._database.read(work)

    async def replay(
        self,
        registrant: Registrant,
        name: str,
        correlation_id: str,
        *,
        after: str,
        since: datetime | None,
        at: datetime,
        rights: Mapping[str, ReadRight],
    ) -> WebhookReplayResult:
        """Send once more what came after the event `after`, or happened `since` then; see the port."""

        def work(connection: Connection) -> WebhookReplayResult:
            known = row_required(connection, registrant, name)
            if known.state != WebhookState.ACTIVE.value:
                raise WebhookNotActiveError
            if known.replay is not None and json.loads(known.replay)[0] == correlation_id:
                return WebhookReplayResult(*json.loads(known.replay)[1:])
            result = self._replay(connection, webhook_of(known), after, since, at, rights)
            change_row(connection, known.id, {"replay": json.dumps([correlation_id, *result])})
            note_webhook_act(connection, "WEBHOOK_REPLAYED", registrant, name, at, known.url)
            return result

        return await self._database.write(work)

    def _replay(
        self,
        connection: Connection,
        webhook: Webhook,
        after: str,
        since: datetime | None,
        at: datetime,
        rights: Mapping[str, ReadRight],
    ) -> WebhookReplayResult:
        columns = webhook_deliveries.c
        query = _deliveries(webhook.id).where(columns.vin != "", readable(rights), wished(webhook.wish))
        if since is not None:
            query = query.where(webhook_events.c.occurred_at >= since)
        else:
            place = connection.execute(
                _deliveries(webhook.id).where(webhook_events.c.shown_id == after)
            ).first()
            if place is None:
                raise WebhookEventUnknownError
            query = query.where(columns.position > place.position)
        rows = connection.execute(query.order_by(columns.position).limit(MOST_REPLAYED + 1)).all()
        chosen = rows[:MOST_REPLAYED]
        values = {
            "status": DeliveryStatus.PENDING.value,
            "attempts": 0,
            "due_at": at,
            "expires_at": at + self._keep,
            "failure": "",
            "delivered_at": None,
        }
        for row in chosen:
            if row.status != DeliveryStatus.PENDING.value:
                which = (columns.webhook == webhook.id) & (columns.event_id == row.event_id)
                connection.execute(update(webhook_deliveries).where(which).values(values))
        return WebhookReplayResult(
            len(chosen), len(rows) > MOST_REPLAYED, chosen[-1].shown_id if chosen else ""
        )


def _row_of(wish: WebhookWish) -> dict[str, Any]:
    return {
        "url": wish.url,
        "host": webhook_host(wish.url),
        "event_types": " ".join(wish.event_types),
        "vins": " ".join(wish.vins),
        "description": wish.description,
    }


def _deliveries(webhook: str) -> Any:
    return (
        select(
            webhook_deliveries,
            webhook_events.c.shown_id,
            webhook_events.c.type,
            webhook_events.c.occurred_at,
        )
        .join(webhook_events, webhook_events.c.event_id == webhook_deliveries.c.event_id)
        .where(webhook_deliveries.c.webhook == webhook)
    )

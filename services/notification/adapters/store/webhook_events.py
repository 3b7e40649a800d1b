"""What happened that webhooks are sent, and which webhooks want to hear of what."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import exists, select

from services.notification.adapters.store.tables import (
    insert_new,
    webhook_changes,
    webhook_deliveries,
    webhook_events,
    webhook_people,
    webhook_vehicles,
    webhooks,
)
from services.notification.adapters.store.webhook_rows import of_registrant, webhook_of
from services.notification.adapters.store.webhook_vehicles import keep_vehicles
from services.notification.domain.webhooks import DeliveryStatus, Registrant, WebhookState
from services.notification.usecases.webhook_ports import WebhookInterest

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime, timedelta

    from sqlalchemy import ColumnElement, Connection

    from services.notification.domain.webhooks import Webhook, WebhookEvent
    from services.platform.database import Database


def add_events(connection: Connection, events: Sequence[WebhookEvent], at: datetime) -> list[WebhookEvent]:
    """Keep those that are not known; return them."""
    statement = insert_new(connection, webhook_events)
    return [
        event
        for event in events
        if connection.execute(
            statement.values(
                event_id=event.key,
                shown_id=event.shown_id,
                type=event.type,
                vin=event.vin,
                occurred_at=event.occurred_at,
                position=event.position,
                owners_only=event.owners_only,
                body=event.body,
                received_at=at,
            )
        ).rowcount
    ]


def add_deliveries(
    connection: Connection,
    event: WebhookEvent,
    webhooks_of: Sequence[Webhook | WebhookInterest],
    at: datetime,
    keep: timedelta,
) -> int:
    """Have an event sent to each of these webhooks, once; return how many it is new for. For one that is disabled it is
    held. For one that is gone, as what is known in memory may not say yet, nothing is kept.
    """
    names = [each.webhook if isinstance(each, WebhookInterest) else each.id for each in webhooks_of]
    # None of them goes, with its deliveries, while one is added.
    there = select(webhooks.c.id).where(webhooks.c.id.in_(names)).order_by(webhooks.c.id)
    still = set(connection.execute(there.with_for_update(read=True, key_share=True)).scalars())
    statement = insert_new(connection, webhook_deliveries)
    added = 0
    for name, each in zip(names, webhooks_of, strict=True):
        if name not in still:
            continue
        held = each.state is WebhookState.DISABLED
        new = statement.values(
            webhook=name,
            event_id=event.key,
            person=each.registrant.principal,
            vin=event.vin,
            position=event.position,
            status=(DeliveryStatus.HELD if held else DeliveryStatus.PENDING).value,
            attempts=0,
            due_at=at,
            expires_at=at + keep,
            received_at=at,
            failure="",
        )
        added += connection.execute(new).rowcount
    return added


def is_sent_nobody(at: datetime) -> ColumnElement[bool]:
    """Return which events from before `at` have no delivery, and are kept for nobody."""
    is_sent = exists().where(webhook_deliveries.c.event_id == webhook_events.c.event_id)
    return (webhook_events.c.received_at < at) & ~is_sent


def announce_to_others(
    connection: Connection, webhook: Webhook, event: WebhookEvent, at: datetime, keep: timedelta
) -> int:
    """Have it sent to the registrant's other webhooks that are ACTIVE; return how many."""
    active = webhooks.c.state == WebhookState.ACTIVE.value
    query = select(webhooks).where(of_registrant(webhook.registrant), webhooks.c.id != webhook.id, active)
    others = [webhook_of(row) for row in connection.execute(query)]
    if others:
        add_events(connection, [event], at)
        add_deliveries(connection, event, others, at, keep)
    return len(others)


class SqlWebhookInterests:
    """usecases.webhook_ports.WebhookInterestRecord on a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def version(self) -> int:
        """Return what changes whenever an interest does."""
        query = select(webhook_changes.c.number)
        return await self._database.read(lambda c: c.execute(query).scalar() or 0)

    async def interests(self) -> list[WebhookInterest]:
        """Return those of all webhooks."""

        def work(connection: Connection) -> list[WebhookInterest]:
            vehicles: dict[str, set[str]] = {}
            for row in connection.execute(select(webhook_vehicles)):
                vehicles.setdefault(row.person, set()).add(row.vin)
            columns = webhooks.c
            query = select(
                columns.id, columns.person, columns.key_id, columns.event_types, columns.vins, columns.state
            )
            return [
                WebhookInterest(
                    row.id,
                    Registrant(row.person, row.key_id),
                    frozenset(row.event_types.split()),
                    frozenset(row.vins.split() or vehicles.get(row.person, ())),
                    WebhookState(row.state),
                    is_for_all=not row.vins,
                )
                for row in connection.execute(query)
            ]

        return await self._database.read(work)

    async def people_with_all(self, read_before: datetime, most: int) -> list[str]:
        """Return principals with a webhook for all of their vehicles, whose vehicles were last read before then."""
        everything = select(webhooks.c.person).where(webhooks.c.vins == "")
        query = (
            select(webhook_people.c.person)
            .where(webhook_people.c.read_at < read_before, webhook_people.c.person.in_(everything))
            .order_by(webhook_people.c.read_at)
            .limit(most)
        )
        return await self._database.read(lambda c: list(c.execute(query).scalars()))

    async def set_vehicles(self, principal: str, vins: Collection[str], at: datetime) -> None:
        """Keep which vehicles somebody has, as far as they have a webhook for all of them."""
        await self._database.write(lambda c: keep_vehicles(c, principal, vins, at))

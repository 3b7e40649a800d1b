"""What of a webhook's deliveries its registrant may read now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import and_, case, literal, or_, select, true

from services.notification.adapters.store.tables import webhook_deliveries, webhook_events

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import ColumnElement, Connection

    from services.notification.domain.webhooks import WebhookWish
    from services.notification.usecases.webhook_ports import ReadRight


def vehicles_told_of(connection: Connection, webhook: str) -> list[str]:
    """Return the VINs of which a webhook has deliveries."""
    columns = webhook_deliveries.c
    query = select(columns.vin).where(columns.webhook == webhook, columns.vin != "").distinct()
    return list(connection.execute(query).scalars())


def wished(wish: WebhookWish) -> ColumnElement[bool]:
    """Return which deliveries, joined with their events, a webhook is to be sent as it is now."""
    columns = webhook_deliveries.c
    chosen: list[ColumnElement[bool]] = [true()]
    if wish.event_types:
        chosen.append(webhook_events.c.type.in_(wish.event_types))
    if wish.vins:
        chosen.append(columns.vin.in_(wish.vins))
    return or_(columns.vin == "", and_(*chosen))


def readable(rights: Mapping[str, ReadRight]) -> ColumnElement[bool]:
    """Return which deliveries, joined with their events, these rights let somebody read; what is about no vehicle,
    anybody.
    """
    columns, events = webhook_deliveries.c, webhook_events.c
    allowed: list[ColumnElement[bool]] = [columns.vin == ""]
    for is_owner in (True, False):
        since = {vin: right.since for vin, right in rights.items() if right.is_owner == is_owner}
        if not since:
            continue
        times = {vin: literal(at, events.occurred_at.type) for vin, at in since.items()}
        some = events.occurred_at >= case(times, value=columns.vin)  # of no other vehicle: NULL
        allowed.append(some if is_owner else and_(some, events.owners_only.is_(False)))
    return or_(*allowed)

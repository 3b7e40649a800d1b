"""What becomes of a webhook by what became of a call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import or_, select, update

from services.notification.adapters.store.tables import webhook_deliveries, webhooks
from services.notification.adapters.store.webhook_rows import MOST_FAILURE, change_row
from services.notification.domain.webhooks import DeliveryStatus, DisabledReason, WebhookState

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

    from services.notification.adapters.store.webhook_disabling import WebhookDisabling
    from services.notification.domain.webhooks import CallResult, DisableRule


def note_taken(connection: Connection, webhook: str, at: datetime) -> None:
    """Note that a URL took something. If it had failed before, what waits for it is due at once."""
    row = connection.execute(select(webhooks.c.failures).where(webhooks.c.id == webhook)).first()
    if row is None:
        return
    values: dict[str, Any] = {"last_delivered_at": at}
    if row.failures:
        values |= {"failures": 0, "failing_since": None, "resting_until": None, "last_failure": ""}
        waits = (webhook_deliveries.c.webhook == webhook) & (
            webhook_deliveries.c.status == DeliveryStatus.PENDING.value
        )
        # What is under way stays whoever's it is.
        is_free = or_(webhook_deliveries.c.taken_until.is_(None), webhook_deliveries.c.taken_until <= at)
        connection.execute(update(webhook_deliveries).where(waits, is_free).values(due_at=at))
    connection.execute(update(webhooks).where(webhooks.c.id == webhook).values(values))


def note_heartbeat_taken(connection: Connection, webhook: str, at: datetime) -> None:
    """Note that a URL took a heartbeat. That says nothing of deliveries that it refuses: where some wait, they count
    on, and one of them is due, to be tried. Where none does, it is as with a delivery.
    """
    refused = (
        (webhook_deliveries.c.webhook == webhook)
        & (webhook_deliveries.c.status == DeliveryStatus.PENDING.value)
        & (webhook_deliveries.c.failure != "")
    )
    query = select(webhook_deliveries.c.event_id, webhook_deliveries.c.taken_until).where(refused)
    first = connection.execute(
        query.order_by(webhook_deliveries.c.attempts, webhook_deliveries.c.position).limit(1)
    ).first()
    if first is None:
        note_taken(connection, webhook, at)
        return
    change_row(connection, webhook, {"last_delivered_at": at})
    if first.taken_until is None or first.taken_until <= at:
        which = refused & (webhook_deliveries.c.event_id == first.event_id)
        connection.execute(update(webhook_deliveries).where(which).values(due_at=at))


def note_failed(
    connection: Connection,
    webhook: str,
    result: CallResult,
    rest_until: datetime,
    rule: DisableRule,
    at: datetime,
    disabling: WebhookDisabling,
) -> DisabledReason | None:
    """Note that a URL failed; return why its webhook is disabled by that."""
    row = connection.execute(
        select(webhooks.c.failures, webhooks.c.failing_since, webhooks.c.state)
        .where(webhooks.c.id == webhook)
        .with_for_update(key_share=True)
    ).first()
    if row is None or row.state != WebhookState.ACTIVE.value:
        return None
    failures, since = row.failures + 1, row.failing_since or at
    reason = None
    if result.outcome.value == DisabledReason.GONE.value:
        reason = DisabledReason.GONE
    elif rule.is_met(failures, since, at):
        reason = DisabledReason.FAILING
    values = {
        "failures": failures,
        "failing_since": since,
        "resting_until": rest_until,
        "last_failure": result.failure[:MOST_FAILURE],
    }
    change_row(connection, webhook, values)
    if reason is not None:
        disabling.disable(connection, webhook, reason, at)
    return reason

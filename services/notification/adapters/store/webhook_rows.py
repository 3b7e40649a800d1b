"""What rows say of webhooks, and how one row is changed by what becomes of a call."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from sqlalchemy import func, select, update

from services.notification.adapters.store.tables import webhook_deliveries, webhook_events, webhooks
from services.notification.domain.webhooks import (
    Backlog,
    DeliveryStatus,
    DisabledReason,
    Registrant,
    Webhook,
    WebhookEvent,
    WebhookState,
    WebhookUnknownError,
    WebhookWish,
)
from services.notification.usecases.webhook_ports import WebhookDelivery
from services.platform.audited_database import AuditedAct, note_act

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection, Row

MOST_FAILURE = 64
_REASONS = frozenset(each.value for each in DisabledReason)


def webhook_of(row: Row[Any]) -> Webhook:
    """Return the webhook that a row says."""
    reason = DisabledReason(row.disabled_reason) if row.disabled_reason in _REASONS else None
    return Webhook(
        row.id,
        Registrant(row.person, row.key_id),
        row.name,
        WebhookWish(row.url, tuple(row.event_types.split()), tuple(row.vins.split()), row.description),
        WebhookState(row.state),
        row.registered_at,
        row.updated_at,
        reason,
        row.disabled_at,
        row.last_failure,
        row.last_delivered_at,
        row.previous_until,
        row.failures,
        row.failing_since,
    )


def secrets_of(row: Row[Any], at: datetime) -> tuple[bytes, ...]:
    """Return the sealed secrets of a row that sign now, the newest first."""
    secrets: tuple[bytes, ...] = (bytes(row.secret),)
    if row.previous_secret is not None and row.previous_until is not None and row.previous_until > at:
        secrets += (bytes(row.previous_secret),)
    return secrets


def event_of(row: Row[Any]) -> WebhookEvent:
    """Return the event that a row says."""
    return WebhookEvent(
        row.event_id,
        row.shown_id,
        row.type,
        row.vin,
        row.occurred_at,
        row.position,
        row.body,
        row.owners_only,
    )


def delivery_of(row: Row[Any]) -> WebhookDelivery:
    """Return what a row of deliveries, joined with its event, says."""
    return WebhookDelivery(
        row.shown_id,
        row.type,
        row.vin,
        row.occurred_at,
        DeliveryStatus(row.status),
        row.attempts,
        row.due_at,
        row.last_attempt_at,
        row.response_status,
        row.failure,
        row.delivered_at,
    )


def backlog_of(connection: Connection, webhook: Webhook, which: ColumnElement[bool] | None = None) -> Backlog:
    """Return what waits for a webhook, or which of it is asked for."""
    query = (
        select(
            func.count(),
            func.min(webhook_events.c.occurred_at),
            func.min(webhook_deliveries.c.due_at),
        )
        .select_from(webhook_deliveries)
        .join(webhook_events, webhook_events.c.event_id == webhook_deliveries.c.event_id)
        .where(
            webhook_deliveries.c.webhook == webhook.id,
            webhook_deliveries.c.status == DeliveryStatus.PENDING.value,
        )
    )
    if which is not None:
        query = query.where(which)
    waiting, oldest, due = connection.execute(query).one()
    return Backlog(waiting, oldest, due if webhook.state is WebhookState.ACTIVE else None)


def disabled(reason: DisabledReason, at: datetime) -> dict[str, Any]:
    """Return what a row says of a webhook that is disabled."""
    return {
        "state": WebhookState.DISABLED.value,
        "disabled_reason": reason.value,
        "disabled_at": at,
        "challenge_at": None,
    }


def webhook_host(url: str) -> str:
    """Return the host whose places calls of this URL take."""
    return urlsplit(url).netloc.lower()[:255]


def url_digest(url: str) -> str:
    """Return what tells URLs apart where they are not told: SHA-256, in hexadecimal."""
    return hashlib.sha256(url.encode()).hexdigest()


def with_backlogs(connection: Connection, query: Any) -> list[tuple[Webhook, Backlog]]:
    """Return the webhooks of a query of whole rows, and what waits for each."""
    found = [webhook_of(row) for row in connection.execute(query).all()]
    return [(each, backlog_of(connection, each)) for each in found]


def challenged(at: datetime) -> dict[str, Any]:
    """Return what a row says of a webhook whose URL is to be challenged."""
    return {
        "state": WebhookState.PENDING.value,
        "disabled_reason": None,
        "disabled_at": None,
        "challenge_at": at,
        "challenges": 0,
        "failures": 0,
        "failing_since": None,
        "resting_until": None,
    }


def of_registrant(registrant: Registrant) -> ColumnElement[bool]:
    """Return which rows are a registrant's."""
    return (webhooks.c.person == registrant.principal) & (webhooks.c.key_id == registrant.key_id)


def row_named(
    connection: Connection, registrant: Registrant, name: str, *, is_kept: bool = False
) -> Row[Any] | None:
    """Return the row of one; `is_kept` from being changed by others until the transaction ends."""
    query = select(webhooks).where(of_registrant(registrant), webhooks.c.name == name)
    # Not its key: what is added for it meanwhile, by one that tells it of another, need not wait.
    return connection.execute(query.with_for_update(key_share=True) if is_kept else query).first()


def row_required(
    connection: Connection, registrant: Registrant, name: str, *, is_kept: bool = False
) -> Row[Any]:
    """Return the same. Raises WebhookUnknownError."""
    row = row_named(connection, registrant, name, is_kept=is_kept)
    if row is None:
        raise WebhookUnknownError
    return row


def row_by_id(connection: Connection, webhook: str) -> Row[Any]:
    """Return the row of one that is there, by its own id."""
    return connection.execute(select(webhooks).where(webhooks.c.id == webhook)).one()


def change_row(connection: Connection, webhook: str, values: dict[str, Any]) -> None:
    """Change the row of one, by its own id."""
    connection.execute(update(webhooks).where(webhooks.c.id == webhook).values(values))


def note_webhook_act(
    connection: Connection,
    kind: str,
    registrant: Registrant,
    name: str,
    at: datetime,
    url: str,
    reason: str = "",
) -> None:
    """Have the audit ledger told of it: which webhook, its host, and a digest of its URL, which may hold secrets; and
    why, where that was said.
    """
    detail = {
        "webhook": name,
        "host": webhook_host(url),
        "url_sha256": url_digest(url),
        "api_key": registrant.key_id,
    }
    if reason:
        detail["reason"] = reason
    note_act(connection, AuditedAct(kind, at, subject=registrant.principal, detail=detail))

"""The tables of this service, and what is done to them. Rows never leave this folder."""

from services.notification.adapters.store.devices import SqlDevices
from services.notification.adapters.store.notices import SqlNotices
from services.notification.adapters.store.tables import (
    HEAD,
    NotificationModel,
    audit_outbox,
    dead_letters,
    holds,
)
from services.notification.adapters.store.updates import SqlUpdates
from services.notification.adapters.store.webhook_disabling import WebhookDisabling
from services.notification.adapters.store.webhook_events import SqlWebhookInterests
from services.notification.adapters.store.webhook_operation import SqlOperatedWebhooks
from services.notification.adapters.store.webhook_outbox import SqlWebhookOutbox
from services.notification.adapters.store.webhook_vehicles import webhooks_erased
from services.notification.adapters.store.webhooks import SqlWebhooks

__all__ = [
    "HEAD",
    "NotificationModel",
    "SqlDevices",
    "SqlNotices",
    "SqlOperatedWebhooks",
    "SqlUpdates",
    "SqlWebhookInterests",
    "SqlWebhookOutbox",
    "SqlWebhooks",
    "WebhookDisabling",
    "audit_outbox",
    "dead_letters",
    "holds",
    "webhooks_erased",
]

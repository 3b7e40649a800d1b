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

__all__ = [
    "HEAD",
    "NotificationModel",
    "SqlDevices",
    "SqlNotices",
    "SqlUpdates",
    "audit_outbox",
    "dead_letters",
    "holds",
]

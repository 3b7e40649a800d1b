"""What each table of this service is kept for, and how long."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import or_

from services.notification.adapters.store.tables import (
    audit_outbox,
    conditions,
    dead_letters,
    devices,
    former_devices,
    holds,
    notices,
    places,
    preferences,
    pushes,
    reminders,
    shown,
    standing_doors,
    webhook_changes,
    webhook_deliveries,
    webhook_events,
    webhook_people,
    webhook_vehicles,
    webhooks,
)
from services.notification.adapters.store.webhook_events import is_sent_nobody
from services.notification.domain.notices import KEEP_FORMER_DEVICES, KEEP_NOTICES, KEEP_SHOWN
from services.platform.kept_data import KeptTable, OnErasure
from services.platform.kept_tables import audit_outbox_line, holds_line, letters_line

if TYPE_CHECKING:
    from collections.abc import Sequence


_TELLING = "telling people what they asked to be told: contract"
_SENDING = "sending people and partners what they asked to be sent: contract"


def kept_tables(
    letters: timedelta, keep_devices: timedelta, keep_events: timedelta = timedelta(days=7)
) -> Sequence[KeptTable]:
    """Return a line for each table. `letters` is how long dead letters are kept, `keep_devices` how long a device is
    that its app does not confirm, `keep_events` how long what webhooks are sent.
    """
    return [
        KeptTable(
            devices,
            "people's devices, and by what their push services reach them",
            _TELLING,
            f"until it is deleted, or {keep_devices.days} days unconfirmed (DOORS_PUSH_DEVICE_DAYS)",
            over=lambda at: devices.c.confirmed_at < at - keep_devices,
            persons=("person",),
            on_erasure=OnErasure.DELETED,
            secret=("token", "token_hash", "p256dh", "auth"),
        ),
        KeptTable(
            former_devices,
            "by what devices were reached that were deleted or replaced, to tell them so",
            "nobody's notices are taken away in silence: security",
            "until they are told, a day at most",
            over=lambda at: former_devices.c.parted_at < at - KEEP_FORMER_DEVICES,
            persons=("person",),
            on_erasure=OnErasure.DELETED,
            secret=("token", "token_hash", "p256dh", "auth"),
        ),
        KeptTable(
            preferences,
            "what people want to be told, in which language, and when not",
            _TELLING,
            "until they change it",
            persons=("person",),
            on_erasure=OnErasure.DELETED,
        ),
        KeptTable(
            places,
            "where people want no reminder: a name of their own, and which vehicle stands there now",
            _TELLING,
            "until it drives off, or the time that they named",
            over=lambda at: places.c.until < at,
            persons=("person",),
            resource="vin",
            on_erasure=OnErasure.DELETED,
        ),
        KeptTable(
            notices,
            "what people are told of, once each",
            "telling it once however often it comes: contract",
            f"{KEEP_NOTICES.days} days",
            over=lambda at: notices.c.received_at < at - KEEP_NOTICES,
            persons=("person",),
            resource="vin",
            on_erasure=OnErasure.DELETED,
        ),
        KeptTable(
            pushes,
            "what waits to be sent to devices",
            _TELLING,
            "until it is sent, or no news any more: 3 days at most",
            over=lambda at: pushes.c.expires_at < at,
            persons=("person",),
            resource="vin",
            on_erasure=OnErasure.DELETED,
        ),
        KeptTable(
            shown,
            "which faults and reminders devices show that have not ended",
            "telling people that they are over: contract",
            f"until they are over, {KEEP_SHOWN.days} days at most",
            over=lambda at: shown.c.shown_at < at - KEEP_SHOWN,
            persons=("person",),
            on_erasure=OnErasure.DELETED,
        ),
        KeptTable(
            standing_doors,
            "how the doors of vehicles stand, for reminders",
            _TELLING,
            "until they stand otherwise",
            resource="vin",
        ),
        KeptTable(
            conditions,
            "since when vehicles have been open or unlocked",
            _TELLING,
            "until they are closed or locked",
            resource="vin",
        ),
        KeptTable(
            reminders,
            "who was reminded of an open or unlocked vehicle",
            "telling them that it is over: contract",
            "until it is closed or locked",
            persons=("person",),
            resource="vin",
            on_erasure=OnErasure.DELETED,
        ),
        KeptTable(
            webhooks,
            "people's and partners' webhooks",
            _SENDING,
            "until they are deleted",
            persons=("person",),
            words=("name", "url", "description"),
            on_erasure=OnErasure.DELETED,
            secret=("secret", "previous_secret"),
        ),
        KeptTable(
            webhook_changes,
            "how often webhooks were changed, so that every replica knows of it",
            "operation",
            "always: one number",
        ),
        KeptTable(
            webhook_people,
            "who has, or had, webhooks, and when it was asked which vehicles they have",
            _SENDING,
            "until they are erased",
            persons=("person",),
            on_erasure=OnErasure.DELETED,
        ),
        KeptTable(
            webhook_vehicles,
            "the vehicles of those who have a webhook for all of theirs",
            _SENDING,
            "until they have no right on it",
            persons=("person",),
            resource="vin",
            on_erasure=OnErasure.DELETED,
        ),
        KeptTable(
            webhook_events,
            "what happened to vehicles that somebody has a webhook for",
            _SENDING,
            f"{keep_events.days} days (DOORS_WEBHOOK_EVENT_DAYS), and at most an hour longer than its deliveries",
            over=lambda at: or_(webhook_events.c.received_at < at - keep_events, is_sent_nobody(at)),
            resource="vin",
        ),
        KeptTable(
            webhook_deliveries,
            "what waits to be sent to webhooks, and what was sent",
            _SENDING,
            f"{keep_events.days} days (DOORS_WEBHOOK_EVENT_DAYS)",
            over=lambda at: webhook_deliveries.c.received_at < at - keep_events,
            persons=("person",),
            resource="vin",
            on_erasure=OnErasure.DELETED,
        ),
        letters_line(dead_letters, letters),
        audit_outbox_line(audit_outbox),
        holds_line(holds),
    ]

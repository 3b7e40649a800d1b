"""The tables of this service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    or_,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import SQLModel

from services.platform.audit_outbox import AuditOutbox
from services.platform.database import Instant
from services.platform.dead_letters import DeadLetters
from services.platform.legal_holds import LegalHolds
from services.telematics.senders import sender_of

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection

HEAD = "0006_webhooks"


class NotificationModel(SQLModel):
    """The base of this service's rows."""

    metadata = MetaData()


_metadata = NotificationModel.metadata

devices = Table(
    "push_device",
    _metadata,
    Column("id", String(32), primary_key=True),
    Column("person", String(128), nullable=False),
    Column("device_id", String(64), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("token", String(2048), nullable=False),
    Column("token_hash", String(64), nullable=False, unique=True),
    Column("p256dh", LargeBinary, nullable=False),
    Column("auth", LargeBinary, nullable=False),
    Column("app", String(128), nullable=False),
    Column("registered_at", Instant, nullable=False),
    Column("confirmed_at", Instant, nullable=False),
    UniqueConstraint("person", "device_id"),
)
"""Devices. `id` is random and never leaves this service."""

former_devices = Table(
    "former_push_device",
    _metadata,
    Column("id", String(32), primary_key=True),
    Column("person", String(128), nullable=False, index=True),
    Column("kind", String(16), nullable=False),
    Column("token", String(2048), nullable=False),
    Column("token_hash", String(64), nullable=False, index=True),
    Column("p256dh", LargeBinary, nullable=False),
    Column("auth", LargeBinary, nullable=False),
    Column("app", String(128), nullable=False),
    Column("parted_at", Instant, nullable=False, index=True),
)
"""By what a device was reached that was deleted, or is reached otherwise now: it is told that, and nothing else."""

preferences = Table(
    "preference",
    _metadata,
    Column("person", String(128), primary_key=True),
    Column("off", String(256), nullable=False),
    Column("language", String(8), nullable=False),
    Column("time_zone", String(64), nullable=False),
    Column("quiet_begins", Integer),
    Column("quiet_until", Integer),
    Column("reminder_minutes", Integer, index=True),
)
"""What people want, one row each; who registers a device has one, by which they are locked."""

places = Table(
    "ignored_place",
    _metadata,
    Column("person", String(128), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("name", String(40), nullable=False),
    Column("vin", String(17), nullable=False, index=True),
    Column("until", Instant),
    Column("set_at", Instant),
)
"""`set_at` is not there in rows of an older version."""

notices = Table(
    "notice",
    _metadata,
    Column("event_id", String(64), primary_key=True),
    Column("vin", String(17), nullable=False, index=True),
    Column("kind", String(16), nullable=False),
    Column("text", String(64), nullable=False),
    Column("audience", String(32), nullable=False),
    Column("occurred_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("about", String(256), nullable=False),
    Column("facts", Text, nullable=False),
    Column("command_id", String(64), nullable=False),
    Column("person", String(128), nullable=False),
    Column("is_resolved", Boolean, nullable=False),
    Column("is_urgent", Boolean, nullable=False),
    Column("received_at", Instant, nullable=False, index=True),
    Column("next_look_at", Instant, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("addressed_at", Instant),
    Column("set_aside", String(200)),
)
"""What happened, once each: the row is there before its message is acknowledged."""
Index(
    "notice_waiting",
    notices.c.next_look_at,
    sqlite_where=notices.c.addressed_at.is_(None),
    postgresql_where=notices.c.addressed_at.is_(None),
)

pushes = Table(
    "push",
    _metadata,
    Column("event_id", String(64), primary_key=True),
    Column("device", String(32), primary_key=True),
    Column("person", String(128), nullable=False),
    Column("vin", String(17), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("collapse", String(32), nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("due_at", Instant, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("set_aside", String(200)),
    Column("host", String(255)),
)
"""The outbox: what waits to be sent to a device. `kind` is the push service's, `host` whose places it takes there (not
there in rows of an older version). A row goes when it is sent.
"""
Index("push_due", pushes.c.kind, pushes.c.due_at)
Index("push_of_device", pushes.c.device, pushes.c.collapse)
Index("push_of_person", pushes.c.person)
Index("push_of_vehicle", pushes.c.vin)

shown = Table(
    "shown",
    _metadata,
    Column("device", String(32), primary_key=True),
    Column("collapse", String(32), primary_key=True),
    Column("person", String(128), nullable=False, index=True),
    Column("shown_at", Instant, nullable=False, index=True),
)
"""Which conditions devices show that have not ended: their end is told whatever was held back meanwhile."""

standing_doors = Table(
    "standing_doors",
    _metadata,
    Column("vin", String(17), primary_key=True),
    Column("doors", Text, nullable=False),
)

conditions = Table(
    "standing_condition",
    _metadata,
    Column("vin", String(17), primary_key=True),
    Column("condition", String(16), primary_key=True),
    Column("since", Instant, nullable=False),
    Column("next_look_at", Instant, index=True),
)
"""What a vehicle is left in; nobody is looked for any more where `next_look_at` is not there."""

reminders = Table(
    "reminder",
    _metadata,
    Column("vin", String(17), primary_key=True),
    Column("condition", String(16), primary_key=True),
    Column("person", String(128), primary_key=True),
    Column("told_at", Instant, nullable=False),
)
"""Whom it was told, so that its end is told to them."""

webhooks = Table(
    "webhook",
    _metadata,
    Column("id", String(32), primary_key=True),
    Column("person", String(128), nullable=False),
    Column("key_id", String(64), nullable=False),
    Column("name", String(64), nullable=False),
    Column("url", String(2048), nullable=False),
    Column("host", String(255), nullable=False, index=True),
    Column("event_types", String(256), nullable=False),
    Column("vins", Text, nullable=False),
    Column("description", String(200), nullable=False),
    Column("state", String(16), nullable=False, index=True),
    Column("disabled_reason", String(32)),
    Column("disabled_at", Instant),
    Column("last_failure", String(64), nullable=False),
    Column("registered_at", Instant, nullable=False),
    Column("registration_id", String(64), nullable=False),
    Column("updated_at", Instant, nullable=False),
    Column("last_delivered_at", Instant),
    Column("secret", LargeBinary, nullable=False),
    Column("previous_secret", LargeBinary),
    Column("previous_until", Instant),
    Column("rotation_id", String(64), nullable=False),
    Column("failures", Integer, nullable=False),
    Column("failing_since", Instant),
    Column("resting_until", Instant),
    Column("taken_at", Instant, nullable=False),
    Column("challenge_at", Instant),
    Column("challenges", Integer, nullable=False),
    Column("heartbeat_at", Instant, nullable=False, index=True),
    Column("replay", Text),
    UniqueConstraint("person", "key_id", "name"),
)
"""Webhooks, of a person or of one of their API keys. `secret` is sealed. `registration_id`, `rotation_id` and `replay`
are of the request, by its correlation id, that is answered again as it was.
"""

webhook_changes = Table(
    "webhook_change",
    _metadata,
    Column("id", Integer, primary_key=True),
    Column("number", BigInteger, nullable=False),
)
"""One row: how often it has changed who wants to hear of what."""

webhook_vehicles = Table(
    "webhook_vehicle",
    _metadata,
    Column("person", String(128), primary_key=True),
    Column("vin", String(17), primary_key=True),
)
"""The vehicles of people who have a webhook for all of theirs."""

webhook_people = Table(
    "webhook_person",
    _metadata,
    Column("person", String(128), primary_key=True),
    Column("read_at", Instant, nullable=False, index=True),
)
"""Who they are, and when access was asked last."""

webhook_events = Table(
    "webhook_event",
    _metadata,
    Column("event_id", String(64), primary_key=True),
    Column("shown_id", String(64), nullable=False),
    Column("type", String(32), nullable=False),
    Column("vin", String(17), nullable=False, index=True),
    Column("occurred_at", Instant, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("owners_only", Boolean, nullable=False),
    Column("body", Text, nullable=False),
    Column("received_at", Instant, nullable=False, index=True),
)
"""What happened to vehicles that somebody has a webhook for, once each."""

webhook_deliveries = Table(
    "webhook_delivery",
    _metadata,
    Column("webhook", String(32), primary_key=True),
    Column("event_id", String(64), primary_key=True),
    Column("person", String(128), nullable=False, index=True),
    Column("vin", String(17), nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("status", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due_at", Instant, nullable=False),
    Column("taken_until", Instant),
    Column("expires_at", Instant, nullable=False),
    Column("received_at", Instant, nullable=False, index=True),
    Column("last_attempt_at", Instant),
    Column("response_status", Integer),
    Column("failure", String(64), nullable=False),
    Column("delivered_at", Instant),
)
"""The outbox of webhooks, and what became of it."""
Index(
    "webhook_delivery_due",
    webhook_deliveries.c.webhook,
    webhook_deliveries.c.status,
    webhook_deliveries.c.due_at,
)
Index("webhook_delivery_listed", webhook_deliveries.c.webhook, webhook_deliveries.c.position)
Index("webhook_delivery_of_event", webhook_deliveries.c.event_id)
Index("webhook_delivery_of_vehicle", webhook_deliveries.c.vin, webhook_deliveries.c.person)
Index("webhook_delivery_expiring", webhook_deliveries.c.status, webhook_deliveries.c.expires_at)
_IS_TAKEN = webhook_deliveries.c.taken_until.is_not(None)
Index(
    "webhook_delivery_taken",
    webhook_deliveries.c.webhook,
    webhook_deliveries.c.taken_until,
    sqlite_where=_IS_TAKEN,
    postgresql_where=_IS_TAKEN,
)

audit_outbox = AuditOutbox(_metadata)
dead_letters = DeadLetters(_metadata, sender_of)
holds = LegalHolds(_metadata)


def set_before(at: datetime) -> ColumnElement[bool]:
    """Return which places were set by then; those of which it is not known were."""
    return or_(places.c.set_at.is_(None), places.c.set_at <= at)


def insert_new(connection: Connection, table: Table) -> Any:
    """Return an INSERT that leaves a row that is there as it is."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    return dialect.insert(table).on_conflict_do_nothing()

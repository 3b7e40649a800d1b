"""webhooks"""

import sqlalchemy as sa
from alembic import op

revision = "0006_webhooks"
down_revision = "0005_push_host"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "webhook",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("person", sa.String(length=128), nullable=False),
        sa.Column("key_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("url", sa.String(length=2048), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("event_types", sa.String(length=256), nullable=False),
        sa.Column("vins", sa.Text(), nullable=False),
        sa.Column("description", sa.String(length=200), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("disabled_reason", sa.String(length=32), nullable=True),
        sa.Column("disabled_at", sa.BigInteger(), nullable=True),
        sa.Column("last_failure", sa.String(length=64), nullable=False),
        sa.Column("registered_at", sa.BigInteger(), nullable=False),
        sa.Column("registration_id", sa.String(length=64), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("last_delivered_at", sa.BigInteger(), nullable=True),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("previous_secret", sa.LargeBinary(), nullable=True),
        sa.Column("previous_until", sa.BigInteger(), nullable=True),
        sa.Column("rotation_id", sa.String(length=64), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("failing_since", sa.BigInteger(), nullable=True),
        sa.Column("resting_until", sa.BigInteger(), nullable=True),
        sa.Column("taken_at", sa.BigInteger(), nullable=False),
        sa.Column("challenge_at", sa.BigInteger(), nullable=True),
        sa.Column("challenges", sa.Integer(), nullable=False),
        sa.Column("heartbeat_at", sa.BigInteger(), nullable=False),
        sa.Column("replay", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("person", "key_id", "name"),
    )
    with op.batch_alter_table("webhook", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_webhook_heartbeat_at"), ["heartbeat_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_webhook_host"), ["host"], unique=False)
        batch_op.create_index(batch_op.f("ix_webhook_state"), ["state"], unique=False)

    op.create_table(
        "webhook_change",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "webhook_delivery",
        sa.Column("webhook", sa.String(length=32), nullable=False),
        sa.Column("event_id", sa.String(length=64), nullable=False),
        sa.Column("person", sa.String(length=128), nullable=False),
        sa.Column("vin", sa.String(length=17), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("taken_until", sa.BigInteger(), nullable=True),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("last_attempt_at", sa.BigInteger(), nullable=True),
        sa.Column("response_status", sa.Integer(), nullable=True),
        sa.Column("failure", sa.String(length=64), nullable=False),
        sa.Column("delivered_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("webhook", "event_id"),
    )
    with op.batch_alter_table("webhook_delivery", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_webhook_delivery_person"), ["person"], unique=False)
        batch_op.create_index(batch_op.f("ix_webhook_delivery_received_at"), ["received_at"], unique=False)
        batch_op.create_index("webhook_delivery_due", ["webhook", "status", "due_at"], unique=False)
        batch_op.create_index("webhook_delivery_listed", ["webhook", "position"], unique=False)
        batch_op.create_index("webhook_delivery_of_event", ["event_id"], unique=False)
        batch_op.create_index("webhook_delivery_of_vehicle", ["vin", "person"], unique=False)
        batch_op.create_index("webhook_delivery_expiring", ["status", "expires_at"], unique=False)
        batch_op.create_index(
            "webhook_delivery_taken",
            ["webhook", "taken_until"],
            unique=False,
            sqlite_where=sa.text("taken_until IS NOT NULL"),
            postgresql_where=sa.text("taken_until IS NOT NULL"),
        )

    op.create_table(
        "webhook_event",
        sa.Column("event_id", sa.String(length=64), nullable=False),
        sa.Column("shown_id", sa.String(length=64), nullable=False),
        sa.Column("type", sa.String(length=32), nullable=False),
        sa.Column("vin", sa.String(length=17), nullable=False),
        sa.Column("occurred_at", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("owners_only", sa.Boolean(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("event_id"),
    )
    with op.batch_alter_table("webhook_event", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_webhook_event_received_at"), ["received_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_webhook_event_vin"), ["vin"], unique=False)

    op.create_table(
        "webhook_person",
        sa.Column("person", sa.String(length=128), nullable=False),
        sa.Column("read_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("person"),
    )
    with op.batch_alter_table("webhook_person", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_webhook_person_read_at"), ["read_at"], unique=False)

    op.create_table(
        "webhook_vehicle",
        sa.Column("person", sa.String(length=128), nullable=False),
        sa.Column("vin", sa.String(length=17), nullable=False),
        sa.PrimaryKeyConstraint("person", "vin"),
    )


def downgrade() -> None:
    op.drop_table("webhook_vehicle")
    with op.batch_alter_table("webhook_person", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_webhook_person_read_at"))

    op.drop_table("webhook_person")
    with op.batch_alter_table("webhook_event", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_webhook_event_vin"))
        batch_op.drop_index(batch_op.f("ix_webhook_event_received_at"))

    op.drop_table("webhook_event")
    with op.batch_alter_table("webhook_delivery", schema=None) as batch_op:
        batch_op.drop_index("webhook_delivery_taken")
        batch_op.drop_index("webhook_delivery_expiring")
        batch_op.drop_index("webhook_delivery_of_vehicle")
        batch_op.drop_index("webhook_delivery_of_event")
        batch_op.drop_index("webhook_delivery_listed")
        batch_op.drop_index("webhook_delivery_due")
        batch_op.drop_index(batch_op.f("ix_webhook_delivery_received_at"))
        batch_op.drop_index(batch_op.f("ix_webhook_delivery_person"))

    op.drop_table("webhook_delivery")
    op.drop_table("webhook_change")
    with op.batch_alter_table("webhook", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_webhook_state"))
        batch_op.drop_index(batch_op.f("ix_webhook_host"))
        batch_op.drop_index(batch_op.f("ix_webhook_heartbeat_at"))

    op.drop_table("webhook")

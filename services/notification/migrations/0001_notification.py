"""The tables of the notification service."""

import sqlalchemy as sa
from alembic import op

revision = "0001_notification"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "audit_outbox",
        sa.Column(
            "sequence",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("entry", sa.LargeBinary(), nullable=False),
        sa.Column("set_aside", sa.String(length=200), nullable=True),
        sa.PrimaryKeyConstraint("sequence"),
    )
    op.create_table(
        "dead_letter",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("subject", sa.String(length=256), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("replayed_at", sa.BigInteger(), nullable=True),
        sa.Column("sender", sa.String(length=17), nullable=True),
        sa.Column("cut_from", sa.Integer(), nullable=True),
        sa.Column("count", sa.Integer(), server_default="1", nullable=False),
        sa.Column("dropped", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("retry_at", sa.BigInteger(), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("dead_letter", schema=None) as batch_op:
        batch_op.create_index("dead_letter_by_sender", ["sender", "id"], unique=False)
        batch_op.create_index(
            "dead_letter_waiting",
            ["retry_at"],
            unique=False,
            sqlite_where=sa.text("retry_at IS NOT NULL"),
            postgresql_where=sa.text("retry_at IS NOT NULL"),
        )

    op.create_table(
        "ignored_place",
        sa.Column("person", sa.String(length=128), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("vin", sa.String(length=17), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("person", "position"),
    )
    with op.batch_alter_table("ignored_place", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_ignored_place_vin"), ["vin"], unique=False)

    op.create_table(
        "legal_hold",
        sa.Column("hold_id", sa.String(length=64), nullable=False),
        sa.Column("resource", sa.String(length=64), nullable=False),
        sa.Column("person", sa.String(length=128), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("hold_id"),
    )
    op.create_table(
        "notice",
        sa.Column("event_id", sa.String(length=64), nullable=False),
        sa.Column("vin", sa.String(length=17), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("text", sa.String(length=64), nullable=False),
        sa.Column("audience", sa.String(length=32), nullable=False),
        sa.Column("occurred_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("about", sa.String(length=256), nullable=False),
        sa.Column("facts", sa.Text(), nullable=False),
        sa.Column("command_id", sa.String(length=64), nullable=False),
        sa.Column("person", sa.String(length=128), nullable=False),
        sa.Column("is_resolved", sa.Boolean(), nullable=False),
        sa.Column("is_urgent", sa.Boolean(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("next_look_at", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("addressed_at", sa.BigInteger(), nullable=True),
        sa.Column("set_aside", sa.String(length=200), nullable=True),
        sa.PrimaryKeyConstraint("event_id"),
    )
    with op.batch_alter_table("notice", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_notice_received_at"), ["received_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_notice_vin"), ["vin"], unique=False)
        batch_op.create_index(
            "notice_waiting",
            ["next_look_at"],
            unique=False,
            sqlite_where=sa.text("addressed_at IS NULL"),
            postgresql_where=sa.text("addressed_at IS NULL"),
        )

    op.create_table(
        "preference",
        sa.Column("person", sa.String(length=128), nullable=False),
        sa.Column("off", sa.String(length=256), nullable=False),
        sa.Column("language", sa.String(length=8), nullable=False),
        sa.Column("time_zone", sa.String(length=64), nullable=False),
        sa.Column("quiet_begins", sa.Integer(), nullable=True),
        sa.Column("quiet_until", sa.Integer(), nullable=True),
        sa.Column("reminder_minutes", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("person"),
    )
    with op.batch_alter_table("preference", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_preference_reminder_minutes"), ["reminder_minutes"], unique=False
        )

    op.create_table(
        "push",
        sa.Column("event_id", sa.String(length=64), nullable=False),
        sa.Column("device", sa.String(length=32), nullable=False),
        sa.Column("person", sa.String(length=128), nullable=False),
        sa.Column("vin", sa.String(length=17), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("collapse", sa.String(length=32), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("set_aside", sa.String(length=200), nullable=True),
        sa.PrimaryKeyConstraint("event_id", "device"),
    )
    with op.batch_alter_table("push", schema=None) as batch_op:
        batch_op.create_index("push_due", ["kind", "due_at"], unique=False)
        batch_op.create_index("push_of_device", ["device", "collapse"], unique=False)
        batch_op.create_index("push_of_person", ["person"], unique=False)

    op.create_table(
        "push_device",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("person", sa.String(length=128), nullable=False),
        sa.Column("device_id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("token", sa.String(length=2048), nullable=False),
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("p256dh", sa.LargeBinary(), nullable=False),
        sa.Column("auth", sa.LargeBinary(), nullable=False),
        sa.Column("app", sa.String(length=128), nullable=False),
        sa.Column("registered_at", sa.BigInteger(), nullable=False),
        sa.Column("confirmed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("person", "device_id"),
        sa.UniqueConstraint("token_hash"),
    )
    op.create_table(
        "reminder",
        sa.Column("vin", sa.String(length=17), nullable=False),
        sa.Column("condition", sa.String(length=16), nullable=False),
        sa.Column("person", sa.String(length=128), nullable=False),
        sa.Column("told_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("vin", "condition", "person"),
    )
    op.create_table(
        "standing_condition",
        sa.Column("vin", sa.String(length=17), nullable=False),
        sa.Column("condition", sa.String(length=16), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("next_look_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("vin", "condition"),
    )
    with op.batch_alter_table("standing_condition", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_standing_condition_next_look_at"), ["next_look_at"], unique=False
        )

    op.create_table(
        "standing_doors",
        sa.Column("vin", sa.String(length=17), nullable=False),
        sa.Column("doors", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("vin"),
    )


def downgrade() -> None:
    op.drop_table("standing_doors")
    with op.batch_alter_table("standing_condition", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_standing_condition_next_look_at"))

    op.drop_table("standing_condition")
    op.drop_table("reminder")
    op.drop_table("push_device")
    with op.batch_alter_table("push", schema=None) as batch_op:
        batch_op.drop_index("push_of_person")
        batch_op.drop_index("push_of_device")
        batch_op.drop_index("push_due")

    op.drop_table("push")
    op.drop_table("preference")
    with op.batch_alter_table("notice", schema=None) as batch_op:
        batch_op.drop_index(
            "notice_waiting",
            sqlite_where=sa.text("addressed_at IS NULL"),
            postgresql_where=sa.text("addressed_at IS NULL"),
        )
        batch_op.drop_index(batch_op.f("ix_notice_vin"))
        batch_op.drop_index(batch_op.f("ix_notice_received_at"))

    op.drop_table("notice")
    op.drop_table("legal_hold")
    with op.batch_alter_table("ignored_place", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_ignored_place_vin"))

    op.drop_table("ignored_place")
    with op.batch_alter_table("dead_letter", schema=None) as batch_op:
        batch_op.drop_index(
            "dead_letter_waiting",
            sqlite_where=sa.text("retry_at IS NOT NULL"),
            postgresql_where=sa.text("retry_at IS NOT NULL"),
        )
        batch_op.drop_index("dead_letter_by_sender")

    op.drop_table("dead_letter")
    op.drop_table("audit_outbox")

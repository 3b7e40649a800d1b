"""The tables of the config service."""

import sqlalchemy as sa
from alembic import op

revision = "0001_config"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "vehicle_config",
        sa.Column("vin", sa.String(17), primary_key=True),
        sa.Column("auto_lock_enabled", sa.Boolean, nullable=False),
        sa.Column("auto_lock_delay_seconds", sa.Integer, nullable=False),
        sa.Column("unlock_mode", sa.String(16), nullable=False),
        sa.Column("child_lock_enabled", sa.Boolean, nullable=False),
        sa.Column("speed_based_lock_enabled", sa.Boolean, nullable=False),
        sa.Column("speed_lock_threshold_kmh", sa.Integer, nullable=False),
        sa.Column("parking_auto_unlock", sa.Boolean, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.Column("desired_version", sa.Integer, nullable=False),
        sa.Column("applied_version", sa.Integer),
        sa.Column("applied_at", sa.BigInteger),
        sa.Column("rejected_version", sa.Integer),
        sa.Column("rejection", sa.Text),
    )
    op.create_table(
        "first_answer",
        sa.Column("actor", sa.String(256), primary_key=True),
        sa.Column("vin", sa.String(17), primary_key=True),
        sa.Column("operation", sa.String(32), primary_key=True),
        sa.Column("correlation_id", sa.String(64), primary_key=True),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("answer", sa.Text, nullable=False),
        sa.Column("answered_at", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_first_answer_answered_at", "first_answer", ["answered_at"])
    op.create_table(
        "config_audit",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("vin", sa.String(17), nullable=False),
        sa.Column("changed_at", sa.BigInteger, nullable=False),
        sa.Column("subject", sa.String(256), nullable=False),
        sa.Column("actor", sa.String(256), nullable=False),
        sa.Column("source", sa.String(32), nullable=False),
        sa.Column("correlation_id", sa.String(64), nullable=False),
        sa.Column("desired_version", sa.Integer, nullable=False),
        sa.Column("before", sa.Text, nullable=False),
        sa.Column("after", sa.Text, nullable=False),
    )
    op.create_index("ix_config_audit_vin", "config_audit", ["vin"])
    op.create_table(
        "outbox",
        sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("message_id", sa.String(128), nullable=False, unique=True),
        sa.Column("queue", sa.String(32), nullable=False),
        sa.Column("subject", sa.String(128), nullable=False),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        sa.Column("ttl_seconds", sa.Integer),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("sent_at", sa.BigInteger),
    )
    op.create_index(
        "outbox_unsent",
        "outbox",
        ["queue", "sequence"],
        sqlite_where=sa.text("sent_at IS NULL"),
        postgresql_where=sa.text("sent_at IS NULL"),
    )
    op.create_table(
        "inbox",
        sa.Column("message_id", sa.String(160), primary_key=True),
        sa.Column("received_at", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_inbox_received_at", "inbox", ["received_at"])
    op.create_table(
        "dead_letter",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("subject", sa.String(256), nullable=False),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("received_at", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    for table in ("dead_letter", "inbox", "outbox", "config_audit", "first_answer", "vehicle_config"):
        op.drop_table(table)

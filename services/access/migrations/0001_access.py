"""Grants, principals, API keys, audit and outbox."""

import sqlalchemy as sa
from alembic import op

revision = "0001_access"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "vehicle",
        sa.Column("vin", sa.String(17), primary_key=True),
        sa.Column("registered_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "principal",
        sa.Column("principal", sa.String(128), primary_key=True),
        sa.Column("locked_at", sa.BigInteger, nullable=True),
        sa.Column("reason", sa.String(256), nullable=True),
    )
    op.create_table(
        "access_grant",
        sa.Column("grant_id", sa.String(64), primary_key=True),
        sa.Column("principal", sa.String(128), nullable=False),
        sa.Column("vin", sa.String(17), sa.ForeignKey("vehicle.vin"), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("actions", sa.String(1100), nullable=False),
        sa.Column("valid_seconds", sa.BigInteger, nullable=True),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=True),
        sa.Column("revoked_at", sa.BigInteger, nullable=True),
    )
    op.create_index("access_grant_holder", "access_grant", ["vin", "principal"])
    op.create_table(
        "api_key",
        sa.Column("key_hash", sa.LargeBinary, primary_key=True),
        sa.Column("principal", sa.String(128), nullable=False),
        sa.Column("source", sa.String(16), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("revoked_at", sa.BigInteger, nullable=True),
    )
    op.create_table(
        "audit_entry",
        sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.String(128), nullable=False),
        sa.Column("act", sa.String(32), nullable=False),
        sa.Column("grant_id", sa.String(64), nullable=False),
        sa.Column("principal", sa.String(128), nullable=False),
        sa.Column("vin", sa.String(17), nullable=False),
    )
    op.create_table(
        "outbox",
        sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("message_id", sa.String(128), nullable=False, unique=True),
        sa.Column("queue", sa.String(32), nullable=False),
        sa.Column("subject", sa.String(128), nullable=False),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        sa.Column("ttl_seconds", sa.Integer, nullable=True),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("sent_at", sa.BigInteger, nullable=True),
    )
    op.create_index(
        "outbox_unsent",
        "outbox",
        ["queue", "sequence"],
        sqlite_where=sa.text("sent_at IS NULL"),
        postgresql_where=sa.text("sent_at IS NULL"),
    )


def downgrade() -> None:
    for table in ("outbox", "audit_entry", "api_key", "access_grant", "principal", "vehicle"):
        op.drop_table(table)

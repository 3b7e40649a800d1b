"""Grants that wait for a second operator: in a table of their own, so that old code takes none for a right."""

import sqlalchemy as sa
from alembic import op

revision = "0002_pending_grants"
down_revision = "0001_access"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "pending_grant",
        sa.Column("grant_id", sa.String(64), primary_key=True),
        sa.Column("principal", sa.String(128), nullable=False),
        sa.Column("vin", sa.String(17), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("actions", sa.String(1100), nullable=False),
        sa.Column("valid_seconds", sa.BigInteger, nullable=True),
        sa.Column("requested_by", sa.String(128), nullable=False),
        sa.Column("requested_at", sa.BigInteger, nullable=False),
        sa.Column("approved_by", sa.String(128), nullable=True),
        sa.Column("ended_at", sa.BigInteger, nullable=True),
    )
    op.create_index("pending_grant_vin", "pending_grant", ["vin"])


def downgrade() -> None:
    op.drop_index("pending_grant_vin", table_name="pending_grant")
    op.drop_table("pending_grant")

"""Checks that vehicles were asked for, and are going to be."""

import sqlalchemy as sa
from alembic import op

revision = "0011_check_requests"
down_revision = "0010_health_trend"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "check_request",
        sa.Column("vin", sa.String(17), primary_key=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("requested_at", sa.BigInteger),
        sa.Column("answered_at", sa.BigInteger),
        sa.Column("due_at", sa.BigInteger),
        sa.Column("missed", sa.Integer, nullable=False),
    )
    op.create_index("ix_check_request_state", "check_request", ["state"])
    op.create_index("ix_check_request_due_at", "check_request", ["due_at"])


def downgrade() -> None:
    op.drop_table("check_request")

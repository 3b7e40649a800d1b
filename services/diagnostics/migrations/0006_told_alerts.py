"""What was reported of alerts, so that one that comes and goes is reported once in a while."""

import sqlalchemy as sa
from alembic import op

revision = "0006_told_alerts"
down_revision = "0005_order_of_self_checks"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "told_alert",
        sa.Column("vin", sa.String(17), primary_key=True),
        sa.Column("component_id", sa.String(64), primary_key=True),
        sa.Column("code", sa.String(64), primary_key=True),
        sa.Column("severity", sa.String(16), nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("raised_at", sa.BigInteger, nullable=False),
        sa.Column("standing", sa.Boolean, nullable=False),
        sa.Column("told_standing", sa.Boolean, nullable=False),
        sa.Column("told_at", sa.BigInteger, nullable=False),
        sa.Column("flips", sa.Integer, nullable=False),
        sa.Column("flapping", sa.Boolean, nullable=False),
        sa.Column("due_at", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_told_alert_due_at", "told_alert", ["due_at"])


def downgrade() -> None:
    op.drop_table("told_alert")

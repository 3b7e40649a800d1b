"""How often commands failed, and why: of each vehicle by the hour, and of the fleet by the day and model."""

import sqlalchemy as sa
from alembic import op

revision = "0014_failure_counts"
down_revision = "0013_wide_audit_outbox"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "failure_count",
        sa.Column("vin", sa.String(17), primary_key=True),
        sa.Column("subject", sa.String(128), primary_key=True),
        sa.Column("hour", sa.BigInteger, primary_key=True),
        sa.Column("action", sa.String(16), primary_key=True),
        sa.Column("reason", sa.String(32), primary_key=True),
        sa.Column("door", sa.String(16), primary_key=True),
        sa.Column("model", sa.String(64), nullable=False),
        sa.Column("requests", sa.Integer, nullable=False),
    )
    op.create_index("failure_count_by_model", "failure_count", ["model", "door", "reason", "hour", "vin"])
    op.create_table(
        "fleet_count",
        sa.Column("model", sa.String(64), primary_key=True),
        sa.Column("day", sa.BigInteger, primary_key=True),
        sa.Column("reason", sa.String(32), primary_key=True),
        sa.Column("door", sa.String(16), primary_key=True),
        sa.Column("requests", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "counted_until",
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("audit_id", sa.BigInteger, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    for table in ("counted_until", "fleet_count", "failure_count"):
        op.drop_table(table)
